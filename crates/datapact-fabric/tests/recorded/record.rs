//! Listening in between a real peer and the chaincode.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use datapact_chaincode::contract::encoding::{Info, TrustConfiguration, canonical_text};
use datapact_chaincode::contract::{Contract, Failure};
use datapact_chaincode::shim::serve;
use datapact_core::permission::AccessTimes;
use datapact_fabric::network::Orderers;
use datapact_fabric::package::{Connection, Package};
use datapact_local::testing::Fixture;
use datapact_log::clock::system_clock;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use crate::raw::{self, RawCodec, RawService, connect};
use crate::support::{ID, TestNetwork};
use crate::{By, Exchange, Said, file};

/// A chaincode to the peer, and a peer to the chaincode.
#[derive(Clone)]
struct Relay {
    chaincode: SocketAddr,
    said: Arc<Mutex<Vec<Said>>>,
}

impl RawService for Relay {
    const NAME: &'static str = "protos.Chaincode";

    async fn answer(self, call: http::Request<Body>) -> http::Response<Body> {
        Grpc::new(RawCodec).streaming(self, call).await
    }
}

impl StreamingService<Bytes> for Relay {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (to_peer, outgoing) = mpsc::channel(64);
        let relay = self.clone();
        let mut from_peer = request.into_inner();
        tokio::spawn(async move {
            let (to_chaincode, mut from_chaincode) = connect(relay.chaincode).await;
            let note = |by, bytes: &Bytes| {
                relay.said.lock().unwrap().push(Said { by, bytes: bytes.to_vec() })
            };
            loop {
                // What the chaincode says first comes first.
                tokio::select! {
                    biased;
                    Ok(Some(bytes)) = from_chaincode.message() => {
                        note(By::Chaincode, &bytes);
                        to_peer.send(Ok(bytes)).await.unwrap();
                    }
                    Ok(Some(bytes)) = from_peer.message() => {
                        note(By::Peer, &bytes);
                        to_chaincode.send(bytes).await.unwrap();
                    }
                    else => break,
                }
            }
        });
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(outgoing))) })
    }
}

/// Serves the chaincode of management's organisation from this process, with a relay before it.
async fn listen_in(network: &mut TestNetwork) -> (Relay, String) {
    let node = "chaincode-management";
    let running = network.network.running();
    let address = running.into_iter().find(|running| running.node == node).unwrap().address;
    let connection = Connection { address: address.clone(), tls: None };
    let package = Package::new("datapact_1", &connection).unwrap().id;
    let info: Info =
        serde_json::from_value(network.query("management", &["info"]).unwrap()).unwrap();
    network.network.stop_node(node, false).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay { chaincode: listener.local_addr().unwrap(), said: Arc::default() };
    let contract = Arc::new(Contract::new(info.set_up, system_clock()));
    let (stop, stopping) = watch::channel(false);
    let id = package.clone();
    tokio::spawn(async move {
        let _stop = stop;
        serve(listener, None, id, contract, stopping).await
    });
    raw::serve(TcpListener::bind(address).await.unwrap(), relay.clone());
    (relay, package)
}

#[tokio::test(flavor = "multi_thread")]
async fn record_the_stream() {
    if std::env::var_os("DATAPACT_RECORD_FABRIC").is_none() {
        return;
    }
    let mut network =
        TestNetwork::up(Orderers::Raft).await.expect("recording needs Fabric's programs");
    let (relay, package) = listen_in(&mut network).await;
    let fixture = Fixture::new(ID);
    let info: Info =
        serde_json::from_value(network.query("management", &["info"]).unwrap()).unwrap();
    let agreed = info.set_up.unwrap();
    let clock = system_clock()();
    network.invoke("key", "Admin", &["set-up", &canonical_text(&agreed)], None).unwrap();
    let trust = canonical_text(&TrustConfiguration::of(&fixture.trust()));
    network.invoke("key", "User1", &["set-trust", &trust], None).unwrap_err();
    network.invoke("key", "Admin", &["set-trust", &trust], None).unwrap();
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    network.execute(&share.set()).unwrap();
    let consumer = fixture.consumer("Consumer");
    let access = share.request(&consumer);
    network.execute(&access).unwrap();
    network.execute(&access).unwrap();
    let refused = network.execute(&share.request(&consumer));
    assert!(matches!(refused, Err(Failure::Refused { .. })), "{refused:?}");
    let stranger = Fixture::new(ID).share(AccessTimes::Unlimited, |_| {}).set();
    assert!(matches!(network.execute(&stranger), Err(Failure::Documents { .. })));
    let opened = datapact_core::document::UsageAction::Opened;
    network.execute(&share.report(&consumer, &access.0, opened)).unwrap();
    network.query("management", &["share", &share.id().to_string()]).unwrap();
    network.query("management", &["access", &"0".repeat(64)]).unwrap();
    assert!(system_clock()() - clock < 50, "too slow for a recording, whose clock does not move");

    let fabric = network.version();
    let messages = relay.said.lock().unwrap().clone();
    let exchange = Exchange { fabric, package, agreed, clock, messages };
    std::fs::write(file(), serde_json::to_string_pretty(&exchange).unwrap() + "\n").unwrap();
}
