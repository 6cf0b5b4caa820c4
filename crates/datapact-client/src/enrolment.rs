//! What an enrolment, the text that management hands to its users, configures.

use std::collections::BTreeMap;

use datapact_api::management::Enrolment;
use datapact_core::identity::SERVER_REALM;
use datapact_core::trust::Trust;
use datapact_log::log_policy::LogPolicy;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::error::{ClientError, Result};

/// The revocation lists (DER) of each realm.
pub(crate) type RevocationLists = BTreeMap<String, Vec<Vec<u8>>>;

/// The trust that an enrolment configures, with the revocation lists (DER) of each realm.
pub(crate) fn trust_of(enrolment: &Enrolment, lists: &RevocationLists) -> Result<Trust> {
    let mut trust = Trust::default();
    for (realm, pem) in &enrolment.realms {
        let lists = lists.get(realm).cloned().unwrap_or_default();
        trust.add(realm, chain_of(pem.as_bytes())?, lists).map_err(|e| {
            ClientError::usage(
                format!("the enrolment is wrong: {e}"),
                "ask management's operator for another",
            )
        })?;
    }
    if !enrolment.realms.contains_key(SERVER_REALM) {
        return Err(ClientError::usage(
            format!("the enrolment names no CA for the realm `{SERVER_REALM}`"),
            "ask management's operator for another",
        ));
    }
    Ok(trust)
}

/// The log policy that an enrolment configures.
pub(crate) fn log_policy_of(enrolment: &Enrolment) -> Result<LogPolicy> {
    enrolment.log_policy.parse().map_err(|e| {
        ClientError::usage(
            format!("the enrolment is wrong: {e}"),
            "ask management's operator for another",
        )
    })
}

/// The certificates of a PEM text, in order; at least one.
pub(crate) fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(ClientError::usage(
            "there is no certificate in PEM form",
            "give a file with `-----BEGIN CERTIFICATE-----`",
        )),
    }
}
