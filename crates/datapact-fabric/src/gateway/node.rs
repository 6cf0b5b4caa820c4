//! One peer or orderer: a connection that is made when it is needed, and made again from the files
//! when it failed.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use prost::Message;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use super::config::{NodeConfig, TlsConfig};
use super::error::GatewayError;
use crate::proto::block::{DeliverResponse, Envelope};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Fabric's nodes hang up on clients that probe more often than once a minute.
const KEEPALIVE: Duration = Duration::from_secs(75);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes: what Fabric's own programs read.
const ANSWER_BYTES_MAX: usize = 100 * 1024 * 1024;

/// A node.
pub(crate) struct Node {
    config: NodeConfig,
    tls: Option<TlsConfig>,
    connection: Mutex<Option<Connection>>,
}

#[derive(Clone)]
struct Connection {
    channel: Channel,
    /// SHA-256 of the client's TLS certificate.
    certificate: Bytes,
}

impl Node {
    pub(crate) fn new(config: NodeConfig, tls: Option<TlsConfig>) -> Self {
        Self { config, tls, connection: Mutex::default() }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.config.address
    }

    /// SHA-256 of the client's TLS certificate, by which a delivery is bound to its connection;
    /// empty without one.
    pub(crate) fn certificate(&self) -> Result<Bytes, GatewayError> {
        Ok(self.connection()?.certificate)
    }

    /// Asks once.
    pub(crate) async fn unary<Q, A>(
        &self,
        path: &'static str,
        request: Q,
        timeout: Duration,
    ) -> Result<A, GatewayError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc()?;
        let asked = async {
            grpc.ready().await.map_err(|e| tonic::Status::from_error(e.into()))?;
            grpc.unary(
                Request::new(request),
                PathAndQuery::from_static(path),
                ProstCodec::<Q, A>::default(),
            )
            .await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.silent(timeout)),
        }
    }

    /// Begins a delivery; the first answer must come within `timeout`.
    pub(crate) async fn deliver(
        &self,
        path: &'static str,
        envelope: Envelope,
        timeout: Duration,
    ) -> Result<Streaming<DeliverResponse>, GatewayError> {
        let mut grpc = self.grpc()?;
        let asked = async {
            grpc.ready().await.map_err(|e| tonic::Status::from_error(e.into()))?;
            let request = Request::new(tokio_stream::once(envelope));
            let codec = ProstCodec::<Envelope, DeliverResponse>::default();
            grpc.streaming(request, PathAndQuery::from_static(path), codec).await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(answers)) => Ok(answers.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.silent(timeout)),
        }
    }

    /// The error that `status` is; the next call connects again when the connection failed.
    pub(crate) fn failed(&self, status: &tonic::Status) -> GatewayError {
        let error = GatewayError::of(self.address(), status);
        if matches!(error, GatewayError::Unreachable(_) | GatewayError::Misconfigured(_)) {
            self.forget();
        }
        error
    }

    fn silent(&self, timeout: Duration) -> GatewayError {
        GatewayError::Unreachable(format!(
            "`{}` has not answered for {} s",
            self.address(),
            timeout.as_secs()
        ))
    }

    fn forget(&self) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn grpc(&self) -> Result<Grpc<Channel>, GatewayError> {
        let grpc = Grpc::new(self.connection()?.channel);
        Ok(grpc
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX))
    }

    fn connection(&self) -> Result<Connection, GatewayError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let fresh = self.connect()?;
        *connection = Some(fresh.clone());
        Ok(fresh)
    }

    fn connect(&self) -> Result<Connection, GatewayError> {
        let address = &self.config.address;
        let wrong = |detail: &dyn std::fmt::Display| {
            GatewayError::Misconfigured(format!("`{address}`: {detail}"))
        };
        let (scheme, rest) = address.split_once("://").unwrap_or(("grpcs", address));
        let scheme = if scheme == "grpc" { "http" } else { "https" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{rest}"))
            .map_err(|e| wrong(&e))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let mut certificate = Bytes::new();
        if let Some(file) = &self.config.tls_ca_file {
            let ca = read(file)?;
            // The library takes any bytes; an operator wants to read that they were not a
            // certificate.
            CertificateDer::from_pem_slice(&ca).map_err(|e| {
                wrong(&format_args!("`{}` holds no certificate: {e}", file.display()))
            })?;
            let mut tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(ca))
                .timeout(CONNECT_TIMEOUT);
            if let Some(name) = &self.config.server_name {
                tls = tls.domain_name(name);
            }
            if let Some(own) = &self.tls {
                let pem = read(&own.certificate_file)?;
                let der = CertificateDer::from_pem_slice(&pem).map_err(|e| {
                    wrong(&format_args!(
                        "`{}` holds no certificate: {e}",
                        own.certificate_file.display()
                    ))
                })?;
                certificate = Bytes::copy_from_slice(digest(&SHA256, &der).as_ref());
                tls = tls.identity(Identity::from_pem(pem, read(&own.key_file)?));
            }
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|e| wrong(&format_args!("its TLS settings: {e:?}")))?;
        }
        Ok(Connection { channel: endpoint.connect_lazy(), certificate })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, GatewayError> {
    fs::read(path)
        .map_err(|e| GatewayError::Misconfigured(format!("the TLS file `{}`: {e}", path.display())))
}
