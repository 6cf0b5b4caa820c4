//! The chaincode answers what a real peer has said with the very bytes that the peer has taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use datapact_chaincode::contract::{Contract, Failure};
use datapact_chaincode::proto::peer::{ChaincodeInput, Response};
use datapact_chaincode::proto::shim::{ChaincodeMessage, MessageType};
use datapact_chaincode::shim::serve;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{By, Exchange, file, raw};

fn exchange() -> Exchange {
    serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_chaincode_says_again_what_it_said_to_a_real_peer() {
    let Exchange { package, agreed, clock, messages, .. } = exchange();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopping) = watch::channel(false);
    let contract = Contract::new(Some(agreed), Arc::new(move || clock));
    tokio::spawn(serve(listener, None, package, Arc::new(contract), stopping));
    let (out, mut incoming) = raw::connect(address).await;
    for said in messages {
        match said.by {
            By::Peer => out.send(said.bytes.into()).await.unwrap(),
            By::Chaincode => {
                let found = incoming.message().await.unwrap().unwrap();
                if found != said.bytes {
                    let read = |bytes: &[u8]| ChaincodeMessage::decode(bytes).unwrap();
                    assert_eq!(read(&found), read(&said.bytes));
                    panic!("the same message is encoded otherwise");
                }
            }
        }
    }
}

/// A recording that shows less than this would be no test.
#[test]
fn the_recording_shows_every_function_and_answer() {
    let exchange = exchange();
    assert!(exchange.fabric.starts_with('v'), "{}", exchange.fabric);
    let (mut asked, mut answered) =
        (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for said in &exchange.messages {
        let message = ChaincodeMessage::decode(said.bytes.as_slice()).unwrap();
        match message.r#type() {
            MessageType::Transaction => {
                let input = ChaincodeInput::decode(message.payload).unwrap();
                let function = String::from_utf8(input.args[0].to_vec()).unwrap();
                *asked.entry(function).or_default() += 1;
            }
            MessageType::Completed => {
                let response = Response::decode(message.payload).unwrap();
                let answer = match Failure::find(&response.message) {
                    None if message.chaincode_event.is_some() => "recorded",
                    None => "answered",
                    Some(Failure::Refused { .. }) => "refused",
                    Some(Failure::Documents { .. }) => "documents",
                    Some(Failure::Caller { .. }) => "caller",
                    Some(other) => panic!("{other:?}"),
                };
                *answered.entry(answer.to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }
    for function in ["info", "set-up", "set-trust", "execute", "share", "access"] {
        assert!(asked.contains_key(function), "{asked:?}");
    }
    for answer in ["recorded", "answered", "refused", "documents", "caller"] {
        assert!(answered.contains_key(answer), "{answered:?}");
    }
}
