//! Listening: TLS 1.3, who the peer is, and limits on what a connection may take.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::tls::{certificate_error, provider};
use datapact_api::trust_file::ReloadableTrust;
use datapact_core::id::Digest;
use datapact_core::trust::TrustError;
use datapact_log::clock::system_clock;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// How much of an unwanted body is read before its sender is answered, and for how long.
const PASSED_OVER_BYTES_MAX: usize = 256 * 1024;
const PASSED_OVER_TIME_MAX: Duration = Duration::from_secs(1);

/// Bounds on connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's header may take, counted from the end of the previous request: an idle
    /// connection is closed after it.
    pub header: Duration,
    /// How long requests that are under way at shutdown may still take.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(120),
            grace: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// For the operator's listener, where a few probes ask now and then.
    pub(crate) fn operator() -> Self {
        Self { connections: 32, header: Duration::from_secs(30), ..Self::default() }
    }
}

/// A listener of one server: TLS, but for the operator's.
pub struct Listener {
    tcp: TcpListener,
    /// None for plain HTTP.
    config: Option<Arc<ServerConfig>>,
    trust: Option<Arc<ReloadableTrust>>,
    limits: Limits,
}

impl Listener {
    /// Listens at `address` with this certificate (leaf first) and private key. With a `clients`
    /// configuration a peer must show a certificate that it certifies; without one this is a public
    /// listener, where no peer is asked for a certificate and no request carries an
    /// [`AuthenticatedPeer`].
    ///
    /// # Errors
    /// When the address cannot be bound or the key is not that of the certificate.
    pub async fn bind(
        address: SocketAddr,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: Option<Arc<ReloadableTrust>>,
        limits: Limits,
    ) -> io::Result<Self> {
        let config = server_config(chain, key, clients.clone()).map_err(io::Error::other)?;
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { tcp, config: Some(Arc::new(config)), trust: clients, limits })
    }

    /// Listens at `address` without TLS, for the operator of this machine.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn bind_plain(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(address).await?, config: None, trust: None, limits })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves `router` until `shutdown` completes, then lets requests under way finish within the
    /// grace period. A request of an authenticated connection carries its [`AuthenticatedPeer`] as
    /// an extension.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()> + Send) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let acceptor = self.config.map(TlsAcceptor::from);
        tokio::pin!(shutdown);
        loop {
            // A slot first: a connection without one waits in the kernel's queue.
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.tcp, &slots) => accepted,
            };
            let (stream, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = Connection {
                acceptor: acceptor.clone(),
                trust: self.trust.clone(),
                limits: self.limits.clone(),
                router: router.clone(),
            };
            let stopped = stopped.clone();
            connections.spawn(async move {
                connection.run(stream, stopped).await;
                drop(slot);
            });
        }
        drop(self.tcp);
        drop(stopped);
        stop.send_replace(());
        let drained = tokio::time::timeout(self.limits.grace, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!("connections still open after the grace period are closed");
            connections.shutdown().await;
        }
    }
}

async fn accept(
    tcp: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

/// What one connection needs.
struct Connection {
    acceptor: Option<TlsAcceptor>,
    trust: Option<Arc<ReloadableTrust>>,
    limits: Limits,
    router: Router,
}

impl Connection {
    /// Shakes hands and answers requests until the peer leaves or the server stops.
    async fn run(self, stream: TcpStream, mut stopped: watch::Receiver<()>) {
        let Some(acceptor) = self.acceptor.clone() else {
            return self.answer(stream, None, stopped).await;
        };
        let handshake = tokio::time::timeout(self.limits.handshake, acceptor.accept(stream));
        let stream = tokio::select! {
            _ = stopped.changed() => return,
            result = handshake => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => return tracing::debug!("a TLS handshake took too long"),
            },
        };
        let peer = match &self.trust {
            None => None,
            Some(trust) => match peer(trust, stream.get_ref().1.peer_certificates()) {
                Ok(peer) => Some(peer),
                Err(error) => return tracing::debug!(%error, "a peer was refused"),
            },
        };
        self.answer(stream, peer, stopped).await;
    }

    /// Answers requests until the peer leaves or the server stops.
    async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self,
        stream: S,
        peer: Option<AuthenticatedPeer>,
        mut stopped: watch::Receiver<()>,
    ) {
        let router = self.router;
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            // A client that waits for `100 Continue` gets it only if its body is wanted.
            let is_sent = !request.headers().contains_key(EXPECT);
            let (rest, mut left) = oneshot::channel();
            let mut request =
                request.map(|body| Body::new(Lent { body: Some(body), rest: Some(rest) }));
            // Whatever the peer sends, only the handshake says who it is.
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            let router = router.clone();
            async move {
                let mut response =
                    router.oneshot(request).await.unwrap_or_else(|never| match never {});
                if let Ok(body) = left.try_recv()
                    && !(is_sent && pass_over(body).await)
                {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let http = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(http);
        let result = tokio::select! {
            result = &mut http => result,
            _ = stopped.changed() => {
                http.as_mut().graceful_shutdown();
                http.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// A request's body, which comes back when it is no longer read.
struct Lent {
    body: Option<Incoming>,
    rest: Option<oneshot::Sender<Incoming>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(rest)) = (self.body.take(), self.rest.take())
            && !body.is_end_stream()
        {
            let _ = rest.send(body);
        }
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, hyper::body::Body::size_hint)
    }
}

/// Reads on for a moment, and says whether the body came to its end: if not, the connection ends,
/// and a client that is still sending may never see the answer.
async fn pass_over(mut body: Incoming) -> bool {
    let reading = async {
        let mut left = PASSED_OVER_BYTES_MAX;
        while left > 0 {
            match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                Some(Ok(frame)) => {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len))
                }
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    };
    tokio::time::timeout(PASSED_OVER_TIME_MAX, reading).await.is_ok_and(|ended| ended)
}

/// Who shook hands.
fn peer(
    trust: &ReloadableTrust,
    chain: Option<&[CertificateDer<'static>]>,
) -> Result<AuthenticatedPeer, TrustError> {
    let chain = chain.unwrap_or_default().to_vec();
    let certificate = Digest::of(chain.first().ok_or(TrustError::NoCertificate)?);
    let identity = trust.current().identify(&chain, system_clock()())?;
    Ok(AuthenticatedPeer { identity, chain, certificate })
}

/// The server's side of a connection: TLS 1.3 only, no resumption (each handshake shows the
/// certificate).
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<ReloadableTrust>>,
) -> Result<ServerConfig, Error> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = match clients {
        Some(trust) => {
            builder.with_client_cert_verifier(Arc::new(ClientVerifier { trust, provider }))
        }
        None => builder.with_no_client_auth(),
    }
    .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// Verifies clients by the trust configuration as it is at the handshake: users of all realms, and
/// servers.
#[derive(Debug)]
struct ClientVerifier {
    trust: Arc<ReloadableTrust>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.trust
            .current()
            .identify(&chain, now.as_secs())
            .map(|_| ClientCertVerified::assertion())
            .map_err(certificate_error)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
