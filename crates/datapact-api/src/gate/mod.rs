//! The gate in front of every route: who is calling, whether the server's list admits them, and
//! whether a user has signed this very call (MG-2, AC-1, AC-3).

mod access;
mod calls;
mod check;
mod headers;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use datapact_core::document::Statement;
use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use futures_util::StreamExt as _;
use http::{Method, header};

pub use self::access::{AccessList, Pattern};
pub use self::calls::{CallLimits, STATEMENT_SECONDS_MAX};
use self::calls::{Calls, UnderWay};
pub use self::check::Check;
use self::check::Refused;
pub use self::headers::{IDEMPOTENCY_HEADER, IDEMPOTENCY_KEY_MAX};
use crate::peer::AuthenticatedPeer;
use crate::problem::{Kind, Problem, Result};

/// The header that carries a user's signed statement.
pub const STATEMENT_HEADER: &str = "datapact-statement";
/// The largest JSON body, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a JSON body may take to arrive: who stops halfway holds no connection for longer.
pub const BODY_SECONDS_MAX: u64 = 30;
/// How much is read of a body that is larger, in bytes.
const PASSED_OVER_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;

/// How long a caller waits to be told that it calls too much.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The current value of something that is reloaded while the server runs.
pub type Source<T> = Arc<dyn Fn() -> Arc<T> + Send + Sync>;
/// A caller that has passed the gate.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who, and with which certificate.
    pub peer: AuthenticatedPeer,
    /// The statement of this very call that a user has signed, for records.
    pub statement: Option<Arc<str>>,
    /// What names this call among its repeats, if the caller said so.
    pub idempotency_key: Option<Arc<str>>,
    /// The entity tag that what is to be changed must have (RFC 9110, `If-Match`).
    pub if_match: Option<Arc<str>>,
}

impl Caller {
    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.peer.identity
    }

    /// The server called `name`, or a refusal.
    pub fn require_server(&self, name: &str) -> Result<()> {
        if *self.identity() == Identity::server(name) {
            Ok(())
        } else {
            Err(Problem::forbidden(format!("only the server `{name}` may call this")))
        }
    }

    /// Refuses a change of what is not, any more, what the caller has seen.
    pub fn require_match(&self, tag: &str) -> Result<()> {
        if self.if_match.as_deref().is_none_or(|wanted| wanted == tag) {
            return Ok(());
        }
        let problem = Problem::new(Kind::PreconditionFailed, "it was changed since you read it");
        Err(problem.hint("read it again, then decide"))
    }

    /// A user, or a refusal.
    pub fn require_user(&self) -> Result<&Identity> {
        if self.identity().is_server() {
            Err(Problem::forbidden("only users may call this, not servers"))
        } else {
            Ok(self.identity())
        }
    }
}

/// The gate of one server.
pub struct Gate {
    name: String,
    trust: Source<Trust>,
    access: Source<AccessList>,
    clock: Clock,
    calls: Arc<Calls>,
    /// Servers whose calls no limit is for.
    own_servers: Vec<Identity>,
    /// Method and path of the routes that take a package.
    packages: Vec<(&'static str, &'static str)>,
}

/// What of a call is signed.
struct Call<'a> {
    method: &'a Method,
    target: &'a str,
    content: Option<Digest>,
}

impl Gate {
    /// The gate of the server whose certificate bears `name`.
    pub fn new(name: &str, trust: Source<Trust>, access: Source<AccessList>, clock: Clock) -> Self {
        let calls = Arc::new(Calls::new(CallLimits::default()));
        let name = name.to_owned();
        Self { name, trust, access, clock, calls, own_servers: Vec::new(), packages: Vec::new() }
    }

    /// The same with these limits for every caller but the servers of these names.
    #[must_use]
    pub fn limited(mut self, limits: CallLimits, own_servers: &[String]) -> Self {
        self.calls = Arc::new(Calls::new(limits));
        self.own_servers = own_servers.iter().map(|name| Identity::server(name)).collect();
        self
    }

    /// The same in front of routes that take a package, each by its method in lower case and its
    /// path. No other takes a body that its caller's statement does not cover.
    #[must_use]
    pub fn taking_packages(
        mut self,
        routes: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Self {
        self.packages.extend(routes);
        self
    }

    /// Counts a call, unless the peer is one of the servers that no limit is for.
    fn begin(&self, peer: &AuthenticatedPeer) -> Result<Option<UnderWay>> {
        if self.own_servers.contains(&peer.identity) {
            return Ok(None);
        }
        self.calls.begin(&peer.identity).map(Some)
    }

    /// Whether what is called takes a package.
    fn takes_package(&self, method: &Method, path: Option<&MatchedPath>) -> bool {
        let is_called = |(verb, route): &(&str, &str)| {
            verb.eq_ignore_ascii_case(method.as_str()) && path.is_some_and(|p| p.as_str() == *route)
        };
        self.packages.iter().any(is_called)
    }

    /// Identifies the peer again, so that a revocation counts at once.
    fn identify(&self, peer: &AuthenticatedPeer) -> Result<()> {
        let now = (self.clock)();
        let identity = (self.trust)().identify(&peer.chain, now).map_err(|e| {
            Problem::new(Kind::Unauthenticated, e).hint("renew the certificate or ask its CA")
        })?;
        if identity != peer.identity {
            return Err(Problem::new(
                Kind::Unauthenticated,
                "the certificate now identifies another user",
            ));
        }
        Ok(())
    }

    /// Consults the access list.
    fn admit_identity(&self, identity: &Identity) -> Result<()> {
        if !(self.access)().admits(identity) {
            let detail =
                format!("`{identity}` is not admitted by the access list of `{}`", self.name);
            return Err(Problem::forbidden(detail).hint("ask the server's operator"));
        }
        Ok(())
    }

    /// Checks that the peer, if it is a user, has signed this call, once and lately.
    fn admit_statement(
        &self,
        peer: &AuthenticatedPeer,
        statement: Option<&str>,
        call: &Call<'_>,
    ) -> Result<()> {
        if peer.identity.is_server() {
            return Ok(());
        }
        let refused = |detail: &str| Problem::new(Kind::Unauthenticated, detail);
        let statement =
            statement.ok_or_else(|| refused("the call carries no `datapact-statement` header"))?;
        let signed = Signed::<Statement>::parse(statement).map_err(|e| refused(&e.to_string()))?;
        let now = (self.clock)();
        signed.verify(&(self.trust)(), &self.name, now).map_err(|e| refused(&e.to_string()))?;
        if *signed.signer() != peer.identity {
            return Err(refused("another user has signed the statement"));
        }
        let said = signed.body();
        if said.method != call.method.as_str()
            || said.target != call.target
            || said.content != call.content
        {
            return Err(refused("the statement is about another call"));
        }
        if signed.document().time.abs_diff(now) > STATEMENT_SECONDS_MAX {
            let detail = "the signed statement is more than 60 seconds old or ahead";
            return Err(refused(detail).hint("compare this machine's clock with the server's"));
        }
        self.calls.once(&peer.identity, signed.document().time, signed.id(), now)
    }

    async fn admit(
        &self,
        request: Request,
    ) -> std::result::Result<(Request, Option<UnderWay>), Refused> {
        let peer = request.extensions().get::<AuthenticatedPeer>().cloned().ok_or_else(|| {
            Problem::new(Kind::Unauthenticated, "the connection has no client certificate")
        })?;
        // First, since all that follows costs more; and after a pause, so that a caller who sends
        // on without reading is not answered faster than it may call.
        let under_way = match self.begin(&peer) {
            Ok(under_way) => under_way,
            Err(problem) => {
                tokio::time::sleep(BUSY_PAUSE).await;
                return Err(problem.into());
            }
        };
        self.identify(&peer).map_err(Check::Certificate.refused())?;
        self.admit_identity(&peer.identity).map_err(Check::AccessList.refused())?;
        let (mut parts, body) = request.into_parts();
        // A package is bound by its own signed metadata; everything else is small and signed whole.
        let streamed = parts.headers.get(header::CONTENT_TYPE).is_some_and(|t| t == OCTET_STREAM);
        if streamed && !self.takes_package(&parts.method, parts.extensions.get::<MatchedPath>()) {
            let detail = format!("this address takes no package, so no `{OCTET_STREAM}`");
            let problem = Problem::malformed(detail);
            return Err(problem.hint("send JSON, and sign it with the call").into());
        }
        let (content, body) = if streamed {
            (None, body)
        } else if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            pass_over(body).await;
            return Err(too_large().into());
        } else {
            let arriving = axum::body::to_bytes(body, BODY_BYTES_MAX);
            let arrived =
                tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), arriving).await;
            let late = |_| {
                Problem::malformed(format!(
                    "the body did not arrive within {BODY_SECONDS_MAX} seconds"
                ))
            };
            let bytes = arrived.map_err(late)?.map_err(|_| too_large())?;
            let content = (!bytes.is_empty()).then(|| Digest::of(&bytes));
            (content, Body::from(bytes))
        };
        let idempotency_key = headers::idempotency_key(&parts.headers)?;
        let if_match = headers::if_match(&parts.headers)?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let statement = parts.headers.get(STATEMENT_HEADER).and_then(|value| value.to_str().ok());
        let call = Call { method: &parts.method, target, content };
        self.admit_statement(&peer, statement, &call).map_err(Check::Statement.refused())?;
        let statement = statement.filter(|_| !peer.identity.is_server()).map(Arc::from);
        parts.extensions.insert(Caller { peer, statement, idempotency_key, if_match });
        Ok((Request::from_parts(parts, body), under_way))
    }
}

pub(crate) fn too_large() -> Problem {
    Problem::new(Kind::TooLarge, format!("the body is larger than {BODY_BYTES_MAX} bytes"))
}

/// Reads on for a while: who is still sending when the connection ends never sees the answer.
async fn pass_over(body: Body) {
    let mut parts = body.into_data_stream();
    let reading = async {
        let mut left = PASSED_OVER_BYTES_MAX;
        while let Some(Ok(part)) = parts.next().await
            && left > 0
        {
            left = left.saturating_sub(part.len());
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), reading).await;
}

/// The media type of streamed bodies.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";

/// Puts the gate in front of a server's routes, and answers all other addresses and methods.
pub fn gated(routes: Router, gate: Arc<Gate>) -> Router {
    routes
        .fallback(|| async { Problem::not_found("this server has no such address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::MethodNotAllowed, "this address does not take this method")
        })
        .layer(middleware::from_fn_with_state(gate, pass))
}

/// The middleware: lets a call through with its [`Caller`], or answers why not.
async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.admit(request).await {
        Ok((request, _under_way)) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}
