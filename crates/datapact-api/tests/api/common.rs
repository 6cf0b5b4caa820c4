//! Two realms, a stopped clock, and calls to a storage server that says what reached it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use datapact_api::gate::{AccessList, Caller, Gate, STATEMENT_HEADER, gated};
use datapact_api::operation::Page;
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::problem::{Problem, Result};
use datapact_api::storage_server::{
    self, ByteRange, ByteStream, Download, PackageAddress, PackageStatus, Packages, Part,
    UploadOffset, Uploads,
};
use datapact_api::user::{UserNotice, Users};
use datapact_core::document::Statement;
use datapact_core::id::{Digest, PackageId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::trust::{Trust, subject};
use datapact_log::clock::Clock;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use tower::ServiceExt as _;

/// The server's name.
pub(crate) const SERVER: &str = "storage.example";
/// The tests' present.
pub(crate) const NOW: Timestamp = 1_800_000_000;

/// A CA for one realm.
pub(crate) struct Realm {
    name: String,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Realm {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{name} CA"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { name: name.to_owned(), ca }
    }

    /// A user, or in the realm `server` a server.
    pub(crate) fn member(&self, name: &str) -> Member {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if self.name == "server" {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap().der().clone();
        let subject =
            if self.name == "server" { name.to_owned() } else { subject(&certificate).unwrap() };
        let identity = Identity { realm: self.name.clone(), subject };
        Member(Arc::new(Signer::new(&key.serialize_der(), vec![certificate], identity).unwrap()))
    }
}

/// A caller with a certificate.
#[derive(Clone)]
pub(crate) struct Member(Arc<Signer>);

impl Member {
    pub(crate) fn identity(&self) -> &Identity {
        self.0.identity()
    }

    pub(crate) fn peer(&self) -> AuthenticatedPeer {
        let chain: Vec<CertificateDer<'static>> = self.0.chain().to_vec();
        let certificate = Digest::of(&chain[0]);
        AuthenticatedPeer { identity: self.identity().clone(), chain, certificate }
    }

    /// A statement to `server` about a call.
    pub(crate) fn says(&self, server: &str, time: Timestamp, call: &Call) -> String {
        let content =
            (!call.streamed && !call.body.is_empty()).then(|| Digest::of(call.body.as_bytes()));
        let statement =
            Statement { method: call.method.to_owned(), target: call.target.clone(), content };
        self.0.sign(server, time, statement).as_str().to_owned()
    }
}

/// A call before it is sent.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) body: String,
    pub(crate) streamed: bool,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Call {
    pub(crate) fn new(method: &'static str, target: &str, body: &str) -> Self {
        let (target, body) = (target.to_owned(), body.to_owned());
        Self { method, target, body, streamed: false, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The request that `peer` sends with the statement given.
    pub(crate) fn request(&self, peer: Option<&Member>, statement: Option<&str>) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if self.streamed {
            request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        }
        if let Some(statement) = statement {
            request = request.header(STATEMENT_HEADER, statement);
        }
        let mut request = request.body(Body::from(self.body.clone())).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer.peer());
        }
        request
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// That it is a problem of `kind` whose detail contains `detail`.
    #[track_caller]
    pub(crate) fn is_problem(&self, kind: &str, detail: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["type"], format!("urn:datapact:problem:{kind}"), "{json}");
        assert_eq!(json["status"], self.status.as_u16(), "{json}");
        assert!(json["detail"].as_str().unwrap().contains(detail), "{json}");
    }
}

/// Realms, members, and a storage server behind a gate.
pub(crate) struct World {
    pub(crate) alice: Member,
    pub(crate) mallory: Member,
    pub(crate) bob: Member,
    pub(crate) management: Member,
    pub(crate) stranger: Member,
    pub(crate) app: Router,
    time: Arc<AtomicU64>,
}

impl World {
    /// The clinic's users and management are admitted, bob is denied, and all others are unlisted.
    pub(crate) fn new() -> Self {
        Self::with(|gate| gated(storage_server::routes(Echo), gate))
    }

    pub(crate) fn with(app: impl FnOnce(Arc<Gate>) -> Router) -> Self {
        let (clinic, lab, servers) =
            (Realm::new("clinic"), Realm::new("lab"), Realm::new("server"));
        let mut trust = Trust::default();
        for realm in [&clinic, &lab, &servers] {
            trust.add(&realm.name, vec![realm.ca.der().clone()], Vec::new()).unwrap();
        }
        let list = AccessList {
            allow: vec!["clinic".parse().unwrap(), "server:management.example".parse().unwrap()],
            deny: vec!["clinic:CN=bob".parse().unwrap()],
        };
        let (trust, list) = (Arc::new(trust), Arc::new(list));
        let time = Arc::new(AtomicU64::new(NOW));
        let clock: Clock = Arc::new({
            let time = time.clone();
            move || time.load(Ordering::Relaxed)
        });
        let gate = Gate::new(
            SERVER,
            Arc::new(move || trust.clone()),
            Arc::new(move || list.clone()),
            clock,
        );
        let uploads = datapact_api::storage_server::upload::OPERATIONS.iter();
        let uploads = uploads.filter(|operation| operation.takes_package());
        let gate = gate.taking_packages(uploads.map(|upload| (upload.method, upload.path)));
        Self {
            alice: clinic.member("alice"),
            mallory: clinic.member("mallory"),
            bob: clinic.member("bob"),
            management: servers.member("management.example"),
            stranger: lab.member("carol"),
            app: app(Arc::new(gate)),
            time,
        }
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.app.clone().oneshot(request).await.unwrap()).await
    }

    /// `member` makes the call as it should be made.
    pub(crate) async fn call(&self, member: &Member, call: &Call) -> Answer {
        let statement = member.says(SERVER, self.time.load(Ordering::Relaxed), call);
        self.send(call.request(Some(member), Some(&statement))).await
    }
}

/// A storage server that says what reached it: the caller as provider, lengths and ranges as they
/// came.
struct Echo(Caller);

/// How many bytes the package has that the storage server gives.
pub(crate) const SIZE: u64 = 1000;

#[async_trait]
impl Packages for Echo {
    async fn register_package(&self) -> Result<PackageAddress> {
        Ok(PackageAddress { id: PackageId([7; 16]), address: self.0.identity().to_string() })
    }

    async fn package_status(&self, id: &PackageId) -> Result<PackageStatus> {
        self.0.require_server("management.example")?;
        let package = PackageAddress { id: *id, address: String::new() };
        Ok(PackageStatus {
            package,
            provider: self.0.identity().clone(),
            stored: false,
            digest: None,
            size: None,
        })
    }

    async fn download(&self, _id: &PackageId, range: Option<ByteRange>) -> Result<Download> {
        let range = range.unwrap_or(ByteRange { first: 0, last: None });
        let length = range.last.unwrap_or(SIZE - 1) + 1 - range.first;
        let bytes = Bytes::from(vec![0; usize::try_from(length).unwrap()]);
        let bytes = futures_util::stream::iter([Ok(bytes)]).boxed();
        Ok(Download { size: SIZE, first: range.first, length, bytes })
    }

    async fn packages(&self, _page: Page<PackageId>) -> Result<Vec<PackageStatus>> {
        Ok(Vec::new())
    }

    async fn delete_package(&self, _id: &PackageId) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Uploads for Echo {
    async fn upload(&self, id: &PackageId, size: u64, bytes: ByteStream) -> Result<PackageStatus> {
        self.0.require_user()?;
        let received: Vec<Bytes> = bytes.try_collect().await.map_err(Problem::malformed)?;
        let received = received.concat();
        assert_eq!(received.len() as u64, size);
        Ok(PackageStatus {
            package: PackageAddress { id: *id, address: String::new() },
            provider: self.0.identity().clone(),
            stored: true,
            digest: Some(Digest::of(&received)),
            size: Some(size),
        })
    }

    async fn upload_offset(&self, _id: &PackageId) -> Result<UploadOffset> {
        Ok(UploadOffset { offset: 0, stored: false })
    }

    async fn append(
        &self,
        id: &PackageId,
        part: &Part,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        self.upload(id, part.size, bytes).await
    }
}

#[async_trait]
impl Users for Echo {
    async fn set_user(&self, _notice: &UserNotice) -> Result<()> {
        self.0.require_server("management.example")
    }
}
