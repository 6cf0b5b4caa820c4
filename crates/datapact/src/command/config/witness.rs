//! The configuration of a witness.

use std::path::Path;

use datapact_client::key_file::PrivateKey;
use datapact_core::trust::server_name;
use datapact_server::config::WitnessConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::config_failure;
use crate::context::Context;
use crate::failure::{Failure, Result, key_failure};

/// Makes the witness's key and empty database; its public key.
pub(super) fn make(context: &Context, data: &Path, name: &str) -> Result<String> {
    let made = context.block_on(async { Ok(datapact_server::witness::make(data, name).await) })?;
    let key = made.map_err(|error| Failure::local(error, "check the data folder"))?;
    Ok(key.to_string())
}

/// Checks the file, and that certificate, key and name belong together.
pub(super) fn check(path: &Path) -> Result<String> {
    let config = WitnessConfig::load(path).map_err(config_failure)?;
    let wrong = |file: &Path, detail: &dyn std::fmt::Display| {
        Failure::usage(
            format!("`{}`: {detail}", file.display()),
            "correct the configuration or the file",
        )
    };
    let name = config.name().map_err(|e| wrong(path, &e))?;
    let leaf = CertificateDer::from_pem_file(&config.certificate)
        .map_err(|e| wrong(&config.certificate, &format_args!("no certificate in PEM: {e}")))?;
    let bears = server_name(&leaf).map_err(|e| wrong(&config.certificate, &e))?;
    if bears != name {
        let detail = format!("it is for `{bears}`, not for `{name}`");
        return Err(wrong(&config.certificate, &detail));
    }
    PrivateKey::load(&config.private_key, None).map_err(key_failure)?;
    Ok(name)
}

/// A commented configuration.
pub(super) fn sample(name: &str, port: u16) -> String {
    format!(
        r#"# Datapact witness. Relative paths are relative to this file. An unknown key is an error.

# The address of this witness; its certificate must bear this name, and so does its key.
url = "https://{name}:{port}"
# Where it listens; port 0 takes a free one. On 127.0.0.1 it is reached from this machine only.
listen = "127.0.0.1:{port}"
# Its certificate chain and private key (PEM).
certificate = "server.pem"
private_key = "server.key"
# Its key and what it has cosigned. A witness that loses this folder gets a new key.
data = "data"
# The logs that it cosigns: the keys that `datapact config init management` and `datapact ledger
# info` print.
logs = []
"#
    )
}
