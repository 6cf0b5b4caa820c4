//! Running a witness: one listener, which asks for no client certificate.

use std::future::Future;
use std::path::Path;

use datapact_api::{public, witness};
use datapact_core::trust::server_name;
use datapact_log::clock::system_clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::host::private_key;
use super::{Ready, ServeError};
use crate::config::{ConfigError, WitnessConfig};
use crate::tls::{Bounds, Listener};
use crate::witness::WitnessServer;

/// Serves a witness until `shutdown`.
pub async fn serve_witness(
    path: &Path,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let config = WitnessConfig::load(path)?;
    let wrong = |detail: String| ServeError::File(config.certificate.clone(), detail);
    let chain = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| wrong(format!("no certificate chain in PEM: {e}")))?;
    let leaf = chain.first().ok_or_else(|| wrong("it holds no certificate".to_owned()))?;
    let name = config.name().map_err(|e| ConfigError::Wrong(path.to_owned(), e))?;
    let bears = server_name(leaf).map_err(|e| wrong(e.to_string()))?;
    if bears != name {
        return Err(wrong(format!("it is for `{bears}`, not for `{name}`")));
    }
    let key = private_key(&config.private_key)?;
    let server = WitnessServer::open(&config, system_clock()).await?;
    let at = config.listen;
    let listener = Listener::bind(at, chain, key, None, &Bounds::default()).await;
    let listener = listener.map_err(|e| ServeError::Listen(at, e))?;
    let listen = listener.local_addr().map_err(|e| ServeError::Listen(at, e))?;
    let router = public::router(server.clone()).merge(witness::routes(server));
    ready(Ready {
        role: "witness",
        url: config.url.clone(),
        listen,
        public_listen: listen,
        operator_listen: None,
    });
    tracing::info!(role = "witness", name, "listening");
    listener.serve(router, shutdown).await;
    tracing::info!(role = "witness", "stopped");
    Ok(())
}
