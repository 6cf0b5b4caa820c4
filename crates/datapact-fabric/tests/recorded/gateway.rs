//! Listening in between the adapter and the gateway of a real peer: what is asked and answered, and
//! what is said to each mistake.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use datapact_chaincode::contract::encoding::{TrustConfiguration, canonical_text};
use datapact_core::contract::{Call, Documents};
use datapact_core::permission::AccessTimes;
use datapact_fabric::gateway::config::IdentityConfig;
use datapact_fabric::gateway::{FabricConfig, Gateway};
use datapact_fabric::network::Orderers;
use datapact_fabric::proto::gateway::{CommitStatusResponse, EndorseRequest};
use datapact_local::testing::{Fixture, TestShare};
use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use prost::Message as _;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, http};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

use crate::gateway_file;
use crate::raw::{RawCodec, RawService, serve};
use crate::recording::{GatewayCall, GatewayRefusal, RecordedIdentity, Recording};
use crate::support::{ID, TestNetwork};

const ENDORSE: &str = "/gateway.Gateway/Endorse";
const COMMIT_STATUS: &str = "/gateway.Gateway/CommitStatus";

/// A peer to the adapter, and the adapter to a peer.
#[derive(Clone)]
struct Relay {
    peer: Channel,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    case: String,
    /// Has one organisation only endorse, although the policy asks for two.
    endorsed_by_one: bool,
    asked: Vec<GatewayCall>,
}

impl RawService for Relay {
    const NAME: &'static str = "gateway.Gateway";

    async fn answer(self, call: http::Request<Body>) -> http::Response<Body> {
        let forward = Forward { path: call.uri().path().to_owned(), relay: self };
        Grpc::new(RawCodec).unary(forward, call).await
    }
}

struct Forward {
    path: String,
    relay: Relay,
}

impl UnaryService<Bytes> for Forward {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (path, relay) = (self.path.clone(), self.relay.clone());
        Box::pin(async move {
            let mut request = request.into_inner();
            if path == ENDORSE && relay.state.lock().unwrap().endorsed_by_one {
                let mut changed = EndorseRequest::decode(request).unwrap();
                changed.endorsing_organizations = vec!["ManagementMSP".to_owned()];
                request = changed.encode_to_vec().into();
            }
            let mut grpc = tonic::client::Grpc::new(relay.peer.clone());
            grpc.ready().await.unwrap();
            let uri: PathAndQuery = path.parse().unwrap();
            let answered = grpc.unary(Request::new(request.clone()), uri, RawCodec).await;
            let mut state = relay.state.lock().unwrap();
            let (case, request) = (state.case.clone(), request.to_vec());
            let mut asked = GatewayCall { case, path, request, answer: None, refused: None };
            match answered {
                Ok(answer) => {
                    let answer: Bytes = answer.into_inner();
                    asked.answer = Some(hex::encode(&answer));
                    state.asked.push(asked);
                    Ok(Response::new(answer))
                }
                Err(status) => {
                    asked.refused = Some(GatewayRefusal {
                        code: status.code() as i32,
                        message: status.message().to_owned(),
                        details: status.details().to_vec(),
                    });
                    state.asked.push(asked);
                    Err(status)
                }
            }
        })
    }
}

async fn listen_in(config: &FabricConfig) -> (Relay, SocketAddr) {
    let peer = &config.peers[0];
    let ca = std::fs::read(peer.tls_ca_file.as_ref().unwrap()).unwrap();
    let endpoint = Endpoint::from_shared(peer.address.replace("grpcs://", "https://")).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let relay =
        Relay { peer: endpoint.tls_config(tls).unwrap().connect_lazy(), state: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(listener, relay.clone());
    (relay, address)
}

impl Relay {
    fn begin(&self, case: &str) {
        self.state.lock().unwrap().case = case.to_owned();
    }
}

async fn execute(gateway: &Gateway, (call, documents): &(Call, Documents)) -> Result<(), String> {
    let transient = [("documents".to_owned(), canonical_text(documents).into_bytes())].into();
    gateway
        .invoke("execute", [canonical_text(call).into_bytes()], transient)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A member of management's organisation whose certificate was valid in 2020.
fn expired(dir: &Path) -> IdentityConfig {
    let ca = dir.join("crypto/peerOrganizations/management.localhost/ca");
    let key = KeyPair::from_pem(&std::fs::read_to_string(ca.join("priv_sk")).unwrap()).unwrap();
    let pem = std::fs::read_to_string(ca.join("ca.management.localhost-cert.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&pem, key).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationalUnitName, "client");
    params.distinguished_name.push(DnType::CommonName, "expired");
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let [certificate_file, key_file] = ["expired.pem", "expired.key"].map(|name| dir.join(name));
    std::fs::write(&certificate_file, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    IdentityConfig { msp_id: "ManagementMSP".to_owned(), certificate_file, key_file }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_the_gateway() {
    if std::env::var_os("DATAPACT_RECORD_FABRIC").is_none() {
        return;
    }
    let mut network =
        TestNetwork::up(Orderers::Raft).await.expect("recording needs Fabric's programs");
    let fixture = Fixture::new(ID);
    let trust = canonical_text(&TrustConfiguration::of(&fixture.trust()));
    network.invoke("key", "Admin", &["set-trust", &trust], None).unwrap();
    let real = FabricConfig::load(&network.network.ledger_file()).unwrap();
    let (relay, address) = listen_in(&real).await;
    let mut config = real.clone();
    config.peers[0].address = format!("grpc://{address}");
    config.peers[0].tls_ca_file = None;
    let open = |edit: &dyn Fn(&mut FabricConfig), clock: Clock| {
        let mut config = config.clone();
        edit(&mut config);
        Gateway::new(config, clock)
    };
    let gateway = open(&|_| {}, system_clock());
    let clock = system_clock()();

    relay.begin("query");
    gateway.evaluate("info", &[]).await.unwrap();
    relay.begin("execute");
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    execute(&gateway, &share.set()).await.unwrap();
    relay.begin("repeat");
    execute(&gateway, &share.set()).await.unwrap();
    relay.begin("refused");
    let consumer = fixture.consumer("Consumer");
    execute(&gateway, &share.request(&consumer)).await.unwrap();
    execute(&gateway, &share.request(&consumer)).await.unwrap_err();
    conflict(&relay, &gateway, &fixture).await;

    relay.begin("endorsed by one");
    relay.state.lock().unwrap().endorsed_by_one = true;
    execute(&gateway, &fixture.share(AccessTimes::Times(1), |_| {}).set()).await.unwrap_err();
    relay.state.lock().unwrap().endorsed_by_one = false;

    relay.begin("wrong msp");
    open(&|it| it.identity.msp_id = "OtherMSP".into(), system_clock())
        .evaluate("info", &[])
        .await
        .unwrap_err();
    relay.begin("other organisation's msp");
    open(&|it| it.identity.msp_id = "KeyMSP".into(), system_clock())
        .evaluate("info", &[])
        .await
        .unwrap_err();
    relay.begin("expired certificate");
    let expired = expired(network.network.dir());
    let then: Clock = Arc::new(|| 1_590_000_000);
    open(&|it| it.identity = expired.clone(), then).evaluate("info", &[]).await.unwrap_err();
    relay.begin("missing chaincode");
    open(&|it| it.chaincode = "other".into(), system_clock())
        .evaluate("info", &[])
        .await
        .unwrap_err();
    relay.begin("missing chaincode, endorsing");
    execute(&open(&|it| it.chaincode = "other".into(), system_clock()), &share.set())
        .await
        .unwrap_err();
    relay.begin("wrong channel");
    open(&|it| it.channel = "other".into(), system_clock())
        .evaluate("info", &[])
        .await
        .unwrap_err();
    relay.begin("the other organisation's chaincode is down");
    network.network.stop_node("chaincode-key", true).await.unwrap();
    let set = fixture.share(AccessTimes::Times(1), |_| {}).set();
    let _ = tokio::time::timeout(Duration::from_secs(60), execute(&gateway, &set)).await;

    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let recording = Recording {
        fabric: network.version(),
        channel: real.channel.clone(),
        chaincode: real.chaincode.clone(),
        clock,
        identity: RecordedIdentity {
            msp_id: real.identity.msp_id.clone(),
            certificate: read(&real.identity.certificate_file),
            key: read(&real.identity.key_file),
        },
        asked: relay.state.lock().unwrap().asked.clone(),
    };
    std::fs::write(gateway_file(), serde_json::to_string_pretty(&recording).unwrap() + "\n")
        .unwrap();
}

/// Two requests of one consumer at once, until one is in the other's way; that answer alone is
/// kept.
async fn conflict(relay: &Relay, gateway: &Gateway, fixture: &Fixture) {
    relay.begin("conflict");
    let is_conflict = |asked: &GatewayCall| {
        let answer = hex::decode(asked.answer.as_deref().unwrap_or_default()).unwrap();
        asked.path == COMMIT_STATUS
            && CommitStatusResponse::decode(answer.as_slice()).unwrap().result == 11
    };
    let share: TestShare = fixture.share(AccessTimes::Unlimited, |_| {});
    execute(gateway, &share.set()).await.unwrap();
    let consumer = fixture.consumer("Consumer");
    loop {
        let requests = [share.request(&consumer), share.request(&consumer)];
        let (one, other) =
            tokio::join!(execute(gateway, &requests[0]), execute(gateway, &requests[1]));
        one.and(other).unwrap();
        let mut state = relay.state.lock().unwrap();
        let mut found = None;
        state.asked.retain(|asked| {
            if asked.case == "conflict" && is_conflict(asked) {
                found = Some(asked.clone());
            }
            asked.case != "conflict"
        });
        if let Some(found) = found {
            state.asked.push(found);
            return;
        }
    }
}
