//! Trust: which CA certifies whom, and what a certificate says.

mod certificate;
mod error;
mod revocation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::X509Certificate;

use certificate::parse;
pub use certificate::{
    PublicKey, escape, is_host_name, next_update, public_key, server_name, subject, validity,
};
pub use error::TrustError;
use revocation::{RevocationList, Status};

use crate::id::{Digest, Timestamp};
use crate::identity::{Identity, SERVER_REALM};

/// The most certificates in a chain: a leaf and up to four CAs, which bounds the work that an
/// unauthenticated caller can cause.
pub const CHAIN_MAX: usize = 5;
/// The most verified chains that are remembered: about a megabyte with usual subjects.
const CACHE_MAX: usize = 4096;

/// A CA certificate of a realm.
#[derive(Debug)]
struct Authority {
    der: CertificateDer<'static>,
    /// Its name, DER.
    subject: Vec<u8>,
    anchor: TrustAnchor<'static>,
}

/// The CAs and revocation lists of one realm.
#[derive(Debug, Default)]
struct Realm {
    authorities: Vec<Authority>,
    lists: Vec<RevocationList>,
}

/// A chain that was verified, and for which times that holds.
#[derive(Debug, Clone)]
struct Verified {
    identity: Identity,
    from: Timestamp,
    to: Timestamp,
}

/// Which CA may certify whom. Each CA is bound to one realm and cannot certify another's users.
///
/// Verified chains are remembered, so that identifying a caller again costs one digest. A change of
/// the configuration is a new `Trust`, which remembers nothing.
#[derive(Debug, Default)]
pub struct Trust {
    realms: BTreeMap<String, Realm>,
    /// By the chain's digest. A lock that a panic poisoned is used all the same: an entry is
    /// inserted whole or not at all.
    verified: RwLock<HashMap<Digest, Verified>>,
}

impl Trust {
    /// Adds a realm with its CAs and revocation lists (DER). A list must belong to one of the
    /// realm's CAs added so far, or to an intermediate CA.
    ///
    /// # Errors
    /// [`TrustError::Configuration`] when the realm's name is malformed, a certificate is not a
    /// CA's, two realms could certify the same user, or a list cannot be read or is not signed by
    /// its CA.
    pub fn add(
        &mut self,
        realm: &str,
        cas: Vec<CertificateDer<'static>>,
        crls: Vec<Vec<u8>>,
    ) -> Result<(), TrustError> {
        let wrong = |what: String| TrustError::Configuration(format!("realm `{realm}`: {what}"));
        if (Identity { realm: realm.to_owned(), subject: "-".to_owned() }).validate().is_err() {
            return Err(wrong("a name is 1 to 64 of a-z, 0-9, `.` and `-`".to_owned()));
        }
        let mut authorities = Vec::new();
        for der in cas {
            let parsed = parse(&der).map_err(|e| wrong(e.to_string()))?;
            if !parsed
                .basic_constraints()
                .ok()
                .flatten()
                .is_some_and(|constraints| constraints.value.ca)
            {
                return Err(wrong(format!(
                    "the certificate of `{}` is not a CA's",
                    parsed.subject()
                )));
            }
            for (name, other) in self.realms.iter().filter(|(name, _)| *name != realm) {
                for authority in &other.authorities {
                    if overlap(&parsed, &parse(&authority.der)?) {
                        return Err(wrong(format!(
                            "the CA `{}` would speak for users of realm `{name}` too; give each \
                             realm its own CA",
                            parsed.subject()
                        )));
                    }
                }
            }
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|e| wrong(format!("a CA: {e}")))?
                .to_owned();
            let subject = parsed.subject().as_raw().to_vec();
            authorities.push(Authority { der, subject, anchor });
        }
        // Lists are checked against all CAs of the realm, so the new CAs go in first.
        let entry = self.realms.entry(realm.to_owned()).or_default();
        entry.authorities.extend(authorities);
        let cas =
            entry.authorities.iter().map(|ca| parse(&ca.der)).collect::<Result<Vec<_>, _>>()?;
        let lists = crls
            .iter()
            .map(|der| RevocationList::read(der, &cas))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong(format!("a revocation list: {e}")))?;
        entry.lists.extend(lists);
        // A new list may revoke a chain that was verified before.
        self.verified.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// The names of the realms, sorted.
    pub fn realms(&self) -> impl Iterator<Item = &str> {
        self.realms.keys().map(String::as_str)
    }

    /// The CAs whose certificates are valid at `now` and of which there is no current revocation
    /// list (RFC 5280, `nextUpdate`): each realm with the CA's subject.
    ///
    /// # Errors
    /// [`TrustError::Unusable`] when a CA's certificate cannot be read.
    pub fn without_current_list(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, TrustError> {
        let mut found = Vec::new();
        for (name, realm) in &self.realms {
            for authority in &realm.authorities {
                let (from, to) = validity(&authority.der)?;
                let parsed = parse(&authority.der)?;
                let key = parsed.public_key().raw;
                if (from..=to).contains(&now)
                    && !realm.lists.iter().any(|list| list.is_current(key, now))
                {
                    found.push((name.clone(), parsed.subject().to_string()));
                }
            }
        }
        Ok(found)
    }

    /// The CA certificates of `realm` (DER), for users who enrol; empty for an unknown realm.
    pub fn cas(&self, realm: &str) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.realms
            .get(realm)
            .into_iter()
            .flat_map(|realm| realm.authorities.iter().map(|ca| &ca.der))
    }

    /// The revocation lists of `realm` (DER); empty for an unknown realm.
    pub fn crls(&self, realm: &str) -> impl Iterator<Item = &[u8]> {
        self.realms
            .get(realm)
            .into_iter()
            .flat_map(|realm| realm.lists.iter().map(RevocationList::der))
    }

    /// Who the chain (leaf first) certifies at time `at`: a user of the realm whose CA it leads to.
    /// A chain of the reserved server realm certifies the server named by its first DNS name.
    ///
    /// A certificate counts as revoked from the moment that its CA's list states, so that what was
    /// recorded before stays valid. What only the CA knows (a list that it has not published here)
    /// cannot count.
    ///
    /// # Errors
    /// Any [`TrustError`]: a chain that is not certified by exactly one realm is refused.
    pub fn identify(
        &self,
        chain: &[CertificateDer<'_>],
        at: Timestamp,
    ) -> Result<Identity, TrustError> {
        let digest = chain_digest(chain);
        if let Some(found) = self.remembered(&digest, at) {
            return Ok(found);
        }
        let verified = self.verify(chain, at)?;
        let identity = verified.identity.clone();
        let mut cache = self.verified.write().unwrap_or_else(PoisonError::into_inner);
        // Dropping all of them costs each caller one verification, and needs no order of use.
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(digest, verified);
        Ok(identity)
    }

    /// Checks that the chain (leaf first) is, at time `at`, that of the server with the DNS name
    /// `name`: its certificate bears that name among its subject alternative names and comes from a
    /// CA of the server realm.
    ///
    /// # Errors
    /// As [`Trust::identify`], and [`TrustError::WrongServer`].
    pub fn identify_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &str,
        at: Timestamp,
    ) -> Result<Identity, TrustError> {
        let identity = self.identify(chain, at)?;
        let leaf = chain.first().ok_or(TrustError::NoCertificate)?;
        let named = ServerName::try_from(name).is_ok_and(|name| {
            EndEntityCert::try_from(leaf)
                .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
        });
        if identity.is_server() && named {
            Ok(identity)
        } else {
            Err(TrustError::WrongServer { expected: name.to_owned(), subject: identity.subject })
        }
    }

    fn remembered(&self, digest: &Digest, at: Timestamp) -> Option<Identity> {
        let cache = self.verified.read().unwrap_or_else(PoisonError::into_inner);
        let found = cache.get(digest)?;
        (found.from <= at && at <= found.to).then(|| found.identity.clone())
    }

    fn verify(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<Verified, TrustError> {
        let (leaf, intermediates) = chain.split_first().ok_or(TrustError::NoCertificate)?;
        if chain.len() > CHAIN_MAX {
            return Err(TrustError::Unusable(format!(
                "its chain has more than {CHAIN_MAX} certificates"
            )));
        }
        public_key(leaf)?;
        let subject = subject(leaf)?;
        let end_entity =
            EndEntityCert::try_from(leaf).map_err(|e| TrustError::Unusable(e.to_string()))?;
        let mut issuers = Vec::new();
        for der in chain {
            issuers.push(parse(der)?.issuer().as_raw().to_vec());
        }
        // Every CA of every realm is tried, also after one that fits: a chain that two realms
        // certify must be refused, not given to the first.
        let mut refusal = TrustError::Unknown { subject: subject.clone() };
        let mut found: Option<Verified> = None;
        for (name, realm) in &self.realms {
            let usage = if name == SERVER_REALM {
                KeyUsage::server_auth()
            } else {
                KeyUsage::client_auth()
            };
            for authority in &realm.authorities {
                let path = match end_entity.verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    std::slice::from_ref(&authority.anchor),
                    intermediates,
                    UnixTime::since_unix_epoch(Duration::from_secs(at)),
                    usage,
                    None,
                    None,
                ) {
                    Ok(path) => path,
                    Err(error) => {
                        // Its other faults matter only to the CA that it claims to come from.
                        if issuers.contains(&authority.subject) {
                            refusal = prefer(refusal, why(&error, &subject));
                        }
                        continue;
                    }
                };
                // webpki checked the path's signatures and dates; revocation is checked here,
                // because a revocation counts from its own time on, which webpki does not know.
                let mut ders = vec![leaf.clone()];
                ders.extend(path.intermediate_certificates().map(|cert| cert.der()));
                ders.push(authority.der.clone());
                let path = ders.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
                let Some((from, to)) = realm.holds(&path, &subject, at)? else {
                    refusal = prefer(refusal, TrustError::Expired { subject: subject.clone() });
                    continue;
                };
                if found.as_ref().is_some_and(|found| found.identity.realm != *name) {
                    return Err(TrustError::Configuration(format!(
                        "more than one realm certifies `{subject}`; give each realm its own CA"
                    )));
                }
                let identity = if name == SERVER_REALM {
                    Identity::server(&server_name(leaf)?)
                } else {
                    Identity { realm: name.clone(), subject: subject.clone() }
                };
                found = Some(Verified { identity, from, to });
            }
        }
        found.ok_or(refusal)
    }
}

impl Realm {
    /// From when to when this path (leaf first, a CA of this realm last) holds, if it holds at time
    /// `at`.
    fn holds(
        &self,
        path: &[X509Certificate<'_>],
        subject: &str,
        at: Timestamp,
    ) -> Result<Option<(Timestamp, Timestamp)>, TrustError> {
        let (mut from, mut to) = (0, Timestamp::MAX);
        for certificate in path {
            let validity = certificate.validity();
            from = from.max(u64::try_from(validity.not_before.timestamp()).unwrap_or(0));
            to = to.min(u64::try_from(validity.not_after.timestamp()).unwrap_or(0));
        }
        for (certificate, issuer) in path.iter().zip(path.iter().skip(1)) {
            match revocation::status(&self.lists, certificate, issuer) {
                Status::Good => {}
                Status::RevokedFrom(moment) if at >= moment => {
                    return Err(TrustError::Revoked { subject: subject.to_owned() });
                }
                Status::RevokedFrom(moment) => to = to.min(moment.saturating_sub(1)),
                Status::Unauthentic => {
                    return Err(TrustError::Configuration(format!(
                        "no revocation list of `{}` is signed with its key",
                        issuer.subject()
                    )));
                }
            }
        }
        Ok((from <= at && at <= to).then_some((from, to)))
    }
}

/// Whether two CAs of different realms could certify the same user: they are one CA, or one issued
/// the other.
fn overlap(a: &X509Certificate<'_>, b: &X509Certificate<'_>) -> bool {
    let issued = |a: &X509Certificate<'_>, b: &X509Certificate<'_>| {
        a.issuer().as_raw() == b.subject().as_raw()
            && a.verify_signature(Some(b.public_key())).is_ok()
    };
    a.public_key().raw == b.public_key().raw || issued(a, b) || issued(b, a)
}

/// The digest of a chain: of its length-prefixed certificates.
fn chain_digest(chain: &[CertificateDer<'_>]) -> Digest {
    let mut bytes = Vec::with_capacity(chain.iter().map(|der| der.len() + 8).sum());
    for der in chain {
        bytes.extend_from_slice(&(der.len() as u64).to_be_bytes());
        bytes.extend_from_slice(der);
    }
    Digest::of(&bytes)
}

/// What webpki's refusal of the certificate of `subject` means here.
fn why(error: &webpki::Error, subject: &str) -> TrustError {
    match error {
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
            TrustError::Expired { subject: subject.to_owned() }
        }
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            TrustError::Unknown { subject: subject.to_owned() }
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            TrustError::Unusable("its extended key usage is not the one needed here".to_owned())
        }
        other => TrustError::Unusable(other.to_string()),
    }
}

/// Of two refusals, the one that tells the user more.
fn prefer(a: TrustError, b: TrustError) -> TrustError {
    let weight = |error: &TrustError| match error {
        TrustError::Unknown { .. } => 0,
        TrustError::Unusable(_) => 1,
        _ => 2,
    };
    if weight(&b) > weight(&a) { b } else { a }
}
