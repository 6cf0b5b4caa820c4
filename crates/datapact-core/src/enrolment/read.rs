//! What an enrolment must be, and the trust that it configures.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{ADMINISTRATORS_MAX, BODY_BYTES_MAX, Enrolment, SERVERS_MAX};
use crate::endpoint::Endpoint;
use crate::identity::SERVER_REALM;
use crate::trust::{Trust, TrustError};

impl Enrolment {
    /// Checks everything that a reader relies on, except for the text of the log policy. The trust
    /// that it configures, without revocation lists.
    ///
    /// # Errors
    /// Says what is wrong: a length, an address, a realm without a CA, servers without a realm, or
    /// administrators whom no realm could certify or who are too few to sign.
    pub fn validate(&self) -> Result<Trust, String> {
        if self.canonical().len() > BODY_BYTES_MAX {
            return Err(format!("it is longer than {BODY_BYTES_MAX} bytes"));
        }
        let address = |endpoint: &Endpoint| endpoint.name().map(drop).map_err(|e| e.to_string());
        address(&self.management)?;
        address(&self.public)?;
        for (kind, servers) in [("key", &self.key_servers), ("storage", &self.storage_servers)] {
            if !(1..=SERVERS_MAX).contains(&servers.len()) {
                return Err(format!("it must name 1 to {SERVERS_MAX} {kind} servers"));
            }
            servers.iter().try_for_each(address)?;
            let urls: BTreeSet<&str> = servers.iter().map(|server| server.url.as_str()).collect();
            if urls.len() != servers.len() {
                return Err(format!("it names a {kind} server twice"));
            }
        }
        self.check_administrators()?;
        self.trust().map_err(|e| e.to_string())
    }

    fn check_administrators(&self) -> Result<(), String> {
        let identities = &self.administrators.identities;
        if !(1..=ADMINISTRATORS_MAX).contains(&identities.len()) {
            return Err(format!("it must name 1 to {ADMINISTRATORS_MAX} administrators"));
        }
        let distinct: BTreeSet<_> = identities.iter().collect();
        if distinct.len() != identities.len() {
            return Err("it names an administrator twice".to_owned());
        }
        for identity in identities {
            if identity.is_server() || !self.realms.contains_key(&identity.realm) {
                return Err(format!("no CA of its realms certifies the user `{identity}`"));
            }
        }
        let threshold = usize::try_from(self.administrators.threshold);
        if threshold.is_ok_and(|threshold| (1..=identities.len()).contains(&threshold)) {
            return Ok(());
        }
        Err(format!("of {} administrators, 1 to all must sign", identities.len()))
    }

    /// The trust that it configures, without revocation lists.
    ///
    /// # Errors
    /// [`TrustError::Configuration`].
    pub fn trust(&self) -> Result<Trust, TrustError> {
        if !self.realms.contains_key(SERVER_REALM) {
            let missing = format!("it names no CA of the realm `{SERVER_REALM}`");
            return Err(TrustError::Configuration(missing));
        }
        let mut trust = Trust::default();
        for (realm, pem) in &self.realms {
            trust.add(realm, certificates(realm, pem)?, Vec::new())?;
        }
        Ok(trust)
    }
}

/// The CAs of a realm.
pub(super) fn certificates(
    realm: &str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TrustError::Configuration(format!("the realm `{realm}` has no CA in PEM form"))),
    }
}
