//! Where a witness is: the URL of a witness line in a log policy (C2SP tlog-policy).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::endpoint::Endpoint;

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 1024;

/// A witness's submission and monitoring prefix, `https://NAME:PORT/PATH` or with `http`. Behind
/// `#` there may be an `ADDRESS:PORT` to connect to, for a NAME that is not in the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessUrl {
    pub(super) prefix: String,
    pub(super) host: String,
    pub(super) connect: Option<SocketAddr>,
}

/// Why a URL was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a witness's URL; write `https://NAME:PORT/PATH`")]
pub struct UrlError(String);

impl WitnessUrl {
    /// Where one of our own servers, with this public listener, has its witness.
    pub fn of_server(public: &Endpoint) -> Result<Self, UrlError> {
        let connect = public.connect.map(|at| format!("#{at}")).unwrap_or_default();
        format!("{}{}{connect}", public.url, super::PREFIX).parse()
    }
}

impl FromStr for WitnessUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let refused = || UrlError(text.chars().take(128).collect());
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refused());
        }
        let (prefix, connect) = match text.split_once('#') {
            Some((prefix, address)) => (prefix, Some(address.parse().map_err(|_| refused())?)),
            None => (text, None),
        };
        let url = reqwest::Url::parse(prefix).map_err(|_| refused())?;
        let plain = matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none();
        let host = url.host_str().filter(|_| plain).ok_or_else(refused)?.to_owned();
        Ok(Self { prefix: prefix.trim_end_matches('/').to_owned(), host, connect })
    }
}

impl fmt::Display for WitnessUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        self.connect.map_or(Ok(()), |address| write!(f, "#{address}"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn urls_are_prefixes_with_an_address_for_names_outside_the_dns() {
        for good in [
            "https://keys.example:8080/witness",
            "http://127.0.0.1:8000",
            "https://keys.example/witness#127.0.0.1:8080",
            "https://keys.example/w#[::1]:8080",
        ] {
            assert_eq!(good.parse::<WitnessUrl>().unwrap().to_string(), good);
        }
        let url: WitnessUrl = "https://keys.example/w/".parse().unwrap();
        assert_eq!(
            (url.prefix.as_str(), url.host.as_str()),
            ("https://keys.example/w", "keys.example")
        );
        for bad in [
            "",
            "keys.example",
            "ftp://keys.example/",
            "https://user@keys.example/",
            "https://:secret@keys.example/",
            "https://keys.example/?a=b",
            "https://keys.example/#here",
            "https://keys example/",
            &format!("https://keys.example/{}", "x".repeat(URL_BYTES_MAX)),
        ] {
            assert!(bad.parse::<WitnessUrl>().is_err(), "{bad}");
        }
        let public = Endpoint {
            url: "https://keys.example:1".to_owned(),
            connect: "127.0.0.1:1".parse().ok(),
        };
        let url = WitnessUrl::of_server(&public).unwrap();
        assert_eq!(url.to_string(), "https://keys.example:1/witness#127.0.0.1:1");
    }
}
