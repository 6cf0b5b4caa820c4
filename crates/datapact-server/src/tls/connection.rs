//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::problem::{Kind, Problem};
use datapact_api::trust_file::ReloadableTrust;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::body::{Keeping, Lent, pass_over};
use super::config::{peer, why_refused};
use super::occupancy::Occupancy;
use super::slots::{Holder, InUse, Slot};
use crate::config::Deadlines;
use crate::security_log::{Event, Kind as EventKind, SecurityLog};

/// How long what is under way may still take when its connection has to end for another.
const CUT_GRACE: Duration = Duration::from_secs(1);
/// When a caller who has too many connections may try again, in seconds.
const RETRY_AFTER: u64 = 1;

/// Calls without a certificate in a second, and at once after a pause, on one connection.
const PUBLIC_CALLS: NonZeroU32 = NonZeroU32::new(50).expect("it is not 0");
const PUBLIC_CALLS_AT_ONCE: NonZeroU32 = NonZeroU32::new(250).expect("it is not 0");

/// What one connection needs.
pub(super) struct Connection {
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) trust: Option<Arc<ReloadableTrust>>,
    pub(super) occupancy: Arc<Occupancy>,
    pub(super) deadlines: Deadlines,
    pub(super) log: Option<SecurityLog>,
    pub(super) router: Router,
}

impl Connection {
    /// Shakes hands and answers requests until the peer leaves, the server stops, or another
    /// connection needs the slot. `slot` is one for the handshake.
    pub(super) async fn run(
        self,
        stream: TcpStream,
        from: SocketAddr,
        slot: Slot,
        mut stopped: watch::Receiver<()>,
    ) {
        // Who takes no byte of an answer for so long is gone, or wants to hold the connection.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.deadlines.stall()));
        let stream = Box::pin(stream);
        let host = Holder::host(from.ip());
        let Some(acceptor) = &self.acceptor else {
            return self.answer(stream, None, host, slot, stopped).await;
        };
        let handshake = acceptor.accept(stream);
        let stream = tokio::select! {
            _ = stopped.changed() => return,
            () = slot.cut() => return tracing::debug!("a handshake ended for another"),
            result = tokio::time::timeout(self.deadlines.handshake(), handshake) => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    self.refused(why_refused(&error));
                    return tracing::debug!(%error, "a TLS handshake failed");
                }
                Err(_) => {
                    self.refused("handshake-late");
                    return tracing::debug!("a TLS handshake took too long");
                }
            },
        };
        let peer = match &self.trust {
            None => None,
            Some(trust) => match peer(trust, stream.get_ref().1.peer_certificates()) {
                Ok(peer) => Some(peer),
                Err(error) => {
                    self.refused("certificate");
                    return tracing::debug!(%error, "a peer was refused");
                }
            },
        };
        let identity = peer.as_ref().map(|peer| Holder::Identity(peer.identity.clone()));
        self.answer(stream, peer, identity.unwrap_or(host), slot, stopped).await;
    }

    fn refused(&self, why: &'static str) {
        if let Some(log) = &self.log {
            log.report(Event { reason: Some(why), ..Event::new(EventKind::ConnectionRefused) });
        }
    }

    /// Answers requests in a slot of `holder`; without one, refuses the first.
    async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self,
        stream: S,
        peer: Option<AuthenticatedPeer>,
        holder: Holder,
        handshake: Slot,
        mut stopped: watch::Receiver<()>,
    ) {
        let taken = self.occupancy.take(&holder);
        let (slot, header) = match taken {
            Some(slot) => {
                drop(handshake);
                (Ok(Arc::new(slot)), self.deadlines.header())
            }
            // It keeps the slot of its handshake, and no longer than that may last.
            None => (Err(Arc::new(handshake)), self.deadlines.handshake()),
        };
        let pace = peer.is_none().then(|| Arc::new(Pace::new()));
        let (router, held) = (self.router, slot.clone());
        let service = hyper::service::service_fn(move |request| {
            let (router, peer, held) = (router.clone(), peer.clone(), held.clone());
            let pace = pace.clone();
            async move {
                Ok::<_, Infallible>(match held {
                    Ok(slot) => {
                        let in_use = slot.in_use();
                        if let Some(pace) = pace {
                            pace.wait().await;
                        }
                        respond(router, peer, in_use, request).await
                    }
                    Err(_) => refuse(),
                })
            }
        });
        let http = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(http);
        let (Ok(slot) | Err(slot)) = slot;
        let result = tokio::select! {
            result = &mut http => result,
            _ = stopped.changed() => {
                http.as_mut().graceful_shutdown();
                http.await
            }
            () = slot.cut() => {
                http.as_mut().graceful_shutdown();
                tokio::time::timeout(CUT_GRACE, http).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// How often a connection without a certificate may call; what comes faster waits. It is counted by
/// connection and not by address, so that others behind the address do not wait.
struct Pace {
    rate: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Pace {
    fn new() -> Self {
        let quota = Quota::per_second(PUBLIC_CALLS).allow_burst(PUBLIC_CALLS_AT_ONCE);
        Self { rate: RateLimiter::direct(quota), clock: DefaultClock::default() }
    }

    async fn wait(&self) {
        while let Err(not_until) = self.rate.check() {
            tokio::time::sleep(not_until.wait_time_from(self.clock.now())).await;
        }
    }
}

/// Answers a request; the connection is in use until the answer is sent.
async fn respond(
    router: Router,
    peer: Option<AuthenticatedPeer>,
    in_use: InUse,
    request: Request<Incoming>,
) -> Response {
    // A client that waits for `100 Continue` gets it only if its body is wanted.
    let is_sent = !request.headers().contains_key(EXPECT);
    let (rest, mut left) = oneshot::channel();
    let mut request = request.map(|body| Body::new(Lent::new(body, rest)));
    // Whatever the peer sends, only the handshake says who it is.
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let mut response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    if let Ok(body) = left.try_recv()
        && !(is_sent && pass_over(body).await)
    {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Body::new(Keeping { body, _kept: in_use }))
}

/// The only answer on a connection that got no slot.
fn refuse() -> Response {
    let problem = Problem::new(Kind::Busy, "there are too many connections")
        .hint("close some of yours, or try again in a moment")
        .retry_after(RETRY_AFTER);
    let mut response = problem.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
