//! Checking a server's configuration and the files that it names.

use std::path::Path;

use datapact_client::key_file::PrivateKey;
use datapact_log::note::VerifyingKey;
use datapact_server::config::{Common, ManagementConfig, ServerConfig, load};

use super::config_failure;
use crate::failure::{Failure, Result, key_failure};

/// Checks the file, its trust configuration, and that certificate, key and name belong together.
pub(super) fn check<C: ServerConfig>(
    path: &Path,
    verifier_keys: fn(&C) -> Vec<String>,
) -> Result<String> {
    let config: C = load(path).map_err(config_failure)?;
    for key in verifier_keys(&config) {
        key.parse::<VerifyingKey>().map_err(|_| {
            Failure::usage(
                format!("`{}`: `{key}` is not a verifier key", path.display()),
                "put in the key that `datapact config init` of the other server printed",
            )
        })?;
    }
    let common: &Common = config.common();
    let wrong = |file: &Path, detail: &dyn std::fmt::Display| {
        Failure::usage(
            format!("`{}`: {detail}", file.display()),
            "correct the configuration or the file",
        )
    };
    let name = common.name().map_err(|e| wrong(path, &e))?;
    let trust = datapact_api::trust_file::load(&common.tls.trust).map_err(|error| {
        Failure::usage(error, "`datapact ca trust` writes the trust configuration")
    })?;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let chain = CertificateDer::pem_file_iter(&common.tls.certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|e| {
            wrong(&common.tls.certificate, &format_args!("no certificate chain in PEM: {e}"))
        })?;
    trust
        .identify_server(&chain, &name, crate::context::now())
        .map_err(|e| wrong(&common.tls.certificate, &e))?;
    let key = PrivateKey::load(&common.tls.private_key, None).map_err(key_failure)?;
    let identity = datapact_core::identity::Identity::server(&name);
    datapact_core::jws::Signer::new(key.pkcs8(), chain, identity)
        .map_err(|e| wrong(&common.tls.private_key, &e))?;
    Ok(name)
}

pub(super) fn management_keys(config: &ManagementConfig) -> Vec<String> {
    let others = config.ledger.independent_witnesses.iter().map(|witness| witness.key.clone());
    config.ledger.witnesses.iter().cloned().chain(others).collect()
}
