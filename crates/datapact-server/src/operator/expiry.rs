//! When certificates and revocation lists end: a warning in the log thirty days ahead, and a
//! figure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datapact_api::trust_file::ReloadableTrust;
use datapact_core::id::Timestamp;
use datapact_core::trust::{next_update, validity};
use datapact_log::clock::Clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::metrics::Reading;

/// From how many days before its end on a certificate is warned about.
pub const WARNING_DAYS: u64 = 30;
/// The same of a revocation list, which is renewed more often.
pub const LIST_WARNING_DAYS: u64 = 3;
/// How often the log says so.
const EVERY: Duration = Duration::from_secs(12 * 60 * 60);
const DAY: u64 = 24 * 60 * 60;

/// What ends some day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// `server`, `peer`, `ca` or `crl`.
    pub kind: &'static str,
    /// The server's name or the realm.
    pub name: String,
    /// The last second.
    pub at: Timestamp,
}

impl Ends {
    /// How many whole days are left at `now`; none when it has ended.
    pub fn days_left(&self, now: Timestamp) -> Option<u64> {
        self.at.checked_sub(now).map(|left| left / DAY)
    }

    /// Whether its operator should act at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let ahead = if self.kind == "crl" { LIST_WARNING_DAYS } else { WARNING_DAYS };
        self.days_left(now).is_none_or(|days| days < ahead)
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self.kind {
            "server" => {
                "have the CA certify a new request, replace the file and restart the server"
            }
            "peer" => "get that server's new certificate from its operator and replace the file",
            "ca" => {
                "renew the CA's certificate, or add its successor's beside it \
                 in the trust configuration"
            }
            _ => "have the CA issue a new list and replace the file",
        }
    }
}

/// What a trust configuration holds that ends.
pub fn ends_of_trust(trust: &datapact_core::trust::Trust) -> Vec<Ends> {
    let mut found = Vec::new();
    for realm in trust.realms() {
        let ends = |kind, at| Ends { kind, name: realm.to_owned(), at };
        found.extend(trust.cas(realm).filter_map(|ca| Some(ends("ca", validity(ca).ok()?.1))));
        found.extend(
            trust.crls(realm).filter_map(|list| Some(ends("crl", next_update(list).ok()??))),
        );
    }
    found
}

/// The end of the first certificate in a file.
pub fn end_of_file(kind: &'static str, name: &str, path: &std::path::Path) -> Option<Ends> {
    let leaf = CertificateDer::from_pem_file(path).ok()?;
    Some(Ends { kind, name: name.to_owned(), at: validity(&leaf).ok()?.1 })
}

/// All of a server that ends some day.
pub(crate) struct Watched {
    /// The server's name, and from when to when its certificate is valid.
    server: (String, Timestamp, Timestamp),
    trust: Arc<ReloadableTrust>,
    /// Other servers' names and certificates.
    peers: Vec<(String, PathBuf)>,
    clock: Clock,
}

impl Watched {
    pub(crate) fn new(
        name: &str,
        chain: &[CertificateDer<'static>],
        trust: Arc<ReloadableTrust>,
        peers: Vec<(String, PathBuf)>,
        clock: Clock,
    ) -> Self {
        // A chain ends with its shortest part.
        let all = chain.iter().filter_map(|certificate| validity(certificate).ok());
        let (from, to) =
            all.fold((0, u64::MAX), |(from, to), (begins, ends)| (from.max(begins), to.min(ends)));
        Self { server: (name.to_owned(), from, to), trust, peers, clock }
    }

    fn all(&self) -> Vec<Ends> {
        let (name, _, at) = &self.server;
        let mut all = vec![Ends { kind: "server", name: name.clone(), at: *at }];
        all.extend(self.peers.iter().filter_map(|(name, path)| end_of_file("peer", name, path)));
        all.extend(ends_of_trust(&self.trust.current()));
        all
    }

    /// Whether `now` is within the life of the server's own certificate.
    pub(crate) fn server_certificate_is_valid(&self, now: Timestamp) -> Result<(), &'static str> {
        let (_, from, to) = &self.server;
        if now < *from {
            return Err("it is not valid yet: the clock is wrong, or the CA's was");
        }
        if now > *to {
            return Err("it has expired: replace it and restart the server");
        }
        Ok(())
    }

    pub(super) fn readings(&self) -> Vec<Reading> {
        let reading = |ends: Ends| {
            let help = "When a certificate or revocation list ends, in seconds since 1970";
            Reading::count("datapact_expiry_timestamp_seconds", help, ends.at)
                .of("kind", ends.kind)
                .of("name", ends.name)
        };
        let mut all = self.all();
        // Of several with one name the first to end counts.
        all.sort_by(|a, b| (a.kind, &a.name, a.at).cmp(&(b.kind, &b.name, b.at)));
        all.dedup_by(|b, a| (a.kind, &a.name) == (b.kind, &b.name));
        all.into_iter().map(reading).collect()
    }

    /// Warns of what ends soon, for as long as the server runs.
    pub(crate) async fn warn(self: Arc<Self>) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            let now = (self.clock)();
            for ends in self.all().into_iter().filter(|ends| ends.is_due(now)) {
                let (kind, name, advice) = (ends.kind, &ends.name, ends.advice());
                match ends.days_left(now) {
                    Some(days) => {
                        tracing::warn!(
                            kind,
                            name,
                            days,
                            advice,
                            "a certificate or revocation list ends soon"
                        )
                    }
                    None => tracing::error!(
                        kind,
                        name,
                        advice,
                        "a certificate or revocation list has ended"
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_thirty_days_ahead() {
        let ends = |kind| Ends { kind, name: "a".to_owned(), at: 100 * DAY };
        assert!(!ends("ca").is_due(69 * DAY + DAY) && ends("ca").is_due(70 * DAY + 1));
        assert!(!ends("crl").is_due(97 * DAY) && ends("crl").is_due(97 * DAY + 1));
        assert_eq!(ends("ca").days_left(100 * DAY), Some(0));
        assert_eq!(ends("ca").days_left(100 * DAY + 1), None);
        assert!(ends("ca").is_due(200 * DAY));
    }
}
