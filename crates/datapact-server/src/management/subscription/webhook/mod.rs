//! Calling subscribers' webhooks, without letting a subscriber reach what only this machine can
//! reach (SSRF): a name is resolved once, each of its addresses is checked, and only these are
//! connected to; redirects are not followed and proxies not used. Without `[webhooks]` in the
//! configuration none of this happens.

mod address;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use zeroize::Zeroizing;

use address::is_global;

use crate::config::{Network, WebhooksConfig};
use crate::foreign_tls;

/// The longest address of a webhook, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// How long a name may take to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a delivery may take in all.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Why a receiver that has a name is not called or does not answer. It is the same whether the name
/// leads nowhere, to an address inside or to one where nothing listens: a subscriber does not learn
/// which names this network has.
const UNREACHABLE: &str = "the receiver has no address that may be called, cannot be reached, or \
                           shows no trusted certificate";
/// How a secret begins (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// A secret that deliveries are signed with.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// From `whsec_` and base64.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("a webhook's secret is `{SECRET_PREFIX}` and 24 to 64 bytes in base64");
        let base64 = text.strip_prefix(SECRET_PREFIX).ok_or_else(wrong)?;
        let bytes = Zeroizing::new(STANDARD.decode(base64).map_err(|_| wrong())?);
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(wrong()) }
    }

    /// The signature of a delivery (Standard Webhooks, `v1`).
    fn sign(&self, id: &str, time: u64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

/// What is sent.
pub(crate) struct Delivery<'a> {
    pub(crate) url: &'a str,
    pub(crate) secret: &'a Secret,
    /// Of the delivery, the same at each attempt.
    pub(crate) id: &'a str,
    /// The time of the attempt.
    pub(crate) time: u64,
    /// A CloudEvent in JSON.
    pub(crate) body: String,
}

/// Calls webhooks, as the operator allows.
pub(crate) struct Webhooks {
    allowed: Vec<Network>,
    allow_http: bool,
    tls: rustls::ClientConfig,
    pub(crate) attempts: u32,
}

impl Webhooks {
    pub(crate) fn new(config: &WebhooksConfig) -> Result<Self, String> {
        let tls = foreign_tls::client_config(config.ca.as_deref())
            .map_err(|e| format!("`webhooks.ca`: {e}"))?;
        let (allowed, attempts) = (config.networks()?, config.attempts);
        Ok(Self { allowed, allow_http: config.allow_http, tls, attempts })
    }

    /// Whether a webhook may be at `url`, as far as that can be told without asking the DNS.
    pub(crate) fn check(&self, url: &str) -> Result<Url, String> {
        if url.len() > URL_BYTES_MAX {
            return Err(format!("a webhook's address has at most {URL_BYTES_MAX} bytes"));
        }
        let url =
            Url::parse(url).map_err(|e| format!("the webhook's address is not a URL: {e}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err("a webhook's address begins with `https://`".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("a webhook's address has no user, password or fragment".to_owned());
        }
        if let Some(address) = literal(&url) {
            self.admit(address)?;
        }
        Ok(url)
    }

    /// Delivers once.
    ///
    /// # Errors
    /// Why not, in words that tell a subscriber nothing of the network behind management.
    pub(crate) async fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), String> {
        let url = self.check(delivery.url)?;
        let addresses = self.resolve(&url).await?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(!self.allow_http)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .resolve_to_addrs(&host, &addresses)
            .user_agent(concat!("datapact/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| "the client cannot be set up".to_owned())?;
        let signature = delivery.secret.sign(delivery.id, delivery.time, &delivery.body);
        let request = client
            .post(url)
            .header("content-type", "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", delivery.id)
            .header("webhook-timestamp", delivery.time.to_string())
            .header("webhook-signature", signature)
            .body(delivery.body.clone());
        match request.send().await {
            // What it says beyond its status is not read.
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the receiver answered {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => {
                Err("the receiver did not answer in time".to_owned())
            }
            Err(_) => Err(UNREACHABLE.to_owned()),
        }
    }

    /// The addresses of `url`'s host, all of which may be called.
    async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, String> {
        let port = url.port_or_known_default().unwrap_or(443);
        if let Some(address) = literal(url) {
            self.admit(address)?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let lookup = tokio::net::lookup_host((url.host_str().unwrap_or_default(), port));
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await;
        let found: Vec<SocketAddr> = match found {
            Ok(Ok(found)) => found.collect(),
            _ => Vec::new(),
        };
        if found.is_empty() {
            return Err(UNREACHABLE.to_owned());
        }
        // All of them: a name that has one address outside and one inside is up to no good.
        let admitted = found.iter().try_for_each(|address| self.admit(address.ip()));
        admitted.map(|()| found).map_err(|_| UNREACHABLE.to_owned())
    }

    fn admit(&self, address: IpAddr) -> Result<(), String> {
        let own = address.to_canonical();
        if is_global(own) || self.allowed.iter().any(|network| network.contains(own)) {
            return Ok(());
        }
        let problem = "the receiver has an address that is not of the global Internet, \
                       and the operator does not allow it";
        Err(problem.to_owned())
    }
}

/// The address that `url` names itself.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn webhooks(networks: &[&str], allow_http: bool) -> Webhooks {
        let allow_networks = networks.iter().map(ToString::to_string).collect();
        Webhooks::new(&WebhooksConfig { allow_networks, allow_http, ca: None, attempts: 1 })
            .unwrap()
    }

    #[test]
    fn a_webhook_is_where_it_may_be() {
        let strict = webhooks(&[], false);
        for good in
            ["https://example.com/hook", "https://8.8.8.8:8443/a?b=c", "https://[2606:4700::1111]/"]
        {
            assert!(strict.check(good).is_ok(), "{good}");
        }
        let refused = [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http://example.com/",
            "https://user@example.com/",
            "https://user:pass@example.com/",
            "https://example.com/#fragment",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://192.168.0.1/",
            "https:///",
        ];
        for url in refused {
            assert!(strict.check(url).is_err(), "{url}");
        }
        assert!(strict.check(&format!("https://example.com/{}", "a".repeat(2100))).is_err());
        let wide = webhooks(&["127.0.0.0/8", "fd00::/8"], true);
        for good in [
            "http://127.0.0.1:8080/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fd00::1]/",
            "http://example.com/",
        ] {
            assert!(wide.check(good).is_ok(), "{good}");
        }
        assert!(wide.check("http://10.0.0.1/").is_err());
    }

    #[test]
    fn deliveries_are_signed_by_standard_webhooks() {
        // The example of the specification's own reference implementations.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for wrong in
            ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!!"]
        {
            assert!(Secret::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Answers each connection with `answer`, and counts them.
    async fn receiver(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    let mut part = [0; 4096];
                    match stream.read(&mut part).await {
                        Ok(length) if length > 0 => request.extend(part.into_iter().take(length)),
                        _ => break,
                    }
                }
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (address, count)
    }

    async fn deliver(webhooks: &Webhooks, url: &str) -> Result<(), String> {
        let secret = Secret(Zeroizing::new(vec![7; 32]));
        let body = "{}".to_owned();
        webhooks.deliver(&Delivery { url, secret: &secret, id: "1", time: 5, body }).await
    }

    #[tokio::test]
    async fn a_name_or_address_inside_is_not_called() {
        let (address, count) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let port = address.port();
        let strict = webhooks(&[], true);
        for host in ["127.0.0.1", "[::1]", "127.1"] {
            let refused = deliver(&strict, &format!("http://{host}:{port}/")).await.unwrap_err();
            assert!(refused.contains("not of the global Internet"), "{host}: {refused}");
        }
        // What is said of a name does not tell whether it is known here.
        for host in ["localhost", "no-such-name.invalid"] {
            let refused = deliver(&strict, &format!("http://{host}:{port}/")).await.unwrap_err();
            assert_eq!(refused, UNREACHABLE, "{host}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 0, "a connection was made");
        let https = webhooks(&["127.0.0.0/8", "::1"], false);
        assert!(deliver(&https, &format!("http://127.0.0.1:{port}/")).await.is_err());
        assert_eq!(count.load(Ordering::SeqCst), 0);
        let open = webhooks(&["127.0.0.0/8"], true);
        deliver(&open, &format!("http://127.0.0.1:{port}/hook")).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_redirect_leads_nowhere() {
        let (inside, called) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{inside}/\r\n\
             content-length: 0\r\n\r\n"
        );
        let (outside, _) = receiver(Box::leak(answer.into_boxed_str())).await;
        let open = webhooks(&["127.0.0.0/8"], true);
        let refused = deliver(&open, &format!("http://{outside}/")).await.unwrap_err();
        assert_eq!(refused, "the receiver answered 307");
        assert_eq!(called.load(Ordering::SeqCst), 0);
        let Err(_) = deliver(&open, "http://name.invalid/").await else {
            panic!("it has no address")
        };
    }
}
