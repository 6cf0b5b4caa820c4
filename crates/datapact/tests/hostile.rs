//! Bad input at the real listeners, over TLS: every refusal says by kind and message what was
//! wrong, and changes nothing (MG-2, AC-1, AC-3, KS-5, DS-1, SH-7). Bytes are written by hand,
//! since no client of ours would send them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::{ReleaseKey, ShownPolicy, StoreKey};
use datapact_api::management::Role;
use datapact_api::operation::Page;
use datapact_api::public::Health;
use datapact_client::ca::{Ca, Kind as CertificateKind};
use datapact_client::key_file::PrivateKey;
use datapact_client::provider::SetShare;
use datapact_core::document::{
    AccessRequest, Body, KeyRequest, Statement, UsageAction, UsageReport,
};
use datapact_core::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::SharingPolicy;
use datapact_core::release::Recipient;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use support::{PATIENCE, ROLES, Site, User, data, now, tls};

/// What a server answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Asserts a problem document of this kind whose detail contains `detail`.
    #[track_caller]
    fn is_problem(&self, status: u16, kind: &str, detail: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert!(
            self.head.to_ascii_lowercase().contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["type"], format!("urn:datapact:problem:{kind}"), "{text}");
        assert_eq!(problem["status"], status);
        assert!(
            problem["detail"].as_str().unwrap().contains(detail),
            "`{detail}` is not said by {text}"
        );
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Somebody who writes what they like to one server.
#[derive(Clone)]
struct Raw {
    tls: Arc<rustls::ClientConfig>,
    name: String,
    address: SocketAddr,
    signer: Option<Arc<Signer>>,
}

/// One call, to be spoilt.
#[derive(Clone, Default)]
struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn get(target: &str) -> Call {
    Call { method: "GET", target: target.to_owned(), ..Call::default() }
}

fn post(target: &str, body: &[u8]) -> Call {
    Call { method: "POST", target: target.to_owned(), body: body.to_owned(), ..Call::default() }
}

/// A POST of one signed document.
fn document(target: &str, jws: &str) -> Call {
    post(target, json!({ "document": jws }).to_string().as_bytes())
}

impl Call {
    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn statement(&self) -> Statement {
        let streamed =
            self.headers.iter().any(|(name, value)| *name == "content-type" && value == OCTETS);
        let content = (!streamed && !self.body.is_empty()).then(|| Digest::of(&self.body));
        Statement { method: self.method.to_owned(), target: self.target.clone(), content }
    }
}

const OCTETS: &str = "application/octet-stream";

impl Raw {
    fn new(endpoint: &Endpoint, tls: rustls::ClientConfig, signer: Option<Arc<Signer>>) -> Self {
        let name = endpoint.name().unwrap().to_owned();
        Self { tls: Arc::new(tls), name, address: endpoint.connect.unwrap(), signer }
    }

    /// Sends `bytes` over a new connection and reads until the server closes it.
    fn exchange(&self, bytes: &[u8]) -> std::io::Result<Answer> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(45)))?;
        let server = ServerName::try_from(self.name.clone()).unwrap();
        let connection = rustls::ClientConnection::new(self.tls.clone(), server)
            .map_err(std::io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(connection, socket);
        // The server may answer and close before it has read everything.
        let written = stream.write_all(bytes).and_then(|()| stream.flush());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            // What the server said about it counts for more than that it did not read on.
            read.and(written)?;
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head, body: answer[end + 4..].to_vec() })
    }

    /// Sends `call` with this `Datapact-Statement`, if any.
    fn send(&self, call: &Call, statement: Option<&str>) -> Answer {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            call.method, call.target, self.name
        );
        if let Some(statement) = statement {
            head += &format!("datapact-statement: {statement}\r\n");
        }
        for (name, value) in &call.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !call
            .headers
            .iter()
            .any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding"))
        {
            head += &format!("content-length: {}\r\n", call.body.len());
        }
        self.exchange(&[head.as_bytes(), b"\r\n", &call.body].concat()).unwrap()
    }

    /// Sends `call`, rightly signed.
    fn call(&self, call: &Call) -> Answer {
        let statement =
            self.signer.as_ref().map(|signer| signer.sign(&self.name, now(), call.statement()));
        self.send(call, statement.as_ref().map(Signed::as_str))
    }
}

/// One user at all three servers.
struct Actor {
    user: User,
    signer: Arc<Signer>,
    ledger: String,
    management: Raw,
    key: Raw,
    storage: Raw,
}

impl Actor {
    fn new(user: User) -> Self {
        let (signer, ledger, [management, key, storage]) = {
            let profile = user.session.profile();
            let raw =
                |endpoint| Raw::new(endpoint, tls(profile), Some(Arc::clone(profile.signer())));
            let enrolment = profile.enrolment();
            let raws = [
                raw(&enrolment.management),
                raw(&enrolment.key_servers[0]),
                raw(&enrolment.storage_servers[0]),
            ];
            (Arc::clone(profile.signer()), enrolment.ledger.clone(), raws)
        };
        Self { user, signer, ledger, management, key, storage }
    }

    fn servers(&self) -> [&Raw; 3] {
        [&self.management, &self.key, &self.storage]
    }

    fn sign<B: Body>(&self, body: B) -> Signed<B> {
        self.signer.sign(&self.ledger, now(), body)
    }
}

/// Everything that bad input must not change.
#[derive(Debug, PartialEq, Eq)]
struct State {
    ledger: u64,
    shares: Vec<(ShareId, Digest, u64)>,
    accounts: usize,
    keys: Vec<String>,
    policies: Vec<String>,
    releases: Vec<String>,
    packages: Vec<String>,
    files: Vec<String>,
}

/// A site with two providers, two consumers, and a share of the first provider.
struct World {
    site: Site,
    admin: User,
    clinic: Actor,
    rival: Actor,
    lab: Actor,
    overseas: Actor,
    set: SetShare,
    plain: Vec<u8>,
}

impl World {
    async fn start() -> Self {
        let site = Site::start();
        let admin = site.user("admin");
        let rival = site.enrol(&admin.session, "rival", "clinic", Role::Provider).await;
        let actor = |name| Actor::new(site.user(name));
        let (clinic, lab, overseas) = (actor("clinic"), actor("lab"), actor("lab-overseas"));
        let plain = data(8, 50_000);
        let set = clinic.user.share("coveted", &plain, AccessTimes::Times(2)).await.unwrap();
        Self { admin, clinic, rival: Actor::new(rival), lab, overseas, set, plain, site }
    }

    async fn state(&self) -> State {
        let mut shares = Vec::new();
        for provider in [&self.clinic, &self.rival] {
            let own = provider.user.provider().shares().await.unwrap();
            shares.extend(own.iter().map(|share| (share.policy.share, share.id, share.accesses)));
        }
        let mut files = self.site.package_files();
        files.sort();
        State {
            ledger: self.lab.user.session.info().await.unwrap().size,
            shares,
            accounts: self.admin.session.management().accounts(Page::first()).await.unwrap().len(),
            keys: self.site.stored_keys().await,
            policies: self
                .site
                .select("key", "SELECT policy FROM key_policy ORDER BY policy")
                .await,
            releases: self
                .site
                .select("key", "SELECT key_request FROM key_release ORDER BY key_request")
                .await,
            packages: self.site.stored_packages().await,
            files,
        }
    }

    /// Nothing has changed since `before`, every server is well, and who may access still does.
    async fn unharmed(self, before: State) {
        assert_eq!(self.state().await, before);
        for role in ROLES {
            assert!(self.site.runs(role));
            let config =
                std::fs::read_to_string(self.site.file(&format!("servers/{role}/{role}.toml")))
                    .unwrap();
            let (_, port) = config.split_once("public_listen = \"127.0.0.1:").unwrap();
            let port = port.split('"').next().unwrap();
            let name = format!("{role}.quickstart.test");
            let endpoint = Endpoint {
                url: format!("https://{name}:{port}"),
                connect: Some(format!("127.0.0.1:{port}").parse().unwrap()),
            };
            let public = Raw::new(&endpoint, anonymous(&self.site), None);
            let health: Health =
                serde_json::from_value(public.call(&get("/healthz")).json()).unwrap();
            assert_eq!((health.server, health.role.as_str()), (name, role));
        }
        let (bytes, opened) = self.lab.user.open(self.set.share).await.unwrap();
        assert!(bytes == self.plain);
        assert_eq!(opened.permission.access, 1);
        let audit = self.clinic.user.provider().audit(&self.set.share).await.unwrap();
        assert!(audit.good, "{:?}", audit.findings);
    }
}

/// TLS without a client certificate.
fn anonymous(site: &Site) -> rustls::ClientConfig {
    let trust =
        datapact_api::trust_file::ReloadableTrust::load(&site.file("servers/trust.toml")).unwrap();
    datapact_api::tls::client_config(trust, None).unwrap()
}

/// A compact serialization with another header, and perhaps another payload or signature.
fn forged(
    jws: &str,
    header: Option<&Value>,
    payload: Option<&[u8]>,
    signature: Option<&[u8]>,
) -> String {
    let mut parts: Vec<String> = jws.split('.').map(str::to_owned).collect();
    let header = header.map(|header| header.to_string().into_bytes());
    for (part, new) in parts.iter_mut().zip([header.as_deref(), payload, signature]) {
        if let Some(new) = new {
            *part = URL_SAFE_NO_PAD.encode(new);
        }
    }
    parts.join(".")
}

fn part(jws: &str, number: usize) -> Value {
    let part = jws.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The header of `jws` with another algorithm.
fn with_algorithm(jws: &str, algorithm: &str) -> Value {
    let mut header = part(jws, 0);
    header["alg"] = algorithm.into();
    header
}

/// Oversize and malformed bodies, wrong methods, and paths that try to lead elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn mg_17_malformed_calls_are_refused_and_change_nothing() {
    let world = World::start().await;
    let before = world.state().await;
    let (lab, clinic) = (&world.lab, &world.clinic);

    let oversize = vec![b' '; datapact_api::gate::BODY_BYTES_MAX + 1];
    for (server, target) in [
        (&lab.management, "/v1/accesses"),
        (&clinic.key, "/v1/policies"),
        (&clinic.storage, "/v1/packages"),
    ] {
        server.call(&post(target, &oversize)).is_problem(
            413,
            "too-large",
            "larger than 1048576 bytes",
        );
    }
    let deep = "[".repeat(200_000);
    let long = format!(r#"{{"document":"{}"}}"#, "a".repeat(datapact_core::jws::JWS_BYTES_MAX + 1));
    for (body, detail) in [
        (&b""[..], "the body is not as specified: EOF"),
        (b"{", "the body is not as specified: EOF"),
        (b"null", "the body is not as specified: invalid type"),
        (b"\xff\xfe", "the body is not as specified: expected value"),
        (deep.as_bytes(), "the body is not as specified"),
        (br#"{"document":1}"#, "the body is not as specified: invalid type"),
        (br#"{"document":"a.b.c"}"#, "it is not three base64url parts"),
        (br#"{"document":"e30.e30.e30"}"#, "missing field"),
        (br#"{"document":"e30.e30.e30","more":1}"#, "the body is not as specified"),
        (long.as_bytes(), "the document is longer than 262144 bytes"),
    ] {
        for target in ["/v1/accesses", "/v1/shares", "/v1/usages"] {
            lab.management.call(&post(target, body)).is_problem(400, "malformed", detail);
        }
    }
    for body in [&b"{}"[..], br#"{"key":"00","share":"x","package":"y"}"#, b"[]"] {
        let call = Call { method: "PUT", ..post(&format!("/v1/keys/{}", world.set.key.id), body) };
        clinic.key.call(&call).is_problem(400, "malformed", "the body is not as specified");
        let release = post(&format!("/v1/keys/{}/release", world.set.key.id), body);
        lab.key.call(&release).is_problem(400, "malformed", "the body is not as specified");
    }

    // Where nothing is, and what nobody may do.
    let package = world.set.package.id;
    for server in lab.servers() {
        for target in
            ["/", "/v2/info", "/v1", "/v1/../v1/info", "//v1/info", "/etc/passwd", "/v1/info/"]
        {
            server.call(&get(target)).is_problem(
                404,
                "not-found",
                "this server has no such address",
            );
        }
    }
    let delete = Call { method: "DELETE", ..get("/v1/info") };
    lab.management.call(&delete).is_problem(400, "malformed", "does not take this method");
    let trace = Call { method: "TRACE", ..get("/v1/keys") };
    lab.key.call(&trace).is_problem(400, "malformed", "does not take this method");
    for id in
        ["../../../../etc/passwd".to_owned(), format!("{package}/../{package}"), String::new()]
    {
        lab.storage.call(&get(&format!("/v1/packages/{id}"))).is_problem(
            404,
            "not-found",
            "no such address",
        );
    }
    for id in [
        "..".to_owned(),
        "..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "%2e%2e".to_owned(),
        "%00".to_owned(),
        "%ff".to_owned(),
        format!("{package}%00"),
        format!("{package}%2f..%2f{package}"),
        format!("%20{package}"),
        package.to_string().to_uppercase() + "A",
        "f".repeat(20_000),
        "-1".to_owned(),
        world.site.package_files()[0].clone(),
    ] {
        for (server, path) in [
            (&lab.storage, "/v1/packages/"),
            (&lab.key, "/v1/keys/"),
            (&lab.key, "/v1/releases/"),
            (&lab.management, "/v1/catalog/"),
            (&lab.management, "/v1/log/proofs/"),
        ] {
            let answer = server.call(&get(&format!("{path}{id}")));
            answer.is_problem(400, "malformed", "");
        }
    }
    // Another one's id is no path, but there is nothing under it.
    for (server, target) in [
        (&lab.storage, format!("/v1/packages/{}", PackageId::random())),
        (&lab.key, format!("/v1/keys/{}", KeyId::random())),
        (&lab.management, format!("/v1/catalog/{}", ShareId::random())),
    ] {
        server.call(&get(&target)).is_problem(404, "not-found", "there is no");
    }
    for query in ["?limit=many", "?limit=0", "?limit=1000000", "?unknown=1", "?category=%00"] {
        let answer = lab.management.call(&get(&format!("/v1/catalog{query}")));
        answer.is_problem(400, "malformed", "");
    }

    // No HTTP at all, and heads without end.
    let endless = [b"GET / HTTP/1.1\r\n".as_slice(), &b"x: y\r\n".repeat(20_000)].concat();
    for server in lab.servers() {
        for bytes in [&b"\x16\x03\x01 hello\r\n\r\n"[..], b"GET /\r\n\r\n", &endless] {
            match server.exchange(bytes) {
                Ok(answer) => assert!((400..500).contains(&answer.status), "{answer:?}"),
                // Closed, without an answer.
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "still open")
                }
            }
        }
    }
    world.unharmed(before).await;
}

/// Who announces a body and does not send it holds the connection for half a minute, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn mg_17_a_body_that_does_not_come_is_not_waited_for() {
    let world = World::start().await;
    let before = world.state().await;
    let (lab, rival) = (&world.lab, &world.rival);
    let id = rival.user.storage_server.register_package().await.unwrap().id;
    let upload = Call { method: "PUT", ..post(&format!("/v1/packages/{id}"), b"beginning") }
        .header("content-type", OCTETS)
        .header("content-length", "100000");
    let slow = |target: &str| post(target, b"{").header("content-length", "100");
    std::thread::scope(|scope| {
        for (server, call, detail) in [
            (&lab.management, slow("/v1/accesses"), "the body did not arrive within 30 seconds"),
            (&lab.key, slow("/v1/keys"), "the body did not arrive within 30 seconds"),
            (&lab.storage, slow("/v1/packages"), "the body did not arrive within 30 seconds"),
            (&rival.storage, upload, "nothing arrived for 30 seconds after 9 of 100000 bytes"),
        ] {
            scope.spawn(move || server.call(&call).is_problem(400, "malformed", detail));
        }
    });
    world.unharmed(before).await;
}

/// MG-2, AC-1: who calls, and whether they have signed this very call.
#[tokio::test(flavor = "multi_thread")]
async fn mg_2_ac_1_nobody_speaks_for_another() {
    let world = World::start().await;
    let before = world.state().await;
    let (lab, overseas) = (&world.lab, &world.overseas);
    let register = post("/v1/packages", b"");
    let calls = [
        (&lab.management, &overseas.management, get("/v1/account")),
        (&lab.key, &overseas.key, post("/v1/keys", b"")),
        (&lab.storage, &overseas.storage, register),
    ];
    for (server, other, call) in &calls {
        let refused = |statement: Option<&str>, detail| {
            server.send(call, statement).is_problem(401, "unauthenticated", detail);
        };
        let sign = |time, statement| lab.signer.sign(&server.name, time, statement);
        let good = sign(now(), call.statement());
        let jws = good.as_str();

        refused(None, "carries no `datapact-statement` header");
        refused(Some("a.b.c"), "it is not three base64url parts");
        refused(
            Some(&forged(jws, Some(&with_algorithm(jws, "none")), None, Some(b""))),
            "is not ES256",
        );
        refused(
            Some(&forged(jws, Some(&with_algorithm(jws, "HS256")), None, Some(&[7; 32]))),
            "is not ES256",
        );
        refused(
            Some(&forged(jws, Some(&with_algorithm(jws, "ES384")), None, None)),
            "is not ES256",
        );
        refused(
            Some(&forged(jws, Some(&json!({ "alg": "ES256" })), None, None)),
            "malformed: missing field",
        );
        let mut payload = part(jws, 1);
        payload["body"]["target"] = "/v1/accounts".into();
        refused(
            Some(&forged(jws, None, Some(payload.to_string().as_bytes()), None)),
            "signature is wrong",
        );
        refused(Some(&forged(jws, None, None, Some(&[0; 64]))), "signature is wrong");
        // A document of another type, though rightly signed.
        let request = world.lab.user.request(world.set.share, world.set.policy);
        refused(Some(request.as_str()), "is not a statement");

        // Another call, another server, another time, another user.
        let mut elsewhere = call.statement();
        elsewhere.target += "?all=true";
        refused(Some(sign(now(), elsewhere).as_str()), "about another call");
        let with_body = Statement { content: Some(Digest::of(b"{}")), ..call.statement() };
        refused(Some(sign(now(), with_body).as_str()), "about another call");
        let another = lab.signer.sign("other.quickstart.test", now(), call.statement());
        refused(Some(another.as_str()), "is for `other.quickstart.test`, not for");
        for time in [now() - 90, now() + 90, 0, Timestamp::MAX] {
            server.send(call, Some(sign(time, call.statement()).as_str())).is_problem(
                401,
                "unauthenticated",
                "",
            );
        }
        let late = server.send(call, Some(sign(now() - 90, call.statement()).as_str()));
        late.is_problem(401, "unauthenticated", "more than 60 seconds old or ahead");
        assert!(String::from_utf8_lossy(&late.body).contains("compare this machine's clock"));
        let stolen = overseas.signer.sign(&server.name, now(), call.statement());
        refused(Some(stolen.as_str()), "somebody else has signed the statement");

        // Used once, it is used up, for whomever it comes from.
        server.send(call, Some(jws)).json();
        refused(Some(jws), "was used before");
        other.send(call, Some(jws)).is_problem(401, "unauthenticated", "somebody else has signed");
    }
    // The registrations that were made have changed nothing that is stored.
    world.unharmed(before).await;
}

/// AC-1, AC-2: certificates that are none, expired, of somebody else's CA, or of a user who would
/// be a server.
#[tokio::test(flavor = "multi_thread")]
async fn ac_1_foreign_and_expired_certificates_do_not_get_in() {
    let world = World::start().await;
    let before = world.state().await;
    let profile = world.site.profile("lab");
    let key = || PrivateKey::load(&profile.folder().join("key.pem"), None).unwrap();
    let request = key().request(&"CN=Ben,O=Lab".parse().unwrap()).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let expired = world
        .site
        .ca("lab")
        .issue(&request, &CertificateKind::User, Duration::from_secs(1))
        .unwrap();
    // The same name and subject, but another CA.
    let foreign = Ca::init(&world.site.file("ca/foreign"), "Lab CA", 10 * day, None).unwrap();
    let foreign = foreign.issue(&request, &CertificateKind::User, day).unwrap();
    let intruder = |pem: &str| {
        let chain = chain(pem);
        let trust =
            datapact_api::trust_file::ReloadableTrust::load(&world.site.file("servers/trust.toml"))
                .unwrap();
        datapact_api::tls::client_config(trust, Some((chain, key().for_tls()))).unwrap()
    };
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let enrolment = profile.enrolment();
    for endpoint in
        [&enrolment.management, &enrolment.key_servers[0], &enrolment.storage_servers[0]]
    {
        for (config, alert) in [
            (anonymous(&world.site), "CertificateRequired"),
            (intruder(&expired), "CertificateExpired"),
            (intruder(&foreign), "UnknownCA"),
        ] {
            let raw = Raw::new(endpoint, config, None);
            let error = raw.exchange(b"GET /v1/account HTTP/1.1\r\nhost: x\r\n\r\n").unwrap_err();
            assert!(error.to_string().contains(alert), "{alert}: {error}");
        }
    }
    // A statement with a certificate of the foreign CA, over a good connection.
    let identity: Identity = profile.identity().clone();
    let (management, call) = (&world.lab.management, get("/v1/account"));
    let refused = |chain: &str, identity: &Identity, detail| {
        let signer = Signer::new(key().pkcs8(), self::chain(chain), identity.clone()).unwrap();
        let statement = signer.sign(&management.name, now(), call.statement());
        management.send(&call, Some(statement.as_str())).is_problem(401, "unauthenticated", detail);
    };
    refused(&foreign, &identity, "is not issued by a CA of any configured realm");
    refused(&expired, &identity, "is not valid at this time");
    let good = world.site.ca("lab").issue(&request, &CertificateKind::User, day).unwrap();
    let somebody = Identity { realm: "clinic".to_owned(), subject: "CN=Ada,O=Clinic".to_owned() };
    refused(&good, &somebody, "but the certificate is `lab:CN=Ben,O=Lab`");

    // A user whom a CA certifies under a server's name is still that organisation's user.
    let name = "management.quickstart.test";
    let request = key().request(&format!("CN={name}").parse().unwrap()).unwrap();
    let kind = CertificateKind::Server { dns_names: vec![name.to_owned()] };
    let disguised = world.site.ca("lab").issue(&request, &kind, day).unwrap();
    let identity = Identity { realm: "lab".to_owned(), subject: format!("CN={name}") };
    let signer = Arc::new(Signer::new(key().pkcs8(), chain(&disguised), identity).unwrap());
    let server = Raw::new(&enrolment.key_servers[0], intruder(&disguised), Some(signer));
    let own = world.clinic.user.session.management().shares(Page::first()).await.unwrap().remove(0);
    let shown =
        ShownPolicy { policy: own.policy, owner: own.receipt.owner, users: own.receipt.users };
    let shown = serde_json::to_string(&shown).unwrap();
    server.call(&post("/v1/policies", shown.as_bytes())).is_problem(
        403,
        "forbidden",
        "only the server `management.quickstart.test` may call this",
    );
    // What is the servers' alone is no user's.
    let cosignature = json!({ "document": "x" }).to_string();
    let form = post("/v1/introspect", b"token=x")
        .header("content-type", "application/x-www-form-urlencoded");
    for call in [form, post("/v1/log/cosignatures", cosignature.as_bytes())] {
        world.lab.management.call(&call).is_problem(403, "forbidden", "");
    }
    for target in ["/v1/accounts", "/v1/invitations"] {
        let answer = match target {
            "/v1/accounts" => world.lab.management.call(&get(target)),
            _ => {
                let invitation = json!({ "realm": "lab", "role": "administrator", "attributes": {}, "seconds": 60 });
                world.lab.management.call(&post(target, invitation.to_string().as_bytes()))
            }
        };
        answer.is_problem(403, "forbidden", "does not let you manage accounts");
    }
    world.unharmed(before).await;
}

fn chain(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

/// SH-6, SH-7: policies that are not the provider's word, or about what is not the provider's.
#[tokio::test(flavor = "multi_thread")]
async fn sh_7_nobody_shares_what_is_anothers() {
    let world = World::start().await;
    let (clinic, rival, lab) = (&world.clinic, &world.rival, &world.lab);
    let own = clinic.user.session.management().shares(Page::first()).await.unwrap();
    let theirs =
        own.iter().find(|own| own.policy.body().share == world.set.share).unwrap().policy.clone();
    let rivals =
        rival.user.share("rival's own", &data(9, 1000), AccessTimes::Times(1)).await.unwrap();
    let rivals_policy = rival.user.session.management().shares(Page::first()).await.unwrap()[0]
        .policy
        .body()
        .clone();
    let before = world.state().await;
    let set = |actor: &Actor, policy: &SharingPolicy| {
        actor.management.call(&document("/v1/shares", actor.sign(policy.clone()).as_str()))
    };
    let new = |change: &dyn Fn(&mut SharingPolicy)| {
        let mut policy = rivals_policy.clone();
        policy.share = ShareId::random();
        change(&mut policy);
        policy
    };
    let coveted = &theirs.body().information;

    // Signed by somebody else, or forged.
    rival.management.call(&document("/v1/shares", theirs.as_str())).is_problem(
        403,
        "forbidden",
        "somebody else has signed the policy",
    );
    let jws = theirs.as_str();
    for (forged, detail) in [
        (forged(jws, Some(&with_algorithm(jws, "none")), None, Some(b"")), "is not ES256"),
        (forged(jws, Some(&with_algorithm(jws, "HS256")), None, Some(&[1; 32])), "is not ES256"),
        (forged(jws, None, None, Some(&[1; 64])), "signature is wrong"),
    ] {
        clinic.management.call(&document("/v1/shares", &forged)).is_problem(
            400,
            "malformed",
            detail,
        );
    }
    let elsewhere =
        clinic.signer.sign("other.quickstart.test/ledger", now(), theirs.body().clone());
    clinic.management.call(&document("/v1/shares", elsewhere.as_str())).is_problem(
        400,
        "malformed",
        "is for `other",
    );
    // A share, a key and a package of somebody else; somebody else's package under one's own terms.
    let successor =
        SharingPolicy { version: 2, previous: Some(theirs.id()), ..theirs.body().clone() };
    set(rival, &successor).is_problem(
        403,
        "forbidden",
        "the package was stored by another provider",
    );
    let mut stopped = successor.clone();
    stopped.state = datapact_core::policy::ShareState::Suspended;
    set(rival, &stopped).is_problem(403, "refused", "only the share's provider may set its policy");
    set(rival, theirs.body()).is_problem(
        403,
        "forbidden",
        "the package was stored by another provider",
    );
    let relisted = new(&|policy| policy.information.package = coveted.package.clone());
    set(rival, &relisted).is_problem(
        403,
        "forbidden",
        "the package was stored by another provider",
    );
    let with_their_key = new(&|policy| policy.information.key = coveted.key.clone());
    set(rival, &with_their_key).is_problem(409, "conflict", "the key belongs to another share");
    set(rival, &new(&|_| ())).is_problem(409, "conflict", "the key belongs to another share");
    // What leads elsewhere.
    for url in [
        "https://evil.example:1",
        "https://key.quickstart.test.evil.example",
        "https://key.quickstart.test:1",
        "https://127.0.0.1:22",
    ] {
        let moved = new(&|policy| {
            policy.information.key.address = format!("{url}/v1/keys/{}", policy.information.key.id);
        });
        set(rival, &moved).is_problem(400, "malformed", "is on no server of this management");
        let moved = new(&|policy| {
            policy.information.package.address =
                format!("{url}/v1/packages/{}", policy.information.package.id);
        });
        set(rival, &moved).is_problem(400, "malformed", "is on no server of this management");
    }
    let server = &rivals.key.address[..rivals.key.address.find("/v1/").unwrap()];
    for url in [
        format!("{server}@evil.example"),
        format!("{server}/../.."),
        format!("{server}?x="),
        server.replace("https", "http"),
        "file://".to_owned(),
    ] {
        let moved = new(&|policy| {
            policy.information.key.address = format!("{url}/v1/keys/{}", policy.information.key.id);
        });
        set(rival, &moved).is_problem(400, "malformed", "is not the address of the key");
    }
    // Versions, predecessors and terms.
    let mut own = theirs.body().clone();
    own.version = 5;
    own.previous = Some(theirs.id());
    set(clinic, &own).is_problem(409, "conflict", "the next policy version is 2");
    own.version = 2;
    own.previous = Some(Digest([7; 32]));
    set(clinic, &own).is_problem(409, "conflict", "the predecessor named is not the newest");
    own.previous = None;
    set(clinic, &own).is_problem(400, "malformed", "version 2 is wrong");
    own.previous = Some(theirs.id());
    own.terms.anyone = false;
    set(clinic, &own).is_problem(400, "malformed", "");
    own.terms.anyone = true;
    own.permission.access_times = AccessTimes::Times(0);
    set(clinic, &own).is_problem(400, "malformed", "access times must be at least 1");
    own.permission.access_times = AccessTimes::Times(1);
    own.information.title = "x\u{1b}[2J".to_owned();
    set(clinic, &own).is_problem(400, "malformed", "has a control character");
    // A consumer shares nothing.
    set(lab, &new(&|_| ())).is_problem(403, "forbidden", "");

    // At the key server and the storage server: what is another's is not touched, nor told.
    let (key, package) = (&world.set.key.id, &world.set.package.id);
    for actor in [rival, lab] {
        let theirs = json!({ "key": "00".repeat(32), "share": rivals.share, "package": rivals.package.digest });
        let store = Call {
            method: "PUT",
            ..post(&format!("/v1/keys/{key}"), theirs.to_string().as_bytes())
        };
        actor.key.call(&store).is_problem(404, "not-found", "there is no key");
        actor.key.call(&get(&format!("/v1/keys/{key}"))).is_problem(
            404,
            "not-found",
            "there is no key",
        );
        let delete = Call { method: "DELETE", ..get(&format!("/v1/keys/{key}")) };
        actor.key.call(&delete).is_problem(404, "not-found", "there is no key");
        let releases = actor.key.call(&get(&format!("/v1/releases/{}", world.set.share)));
        releases.is_problem(404, "not-found", "you keep no key of the share");
        let status = actor.storage.call(&get(&format!("/v1/packages/{package}/status")));
        status.is_problem(403, "forbidden", "is another provider's");
        let delete = Call { method: "DELETE", ..get(&format!("/v1/packages/{package}")) };
        actor.storage.call(&delete).is_problem(403, "forbidden", "is another provider's");
    }
    // One's own key that a policy names stays, and stays what it is.
    let delete = Call { method: "DELETE", ..get(&format!("/v1/keys/{key}")) };
    clinic.key.call(&delete).is_problem(409, "conflict", "a policy names the key");
    let other = StoreKey {
        key: "11".repeat(32).into(),
        share: world.set.share,
        package: world.set.package.digest,
    };
    let problem = clinic.user.key_server.store_key(key, &other).await.unwrap_err();
    assert!(problem.detail.contains("something else is stored"), "{problem}");
    // Only the provider withholds.
    let mut revoked = successor.clone();
    revoked.state = datapact_core::policy::ShareState::Revoked;
    let withhold = |policy: &Signed<SharingPolicy>| {
        post("/v1/withhold", json!({ "policy": policy }).to_string().as_bytes())
    };
    let theirs_revoked = clinic.sign(revoked.clone());
    rival.key.call(&withhold(&theirs_revoked)).is_problem(
        403,
        "forbidden",
        "only the provider who signed the policy",
    );
    rival.key.call(&withhold(&rival.sign(revoked))).is_problem(
        404,
        "not-found",
        "you keep no key of the share",
    );
    clinic.key.call(&withhold(&clinic.sign(successor))).is_problem(
        400,
        "malformed",
        "the policy is active",
    );
    world.unharmed(before).await;
}

/// DS-1, DS-2: uploads that are not what they say, and ranges that are none.
#[tokio::test(flavor = "multi_thread")]
async fn ds_1_ds_2_uploads_and_ranges_are_checked() {
    let world = World::start().await;
    let (clinic, rival, lab) = (&world.clinic, &world.rival, &world.lab);
    let before = world.state().await;
    let package = world.set.package.id;
    let size = world.set.package.size;
    let target = format!("/v1/packages/{package}");
    let whole = lab.storage.call(&get(&target));
    assert_eq!((whole.status, whole.body.len() as u64), (200, size));

    // Only these bytes, at their own place, by their own provider.
    let put = |target: &str, body: &[u8]| {
        Call { method: "PUT", ..post(target, body) }.header("content-type", OCTETS)
    };
    rival.storage.call(&put(&target, &whole.body)).is_problem(
        403,
        "forbidden",
        "is another provider's",
    );
    let id = rival.user.storage_server.register_package().await.unwrap().id;
    let mine = format!("/v1/packages/{id}");
    rival.storage.call(&put(&mine, &whole.body)).is_problem(
        403,
        "forbidden",
        "signed by another provider",
    );
    let clinics = clinic.user.storage_server.register_package().await.unwrap().id;
    let second = clinic.storage.call(&put(&format!("/v1/packages/{clinics}"), &whole.body));
    second.is_problem(400, "malformed", "made for another identifier");
    rival.storage.call(&put(&mine, b"no package")).is_problem(
        400,
        "malformed",
        "is not a complete package",
    );
    rival.storage.call(&put(&mine, b"")).is_problem(400, "malformed", "is not a complete package");
    let cut = &whole.body[..whole.body.len() - 1];
    rival.storage.call(&put(&mine, cut)).is_problem(400, "malformed", "is not a complete package");
    let mut altered = whole.body.clone();
    let middle = altered.len() - 40;
    altered[middle] ^= 1;
    assert_eq!(rival.storage.call(&put(&mine, &altered)).status, 400);
    // Not announced, announced too large, announced and not sent.
    let mut call = put(&mine, b"0\r\n\r\n").header("transfer-encoding", "chunked");
    rival.storage.call(&call).is_problem(400, "malformed", "says its `Content-Length`");
    call = put(&mine, b"x").header("content-length", (u64::MAX / 2).to_string());
    rival.storage.call(&call).is_problem(413, "too-large", "a package may be at most");
    let json = Call { method: "PUT", ..post(&mine, b"{}") };
    rival.storage.call(&json).is_problem(400, "malformed", "a package is uploaded as");
    let left_alone = put(&mine, b"beginning").header("content-length", "100000");
    abandon(&rival.storage, &left_alone);

    // Ranges.
    let range = |value: &str| lab.storage.call(&get(&target).header("range", value));
    for value in [
        "bytes=-5",
        "bytes=5-2",
        "bytes=abc",
        "bytes=0-1,3-4",
        "bytes=99999999999999999999999-",
        "items=0-1",
        "bytes=",
        "",
        "bytes=+1-2",
        "bytes= 0-1",
    ] {
        range(value).is_problem(400, "malformed", "`Range` must be");
    }
    for value in [format!("bytes={size}-"), format!("bytes={}-{}", u64::MAX, u64::MAX)] {
        range(&value).is_problem(400, "malformed", "the range lies outside the package's");
    }
    for (value, expected) in [
        ("bytes=0-0".to_owned(), &whole.body[..1]),
        (format!("bytes=1-{}", u64::MAX), &whole.body[1..]),
        (format!("bytes={}-", size - 1), &whole.body[whole.body.len() - 1..]),
    ] {
        let answer = range(&value);
        assert_eq!((answer.status, answer.body.as_slice()), (206, expected), "{value}");
    }
    // The abandoned upload has left nothing once the server has noticed.
    let until = Instant::now() + PATIENCE;
    while world.state().await.files != before.files && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.unharmed(before).await;
}

/// Sends a call whose body does not come, and goes away.
fn abandon(server: &Raw, call: &Call) {
    let statement = server.signer.as_ref().unwrap().sign(&server.name, now(), call.statement());
    let head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", call.method, call.target, server.name);
    let headers: String =
        call.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{head}{headers}datapact-statement: {}\r\n\r\n", statement.as_str());
    let socket = TcpStream::connect(server.address).unwrap();
    let name = ServerName::try_from(server.name.clone()).unwrap();
    let connection = rustls::ClientConnection::new(server.tls.clone(), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    stream.write_all(&[head.as_bytes(), &call.body].concat()).unwrap();
    stream.flush().unwrap();
    std::thread::sleep(Duration::from_millis(300));
}

/// KS-4, KS-5, AX-4, AX-13: requests and tokens that are forged, replayed by another, or about
/// something else.
#[tokio::test(flavor = "multi_thread")]
async fn ks_5_tokens_and_requests_are_their_holders_alone() {
    let world = World::start().await;
    let (lab, overseas, clinic) = (&world.lab, &world.overseas, &world.clinic);
    let other =
        clinic.user.share("another", &data(10, 1000), AccessTimes::Unlimited).await.unwrap();
    // One access to each, by the lab; another by the colleague overseas.
    let request = lab.user.request(other.share, other.policy);
    let grant = lab.user.session.management().request_access(&request).await.unwrap();
    let overseas_request = overseas.user.request(other.share, other.policy);
    let overseas_grant =
        overseas.user.session.management().request_access(&overseas_request).await.unwrap();
    let before = world.state().await;

    let key_request = |actor: &Actor, token: &str, request: &Signed<AccessRequest>, key: KeyId| {
        let body = KeyRequest {
            token: Digest::of(token.as_bytes()),
            request: request.id(),
            key,
            recipient: Recipient::generate().public(),
        };
        actor.signer.sign(&actor.key.name, now(), body)
    };
    let release = |actor: &Actor,
                   key: KeyId,
                   token: &str,
                   request: &Signed<AccessRequest>,
                   signed: &Signed<KeyRequest>| {
        let asked = ReleaseKey {
            token: token.to_owned(),
            request: request.clone(),
            key_request: signed.clone(),
        };
        actor.key.call(&post(
            &format!("/v1/keys/{key}/release"),
            serde_json::to_string(&asked).unwrap().as_bytes(),
        ))
    };
    let (key, token) = (other.key.id, grant.token.as_str());
    let good = key_request(lab, token, &request, key);

    // The whole of another's, and with one's own key request.
    release(overseas, key, token, &request, &good).is_problem(
        403,
        "forbidden",
        "bound to another certificate",
    );
    let own = key_request(overseas, token, &request, key);
    release(overseas, key, token, &request, &own).is_problem(
        403,
        "forbidden",
        "bound to another certificate",
    );
    // One's own token for another's request, and another's key request.
    let theirs = overseas_grant.token.as_str();
    release(overseas, key, theirs, &request, &own).is_problem(
        403,
        "forbidden",
        "signed the access request",
    );
    release(overseas, key, theirs, &overseas_request, &good).is_problem(
        403,
        "forbidden",
        "signed the key request",
    );
    // Forged tokens.
    for (forged, status, kind, detail) in [
        ("", 400, "malformed", "is malformed"),
        ("a.b.c", 400, "malformed", "is malformed"),
        (
            &*forged(token, Some(&with_algorithm(token, "none")), None, Some(b"")),
            400,
            "malformed",
            "not an ES256",
        ),
        (
            &*forged(token, Some(&with_algorithm(token, "HS256")), None, Some(&[1; 32])),
            400,
            "malformed",
            "not an ES256",
        ),
        (&*forged(token, None, None, Some(&[1; 64])), 403, "forbidden", "signature is wrong"),
        (
            &*forged(token, None, Some(br#"{"iss":"me"}"#), None),
            403,
            "forbidden",
            "signature is wrong",
        ),
        (request.as_str(), 400, "malformed", ""),
    ] {
        let signed = key_request(lab, forged, &request, key);
        release(lab, key, forged, &request, &signed).is_problem(status, kind, detail);
    }
    let mut header = part(token, 0);
    header["kid"] = "another".into();
    let unknown = forged(token, Some(&header), None, None);
    let signed = key_request(lab, &unknown, &request, key);
    release(lab, key, &unknown, &request, &signed).is_problem(403, "forbidden", "does not publish");
    // Another key, another request, another server, another time.
    let coveted = world.set.key.id;
    let signed = key_request(lab, token, &request, coveted);
    release(lab, coveted, token, &request, &signed).is_problem(
        403,
        "forbidden",
        "the access token is for another key",
    );
    release(lab, key, token, &request, &signed).is_problem(
        403,
        "forbidden",
        "the key request is for another key",
    );
    let never_recorded = lab.user.request(other.share, other.policy);
    let signed = key_request(lab, token, &never_recorded, key);
    release(lab, key, token, &never_recorded, &signed).is_problem(
        403,
        "forbidden",
        "not about one access",
    );
    let signed = key_request(lab, theirs, &request, key);
    release(lab, key, token, &request, &signed).is_problem(
        403,
        "forbidden",
        "is for another access token",
    );
    let body = good.body().clone();
    let elsewhere = lab.signer.sign("other.quickstart.test", now(), body);
    release(lab, key, token, &request, &elsewhere).is_problem(
        403,
        "forbidden",
        "is for `other.quickstart.test`",
    );

    // At management: another's request, one of another time, an unknown share, another's usage.
    let access = |actor: &Actor, jws: &str| actor.management.call(&document("/v1/accesses", jws));
    access(overseas, request.as_str()).is_problem(
        403,
        "forbidden",
        "somebody else has signed the document",
    );
    let jws = request.as_str();
    for algorithm in ["none", "HS256"] {
        let forged = forged(jws, Some(&with_algorithm(jws, algorithm)), None, Some(&[1; 32]));
        access(lab, &forged).is_problem(400, "malformed", "is not ES256");
    }
    let asking = AccessRequest { share: world.set.share, policy: world.set.policy, purpose: None };
    for (time, detail) in [(now() + 3600, "seconds ahead"), (now() - 3600, "")] {
        let signed = lab.signer.sign(&lab.ledger, time, asking.clone());
        access(lab, signed.as_str()).is_problem(400, "malformed", detail);
    }
    let elsewhere = lab.signer.sign("other.quickstart.test/ledger", now(), asking.clone());
    access(lab, elsewhere.as_str()).is_problem(
        400,
        "malformed",
        "is for `other.quickstart.test/ledger`",
    );
    let unknown = lab.user.request(ShareId::random(), world.set.policy);
    access(lab, unknown.as_str()).is_problem(404, "not-found", "there is no such share");
    let superseded = lab.user.request(world.set.share, Digest([9; 32]));
    access(lab, superseded.as_str()).is_problem(403, "refused", "the terms have changed");
    access(clinic, clinic.user.request(world.set.share, world.set.policy).as_str()).is_problem(
        403,
        "forbidden",
        "",
    );
    let usage = |actor: &Actor, request: Digest| {
        let report = UsageReport { share: other.share, request, action: UsageAction::Opened };
        actor.management.call(&document("/v1/usages", actor.sign(report).as_str()))
    };
    usage(overseas, request.id()).is_problem(403, "refused", "only the consumer of an access");
    usage(lab, Digest([3; 32])).is_problem(404, "not-found", "there is no such access");

    // Nothing of this was released, granted or recorded. The rightful holder gets the key, and the
    // same one again.
    assert_eq!(world.state().await, before);
    let first = release(lab, key, token, &request, &good).json();
    assert_eq!(release(lab, key, token, &request, &good).json(), first);
    let after = world.state().await;
    assert_eq!(after.releases.len(), before.releases.len() + 1);
    world.unharmed(after).await;
}
