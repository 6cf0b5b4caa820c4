//! The gate in front of every route: who is calling, whether the server's list admits them, and
//! whether a user has signed this very call (MG-2, AC-1, AC-3).

use std::collections::{HashSet, VecDeque};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use datapact_core::document::Statement;
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, header};

use crate::peer::AuthenticatedPeer;
use crate::problem::{Kind, Problem, Result};

/// The header that carries a user's signed statement.
pub const STATEMENT_HEADER: &str = "datapact-statement";
/// The header by which a caller marks the repeats of one call
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_MAX: usize = 128;
/// How far a statement's time may be from the server's clock, in seconds.
pub const STATEMENT_SECONDS_MAX: u64 = 60;
/// The largest JSON body, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a JSON body may take to arrive: who stops halfway holds no connection for longer.
pub const BODY_SECONDS_MAX: u64 = 30;
/// How much is read of a body that is larger, in bytes.
const PASSED_OVER_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;
/// The most statements remembered against replay; within their life no more can be taken.
const STATEMENTS_MAX: usize = 500_000;

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

/// One line of an access list: a realm (`clinic`), or one identity (`clinic:CN=alice`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Everybody of a realm.
    Realm(String),
    /// One user or server.
    Identity(Identity),
}

/// Whom a server admits (AC-3): who is on `allow` and not on `deny`.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// Admitted.
    pub allow: Vec<Pattern>,
    /// Refused, even if admitted by `allow`.
    pub deny: Vec<Pattern>,
}

impl Pattern {
    fn matches(&self, identity: &Identity) -> bool {
        match self {
            Self::Realm(realm) => *realm == identity.realm,
            Self::Identity(one) => one == identity,
        }
    }
}

impl FromStr for Pattern {
    type Err = datapact_core::identity::ParseIdentityError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if text.contains(':') {
            return text.parse().map(Self::Identity);
        }
        let probe = Identity { realm: text.to_owned(), subject: "CN=x".to_owned() };
        probe.validate().map(|()| Self::Realm(text.to_owned()))
    }
}

impl AccessList {
    /// Whether `identity` is admitted.
    pub fn admits(&self, identity: &Identity) -> bool {
        let listed =
            |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(identity));
        listed(&self.allow) && !listed(&self.deny)
    }
}

/// The gate of one server.
pub struct Gate {
    name: String,
    trust: Source<Trust>,
    access: Source<AccessList>,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// The statements of the last minutes, oldest first.
#[derive(Default)]
struct Seen {
    ids: HashSet<Digest>,
    order: VecDeque<(Timestamp, Digest)>,
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
        Self { name: name.to_owned(), trust, access, clock, seen: Mutex::default() }
    }

    /// Identifies the peer again, so that a revocation counts at once, and consults the list.
    fn admit_peer(&self, peer: &AuthenticatedPeer) -> Result<()> {
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
        if !(self.access)().admits(&identity) {
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
        self.once(signed.document().time, signed.id(), now)
    }

    /// Remembers a statement, and refuses one that was seen.
    fn once(&self, time: Timestamp, id: Digest, now: Timestamp) -> Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Entries are ordered by arrival; each outlives the window in which its statement would be
        // accepted.
        while let Some((until, old)) = seen.order.front().copied() {
            if until >= now {
                break;
            }
            seen.order.pop_front();
            seen.ids.remove(&old);
        }
        if seen.ids.len() >= STATEMENTS_MAX {
            return Err(Problem::new(Kind::Busy, "too many calls at once; try again in a minute"));
        }
        if !seen.ids.insert(id) {
            return Err(Problem::new(Kind::Unauthenticated, "the statement was used before"));
        }
        let until = time.max(now).saturating_add(2 * STATEMENT_SECONDS_MAX);
        seen.order.push_back((until, id));
        Ok(())
    }

    async fn admit(&self, request: Request) -> Result<Request> {
        let peer = request.extensions().get::<AuthenticatedPeer>().cloned().ok_or_else(|| {
            Problem::new(Kind::Unauthenticated, "the connection has no client certificate")
        })?;
        self.admit_peer(&peer)?;
        let (mut parts, body) = request.into_parts();
        // A package is bound by its own signed metadata; everything else is small and signed whole.
        let streamed = parts.headers.get(header::CONTENT_TYPE).is_some_and(|t| t == OCTET_STREAM);
        let (content, body) = if streamed {
            (None, body)
        } else if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            pass_over(body).await;
            return Err(too_large());
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
        let idempotency_key = idempotency_key(&parts.headers)?;
        let if_match = if_match(&parts.headers)?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let statement = parts.headers.get(STATEMENT_HEADER).and_then(|value| value.to_str().ok());
        self.admit_statement(&peer, statement, &Call { method: &parts.method, target, content })?;
        let statement = statement.filter(|_| !peer.identity.is_server()).map(Arc::from);
        parts.extensions.insert(Caller { peer, statement, idempotency_key, if_match });
        Ok(Request::from_parts(parts, body))
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

/// The idempotency key: a string of structured fields (RFC 9651) without escapes.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>> {
    let mut values = headers.get_all(IDEMPOTENCY_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key(IDEMPOTENCY_HEADER) {
            true => Err(Problem::malformed("`Idempotency-Key` is given twice")),
            false => Ok(None),
        };
    };
    let quoted =
        value.to_str().ok().and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"'));
    let plain = |key: &&str| {
        (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len())
            && key.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\')
    };
    quoted.filter(plain).map(|key| Some(Arc::from(key))).ok_or_else(|| {
        let detail = format!(
            "`Idempotency-Key` is 1 to {IDEMPOTENCY_KEY_MAX} characters between double quotes"
        );
        Problem::malformed(detail)
    })
}

/// The one strong entity tag of `If-Match`.
fn if_match(headers: &HeaderMap) -> Result<Option<Arc<str>>> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let tag = value.to_str().ok().filter(|tag| {
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        inner.is_some_and(|inner| !inner.contains('"'))
    });
    match (tag, values.next()) {
        (Some(tag), None) => Ok(Some(Arc::from(tag))),
        _ => Err(Problem::malformed("`If-Match` must be one strong entity tag")),
    }
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
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
