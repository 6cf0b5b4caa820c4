//! Where a server is, and by which name its certificate must know it (AC-2).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Where HTTPS is when an address names no port.
const HTTPS_PORT: u16 = 443;

/// A server, by configured name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `https://NAME:PORT` without a path; the certificate must bear NAME.
    pub url: String,
    /// Where to connect when NAME is not in the DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub connect: Option<SocketAddr>,
}

/// Why an endpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a server's address; write `https://NAME:PORT`")]
pub struct EndpointError(String);

impl Endpoint {
    /// The server that `address`, a key's or package's, is on.
    pub fn of_address(address: &str) -> std::result::Result<Self, EndpointError> {
        let refused = || EndpointError(address.to_owned());
        let rest = address.strip_prefix("https://").ok_or_else(refused)?;
        let (server, _) = rest.split_once('/').ok_or_else(refused)?;
        let endpoint = Self { url: format!("https://{server}"), connect: None };
        endpoint.name().map_err(|_| refused())?;
        Ok(endpoint)
    }

    /// The name that the server's certificate must bear.
    pub fn name(&self) -> std::result::Result<&str, EndpointError> {
        self.host().map(|(name, _)| name)
    }

    /// The port; 443 if the address has none.
    pub fn port(&self) -> std::result::Result<u16, EndpointError> {
        self.host().map(|(_, port)| port)
    }

    fn host(&self) -> std::result::Result<(&str, u16), EndpointError> {
        let refused = || EndpointError(self.url.clone());
        let rest = self.url.strip_prefix("https://").ok_or_else(refused)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| refused())?),
            None => (rest, HTTPS_PORT),
        };
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-');
        if is_name { Ok((name, port)) } else { Err(refused()) }
    }

    /// Whether `address` (a key's or package's) is on this server.
    pub fn serves(&self, address: &str) -> bool {
        address.strip_prefix(self.url.as_str()).is_some_and(|path| path.starts_with('/'))
    }
}
