//! The chaincode side of the stream between a peer and its chaincode, as a service.
//!
//! A peer dials in and calls `protos.Chaincode/Connect`, one stream both ways. [`serve`] answers
//! any number of peers; `stream` is one peer's stream, `transaction` one of the many transactions
//! in flight on it.

mod service;
mod stream;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::{ServerTlsConfig, TcpIncoming};
use tonic::transport::{Certificate, Identity, Server};

use crate::contract::Contract;
use service::ChaincodeService;

/// The longest message taken: a peer takes proposals of up to 100 MiB and repeats their arguments.
const MESSAGE_BYTES_MAX: usize = (2 * 100 + 1) << 20;
/// The most that a peer may send ahead on its stream.
const WINDOW_BYTES: u32 = 1 << 20;
/// How often a silent connection is probed, so that one to a peer that is gone ends.
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// How long connections have to close once their streams have ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The chaincode's TLS, all of it PEM.
pub struct ServerTls {
    /// The private key.
    pub key: Vec<u8>,
    /// The certificate and those above it.
    pub certificate: Vec<u8>,
    /// The CA that certifies the peers' side of the connection; none lets anyone connect.
    pub client_ca: Option<Vec<u8>>,
}

/// Serves peers on `listener` as the chaincode with the package id `package` until `stop` is true
/// or its sender is gone; then every stream is ended at once.
///
/// # Errors
/// When the TLS material cannot be used or the listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerTls>,
    package: String,
    contract: Arc<Contract>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let service = ChaincodeService::new(package, contract, stop.clone());
    let mut server = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keepalive_interval(Some(PROBE_EVERY));
    if let Some(ServerTls { key, certificate, client_ca }) = tls {
        let config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let config = match client_ca {
            Some(ca) => config.client_ca_root(Certificate::from_pem(ca)),
            None => config,
        };
        server = server.tls_config(config)?;
    }
    // A read of the state is a small message each way: waiting to send more at once would cost 40
    // ms every time.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut stopping = stop.clone();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let serving = server.add_service(service).serve_with_incoming_shutdown(incoming, stopped);
    let overdue = async {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(CLOSE_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => served,
        () = overdue => Ok(()),
    }
}
