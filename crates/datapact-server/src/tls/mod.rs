//! Listening: TLS 1.3, who the peer is, and limits on what a connection may take.

mod body;
mod config;
mod connection;
mod occupancy;
mod slots;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use datapact_api::trust_file::ReloadableTrust;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use crate::config::{Deadlines, Limits};
use crate::security_log::SecurityLog;
use config::server_config;
use connection::Connection;
pub(crate) use occupancy::Occupancy;
use slots::Holder;

/// How long requests that are under way at shutdown may still take.
const GRACE: Duration = Duration::from_secs(10);
/// How much may be on its way to a peer without a certificate, as the kernel counts it.
const PUBLIC_SEND_BYTES: u32 = 128 * 1024;
/// How many connections the kernel keeps that are not accepted yet.
const BACKLOG: u32 = 1024;
/// How long nothing is accepted when the system has no room for another connection.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(50);

/// What a listener lets its callers take.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// How much at once, and for how long.
    pub limits: Limits,
    /// The names of servers that have slots for themselves.
    pub own_servers: Vec<String>,
}

impl Bounds {
    /// For the operator's listener, where a few probes ask now and then.
    pub(crate) fn operator() -> Self {
        let limits = Limits {
            connections: 32,
            connections_of_address: 32,
            handshakes: 32,
            deadlines: Deadlines { header_seconds: 30, ..Deadlines::default() },
            ..Limits::default()
        };
        Self { limits, own_servers: Vec::new() }
    }
}

/// A listener of one server: TLS, but for the operator's.
pub struct Listener {
    tcp: TcpListener,
    /// None for plain HTTP.
    config: Option<Arc<ServerConfig>>,
    trust: Option<Arc<ReloadableTrust>>,
    deadlines: Deadlines,
    occupancy: Arc<Occupancy>,
    /// Told of connections that are refused.
    log: Option<SecurityLog>,
}

impl Listener {
    /// Listens at `address` with this certificate (leaf first) and private key. With a `clients`
    /// configuration a peer must show a certificate that it certifies; without one this is a public
    /// listener, where no peer is asked for a certificate and no request carries an
    /// [`datapact_api::peer::AuthenticatedPeer`].
    ///
    /// # Errors
    /// When the address cannot be bound or the key is not that of the certificate.
    pub async fn bind(
        address: SocketAddr,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: Option<Arc<ReloadableTrust>>,
        bounds: &Bounds,
    ) -> io::Result<Self> {
        let config = server_config(chain, key, clients.clone()).map_err(io::Error::other)?;
        Self::listen(address, Some(Arc::new(config)), clients, bounds).await
    }

    /// Listens at `address` without TLS, for the operator of this machine.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn bind_plain(address: SocketAddr) -> io::Result<Self> {
        Self::listen(address, None, None, &Bounds::operator()).await
    }

    async fn listen(
        address: SocketAddr,
        config: Option<Arc<ServerConfig>>,
        trust: Option<Arc<ReloadableTrust>>,
        bounds: &Bounds,
    ) -> io::Result<Self> {
        let Bounds { limits, own_servers } = bounds;
        let occupancy = Occupancy::new(limits, trust.is_some(), own_servers);
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if trust.is_none() {
            // Connections inherit it. What is served to all is small; a peer that reads none of it
            // would otherwise hold megabytes of the kernel's.
            socket.set_send_buffer_size(PUBLIC_SEND_BYTES)?;
        }
        socket.bind(address)?;
        let tcp = socket.listen(BACKLOG)?;
        Ok(Self { tcp, config, trust, deadlines: limits.deadlines, occupancy, log: None })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Reports connections that are refused to this log.
    pub(crate) fn report_to(&mut self, log: SecurityLog) {
        self.log = Some(log);
    }

    /// Who occupies it.
    pub(crate) fn occupancy(&self) -> Arc<Occupancy> {
        Arc::clone(&self.occupancy)
    }

    /// Serves `router` until `shutdown` completes, then lets requests under way finish within the
    /// grace period. A request of an authenticated connection carries its
    /// [`datapact_api::peer::AuthenticatedPeer`] as an extension.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let acceptor = self.config.map(TlsAcceptor::from);
        tokio::pin!(shutdown);
        loop {
            // Whatever arrives is accepted: what waits in the kernel's queue is in the way of all.
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.tcp) => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_the_peer(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(NO_ROOM_PAUSE).await;
                    continue;
                }
            };
            let Some(slot) = self.occupancy.arrive(&Holder::host(from.ip())) else { continue };
            let connection = Connection {
                acceptor: acceptor.clone(),
                trust: self.trust.clone(),
                occupancy: Arc::clone(&self.occupancy),
                deadlines: self.deadlines,
                log: self.log.clone(),
                router: router.clone(),
            };
            connections.spawn(connection.run(stream, from, slot, stopped.clone()));
        }
        drop(self.tcp);
        drop(stopped);
        stop.send_replace(());
        let drained =
            tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!("connections still open after the grace period are closed");
            connections.shutdown().await;
        }
    }
}

async fn accept(tcp: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, from) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, from))
}

/// Whether a peer that went away is the cause: that costs the others no time.
fn is_of_the_peer(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    let kinds = [ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput];
    kinds.contains(&error.kind())
}
