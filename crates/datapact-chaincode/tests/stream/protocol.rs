//! The messages of the stream, in order and out of it.

use std::collections::{BTreeMap, BTreeSet};

use datapact_chaincode::contract::Failure;
use datapact_chaincode::contract::encoding::{Changed, Info, canonical_text};
use datapact_chaincode::proto::peer::Response;
use datapact_chaincode::proto::shim::{ChaincodeMessage, GetState, MessageType};
use prost::Message as _;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{CHANNEL, Peer, answered, set_up, start, transaction, transaction_of};

fn of_kind(kind: MessageType) -> ChaincodeMessage {
    ChaincodeMessage { r#type: kind.into(), ..ChaincodeMessage::default() }
}

#[tokio::test]
async fn a_peer_is_greeted_and_its_transactions_are_run() {
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    peer.send(transaction("1", &["info"])).await;
    for key in ["set-up", "trust"] {
        let asked = peer.next().await;
        assert_eq!(asked.r#type(), MessageType::GetState);
        assert_eq!((asked.txid.as_str(), asked.channel_id.as_str()), ("1", CHANNEL));
        assert_eq!(GetState::decode(asked.payload.clone()).unwrap().key, key);
        peer.send(answered(&asked, MessageType::Response, Vec::new())).await;
    }
    let completed = peer.next().await;
    assert_eq!(completed.r#type(), MessageType::Completed);
    assert_eq!(completed.chaincode_event, None);
    let response = Response::decode(completed.payload).unwrap();
    assert_eq!(response.status, 200);
    let info: Info = serde_json::from_slice(&response.payload).unwrap();
    assert_eq!(info, Info { contract_version: 1, set_up: None, trust: None });
}

#[tokio::test]
async fn an_admin_sets_up_over_the_stream() {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationalUnitName, "admin");
    let admin = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    let text = canonical_text(&set_up());
    let set = |msp: &str, pem: &str| transaction_of("1", &["set-up", &text], msp, pem.as_bytes());
    let (response, written) = peer.run(set("Org2MSP", &admin), &BTreeMap::new()).await;
    assert_eq!(
        (response.status, written),
        (200, vec!["set-up".to_owned()]),
        "{}",
        response.message
    );
    let changed: Changed = serde_json::from_slice(&response.payload).unwrap();
    assert_eq!(changed.transaction, "1");
    for (msp, pem) in [("Org1MSP", admin.as_str()), ("Org2MSP", ""), ("Org2MSP", "no certificate")]
    {
        let (response, written) = peer.run(set(msp, pem), &BTreeMap::new()).await;
        assert_eq!((response.status, written), (500, Vec::new()));
        assert!(matches!(Failure::find(&response.message), Some(Failure::Caller { .. })));
    }
}

#[tokio::test]
async fn many_transactions_are_in_flight_and_answered_in_any_order() {
    const COUNT: usize = 500;
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    for number in 0..COUNT {
        peer.send(transaction(&number.to_string(), &["access", &format!("{number:064x}")])).await;
    }
    let mut asked = Vec::new();
    while asked.len() < COUNT {
        asked.push(peer.next().await);
    }
    // All of them wait now; the last to ask is answered first, with what tells it from the others.
    for message in asked.iter().rev() {
        let key = GetState::decode(message.payload.clone()).unwrap().key;
        assert_eq!(key, format!("access/{:064x}", message.txid.parse::<usize>().unwrap()));
        let value = format!("\"{}\"", message.txid).into_bytes();
        peer.send(answered(message, MessageType::Response, value)).await;
    }
    let mut done = BTreeSet::new();
    while done.len() < COUNT {
        let completed = peer.next().await;
        let response = Response::decode(completed.payload).unwrap();
        assert_eq!(response.payload, format!("\"{}\"", completed.txid));
        assert!(done.insert(completed.txid));
    }
}

#[tokio::test]
async fn the_same_id_on_another_channel_is_another_transaction() {
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    let one = transaction("1", &["trust"]);
    peer.send(one.clone()).await;
    let first = peer.next().await;
    // The proposal is of the first channel, so this one is refused, and the first goes on.
    peer.send(ChaincodeMessage { channel_id: "other".to_owned(), ..one }).await;
    let refused = peer.next().await;
    assert_eq!((refused.r#type(), refused.channel_id.as_str()), (MessageType::Error, "other"));
    peer.send(answered(&first, MessageType::Response, Vec::new())).await;
    let completed = peer.next().await;
    assert_eq!(
        (completed.r#type(), completed.channel_id.as_str()),
        (MessageType::Completed, CHANNEL)
    );
}

#[tokio::test]
async fn probes_are_sent_back_before_and_after_the_greeting() {
    let service = start(None).await;
    let mut peer = Peer::connect(service.address).await;
    peer.send(of_kind(MessageType::Keepalive)).await;
    peer.greet().await;
    assert_eq!(peer.next().await.r#type(), MessageType::Keepalive);
    peer.send(of_kind(MessageType::Keepalive)).await;
    assert_eq!(peer.next().await.r#type(), MessageType::Keepalive);
}

#[tokio::test]
async fn what_the_peer_cannot_read_ends_the_transaction_and_not_the_stream() {
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    peer.send(transaction("1", &["trust"])).await;
    let asked = peer.next().await;
    peer.send(answered(&asked, MessageType::Error, b"no ledger context".to_vec())).await;
    let completed = peer.next().await;
    let response = Response::decode(completed.payload).unwrap();
    assert_eq!(response.status, 500);
    let failure = Failure::find(&response.message).unwrap();
    assert_eq!(failure, Failure::State { detail: "no ledger context".to_owned() });

    // An answer that no transaction waits for, and one to a transaction that never was.
    peer.send(answered(&asked, MessageType::Response, Vec::new())).await;
    peer.send(ChaincodeMessage { txid: "2".to_owned(), ..of_kind(MessageType::Response) }).await;
    let (response, _) = peer.run(transaction("1", &["trust"]), &BTreeMap::new()).await;
    assert_eq!((response.status, &response.payload[..]), (200, &b"null"[..]));
}

#[tokio::test]
async fn a_transaction_that_cannot_be_read_is_an_error_of_its_own() {
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    let good = transaction("1", &["trust"]);
    let cut = |proposal: &[u8]| {
        let mut message = good.clone();
        message.proposal.as_mut().unwrap().proposal_bytes = bytes::Bytes::copy_from_slice(proposal);
        message
    };
    let bytes = good.proposal.clone().unwrap().proposal_bytes;
    let wrong = [
        ChaincodeMessage { proposal: None, ..good.clone() },
        ChaincodeMessage { payload: vec![0xff].into(), ..good.clone() },
        ChaincodeMessage { txid: "2".to_owned(), ..good.clone() },
        cut(&[]),
        cut(&bytes[..bytes.len() / 2]),
    ];
    for message in wrong {
        let txid = message.txid.clone();
        peer.send(message).await;
        let error = peer.next().await;
        assert_eq!((error.r#type(), error.txid), (MessageType::Error, txid));
    }
    let (response, _) = peer.run(good, &BTreeMap::new()).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn what_has_no_place_in_the_protocol_ends_the_stream_and_not_the_service() {
    let service = start(None).await;
    let long = ChaincodeMessage { txid: "x".repeat(257), ..transaction("1", &["info"]) };
    for message in [of_kind(MessageType::Register), of_kind(MessageType::Undefined), long] {
        let mut peer = Peer::ready(service.address).await;
        peer.send(message).await;
        let _ = peer.end().await;
    }
    // A transaction before the greeting's end, a second of the same id, and a peer that knows no
    // such package.
    let mut peer = Peer::connect(service.address).await;
    peer.send(transaction("1", &["info"])).await;
    let _ = peer.end().await;
    let mut peer = Peer::ready(service.address).await;
    peer.send(transaction("1", &["info"])).await;
    peer.send(transaction("1", &["info"])).await;
    let _ = peer.end().await;
    let mut peer = Peer::connect(service.address).await;
    peer.send(of_kind(MessageType::Error)).await;
    let _ = peer.end().await;

    // No HTTP/2 at all.
    let mut socket = tokio::net::TcpStream::connect(service.address).await.unwrap();
    socket.write_all(&[0; 64]).await.unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;

    let mut peer = Peer::ready(service.address).await;
    let (response, _) = peer.run(transaction("1", &["info"]), &BTreeMap::new()).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn it_ends_with_streams_open_and_a_transaction_in_flight() {
    let service = start(None).await;
    let mut peer = Peer::ready(service.address).await;
    let mut idle = Peer::connect(service.address).await;
    peer.send(transaction("1", &["info"])).await;
    assert_eq!(peer.next().await.r#type(), MessageType::GetState);
    service.stop.send(true).unwrap();
    service.serving.await.unwrap().unwrap();
    let _ = (peer.end().await, idle.end().await);
}
