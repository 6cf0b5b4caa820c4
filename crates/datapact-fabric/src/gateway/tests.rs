//! The adapter with the gateway of a real peer, as it was recorded: what it asks is what it asked
//! then, what was answered is read, and each mistake is told with what is wrong and where.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/recorded/raw.rs"]
#[allow(dead_code, reason = "the chaincode's tests use the rest")]
mod raw;
#[path = "../../tests/recorded/recording.rs"]
#[allow(dead_code, reason = "the tests that record use the rest")]
mod recording;

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use datapact_core::contract::Refusal;
use datapact_ledger::LedgerError;
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};

use super::client::{Answer, Gateway};
use super::config::{Consensus, FabricConfig, IdentityConfig, KIND, NodeConfig};
use super::proposal::{Endorsed, Invocation};
use crate::proto::gateway::{
    CommitStatusRequest, EndorseRequest, EndorseResponse, EvaluateRequest,
    SignedCommitStatusRequest, SubmitRequest,
};
use crate::proto::transaction::ChaincodeInvocationSpec;
use datapact_chaincode::contract::encoding::{Granted, Info};
use datapact_chaincode::proto::common::{ChannelHeader, Header, SignatureHeader};
use datapact_chaincode::proto::peer::{
    ChaincodeHeaderExtension, ChaincodeProposalPayload, Proposal, SignedProposal,
};
use raw::{RawCodec, RawService};
use recording::{GatewayCall, GatewayRefusal, Recording};

/// A peer that says again what a real one has said, and keeps what it is asked.
#[derive(Clone)]
struct Peer {
    says: Arc<Mutex<VecDeque<GatewayCall>>>,
    asked: Arc<Mutex<Vec<Bytes>>>,
}

impl RawService for Peer {
    const NAME: &'static str = "gateway.Gateway";

    async fn answer(self, call: http::Request<Body>) -> http::Response<Body> {
        Grpc::new(RawCodec).unary(self, call).await
    }
}

impl UnaryService<Bytes> for Peer {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.asked.lock().unwrap().push(request.into_inner());
        let says =
            self.says.lock().unwrap().pop_front().expect("not more is asked than was recorded");
        let said = match (says.answer, says.refused) {
            (Some(answer), _) => Ok(Response::new(Bytes::from(hex::decode(answer).unwrap()))),
            (None, refused) => {
                let GatewayRefusal { code, message, details } = refused.unwrap();
                Err(Status::with_details(Code::from_i32(code), message, details.into()))
            }
        };
        Box::pin(std::future::ready(said))
    }
}

/// The adapter, and before it what was recorded of a case.
struct Replay {
    gateway: Arc<Gateway>,
    peer: Peer,
    exchanges: Vec<GatewayCall>,
    address: String,
    _dir: tempfile::TempDir,
}

impl Replay {
    async fn of(case: &str) -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fabric/gateway.json");
        let recorded: Recording = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let exchanges: Vec<GatewayCall> =
            recorded.asked.into_iter().filter(|asked| asked.case == case).collect();
        assert!(!exchanges.is_empty(), "nothing was recorded of `{case}`");
        let dir = tempfile::tempdir().unwrap();
        let files =
            [("cert.pem", &recorded.identity.certificate), ("key.pem", &recorded.identity.key)];
        let [certificate_file, key_file] = files.map(|(name, text)| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        });
        let peer =
            Peer { says: Arc::new(Mutex::new(exchanges.clone().into())), asked: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("grpc://{}", listener.local_addr().unwrap());
        raw::serve(listener, peer.clone());
        let node = NodeConfig { address: address.clone(), tls_ca_file: None, server_name: None };
        let config = FabricConfig {
            kind: KIND.to_owned(),
            channel: recorded.channel,
            chaincode: recorded.chaincode,
            consensus: Consensus::Raft,
            identity: IdentityConfig {
                msp_id: recorded.identity.msp_id,
                certificate_file,
                key_file,
            },
            administrator: None,
            tls: None,
            peers: vec![node.clone()],
            orderers: vec![node],
        };
        let clock = recorded.clock;
        let gateway = Gateway::new(config, Arc::new(move || clock));
        Self { gateway, peer, exchanges, address, _dir: dir }
    }

    /// What was recorded at `path`, the first of it.
    fn at(&self, path: &str) -> &GatewayCall {
        let path = format!("/gateway.Gateway/{path}");
        self.exchanges.iter().find(|asked| asked.path == path).unwrap()
    }

    /// What was asked then, endorsed once more.
    async fn endorse(&self) -> Result<Answer, LedgerError> {
        let request = EndorseRequest::decode(self.at("Endorse").request.as_slice()).unwrap();
        Ok(self.gateway.endorse(None, invocation(&request.proposed_transaction.unwrap())).await?)
    }

    /// The transaction as it was signed then, handed in once more.
    fn endorsed(&self, request: &GatewayCall) -> Answer {
        let request = SubmitRequest::decode(request.request.as_slice()).unwrap();
        let prepared = request.prepared_transaction.unwrap();
        let payload = Endorsed::answer(&prepared).unwrap();
        Answer { transaction: request.transaction_id, payload, prepared }
    }
}

/// A proposal without what is by chance: the nonce, and so the transaction's id, and the time.
fn constant(signed: &SignedProposal) -> (ChannelHeader, Bytes, ChaincodeHeaderExtension, Bytes) {
    let proposal = Proposal::decode(signed.proposal_bytes.clone()).unwrap();
    let header = Header::decode(proposal.header).unwrap();
    let mut channel = ChannelHeader::decode(header.channel_header).unwrap();
    assert_eq!(channel.tx_id.len(), 64);
    channel.tx_id.clear();
    assert!(channel.timestamp.take().is_some());
    let signer = SignatureHeader::decode(header.signature_header).unwrap();
    assert_eq!(signer.nonce.len(), 24);
    let extension = ChaincodeHeaderExtension::decode(channel.extension.clone()).unwrap();
    (channel, signer.creator, extension, proposal.payload)
}

fn invocation(signed: &SignedProposal) -> Invocation {
    let proposal = Proposal::decode(signed.proposal_bytes.clone()).unwrap();
    let payload = ChaincodeProposalPayload::decode(proposal.payload).unwrap();
    let spec = ChaincodeInvocationSpec::decode(payload.input).unwrap().chaincode_spec.unwrap();
    Invocation { args: spec.input.unwrap().args, transient: payload.transient_map }
}

#[tokio::test]
async fn what_the_adapter_asks_is_what_a_real_peer_has_taken_and_its_answers_are_read() {
    let replay = Replay::of("query").await;
    let info: Info =
        serde_json::from_slice(&replay.gateway.evaluate("info", &[]).await.unwrap()).unwrap();
    assert_eq!(info.set_up.unwrap().submitter, "ManagementMSP");
    let read = |bytes: &[u8]| EvaluateRequest::decode(bytes).unwrap();
    let (now, then) =
        (read(&replay.peer.asked.lock().unwrap()[0]), read(&replay.at("Evaluate").request));
    assert_eq!(now.target_organizations, then.target_organizations);
    assert_eq!(
        constant(&now.proposed_transaction.unwrap()),
        constant(&then.proposed_transaction.unwrap())
    );

    let replay = Replay::of("execute").await;
    let answer = replay.endorse().await.unwrap();
    let read = |bytes: &[u8]| EndorseRequest::decode(bytes).unwrap();
    let (now, then) =
        (read(&replay.peer.asked.lock().unwrap()[0]), read(&replay.at("Endorse").request));
    assert_eq!(
        (&now.channel_id, &now.endorsing_organizations),
        (&then.channel_id, &then.endorsing_organizations)
    );
    assert_eq!(
        constant(&now.proposed_transaction.unwrap()),
        constant(&then.proposed_transaction.unwrap())
    );
    let granted: Granted = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(
        granted.transaction, then.transaction_id,
        "the chaincode names the transaction that it was asked in"
    );
    // What is signed is what the gateway has prepared, byte for byte.
    let prepared = EndorseResponse::decode(
        hex::decode(replay.at("Endorse").answer.as_ref().unwrap()).unwrap().as_slice(),
    );
    assert_eq!(answer.prepared.payload, prepared.unwrap().prepared_transaction.unwrap().payload);

    let commit = replay.gateway.commit(&replay.endorsed(replay.at("Submit"))).await.unwrap();
    assert!(commit.is_valid() && commit.block > 0);
    let asked = replay.peer.asked.lock().unwrap().clone();
    assert_eq!(
        asked[1].as_ref(),
        replay.at("Submit").request,
        "handed in as it was, signature and all"
    );
    let read = |bytes: &[u8]| {
        let signed = SignedCommitStatusRequest::decode(bytes).unwrap();
        CommitStatusRequest::decode(signed.request).unwrap()
    };
    assert_eq!(read(&asked[2]), read(&replay.at("CommitStatus").request));
}

#[tokio::test]
async fn a_repeat_names_the_transaction_that_was_first_and_nothing_is_handed_in() {
    let first =
        EndorseRequest::decode(Replay::of("execute").await.at("Endorse").request.as_slice())
            .unwrap();
    let replay = Replay::of("repeat").await;
    assert_eq!(replay.exchanges.len(), 1);
    let answer = replay.endorse().await.unwrap();
    let granted: Granted = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(granted.transaction, first.transaction_id);
}

#[tokio::test]
async fn a_conflict_is_one_and_is_no_failure() {
    let replay = Replay::of("conflict").await;
    let request =
        SignedCommitStatusRequest::decode(replay.at("CommitStatus").request.as_slice()).unwrap();
    let transaction = CommitStatusRequest::decode(request.request).unwrap().transaction_id;
    let commit = replay
        .gateway
        .commit_status(&transaction, std::time::Duration::from_secs(60))
        .await
        .unwrap();
    assert!(commit.is_conflict() && !commit.is_valid(), "{commit:?}");
}

#[tokio::test]
async fn a_refusal_of_the_contract_is_the_contracts() {
    let replay = Replay::of("refused").await;
    // The first was granted.
    let (endorsed, rest): (Vec<_>, Vec<_>) =
        replay.exchanges.iter().cloned().partition(|asked| asked.refused.is_some());
    assert!(!rest.is_empty());
    *replay.peer.says.lock().unwrap() = endorsed.into();
    let refused = replay.endorse().await.unwrap_err();
    assert!(
        matches!(refused, LedgerError::Refused(Refusal::AccessTimes { access_times: 1 })),
        "{refused}"
    );
}

/// What is wrong and where, for each mistake that a real peer was asked to tell.
#[tokio::test]
async fn each_mistake_is_told_with_what_is_wrong_and_where() {
    for (case, said) in [
        ("wrong msp", ["`msp_id`", "`channel`"]),
        ("other organisation's msp", ["`msp_id`", "`certificate_file`"]),
        ("expired certificate", ["expired", "renew"]),
        ("missing chaincode", ["`chaincode`", "`channel`"]),
        ("missing chaincode, endorsing", ["`chaincode`", "`channel`"]),
        ("wrong channel", ["`channel`", "peer"]),
    ] {
        let replay = Replay::of(case).await;
        let error = match replay.exchanges[0].path.ends_with("Evaluate") {
            true => replay.gateway.evaluate("info", &[]).await.unwrap_err(),
            false => replay.endorse().await.unwrap_err(),
        };
        let LedgerError::Misconfigured(told) = error else {
            panic!("`{case}` is told as `{error}`")
        };
        for part in said.iter().chain([&replay.address.as_str()]) {
            assert!(told.contains(part), "`{case}`: `{told}` does not say `{part}`");
        }
    }
}

#[tokio::test]
async fn what_is_endorsed_by_too_few_is_told_and_who_did_not() {
    let replay = Replay::of("endorsed by one").await;
    replay.endorse().await.unwrap();
    let error = replay
        .gateway
        .commit(&replay.endorsed(replay.at("Submit")))
        .await
        .map(super::client::invalid);
    let LedgerError::Misconfigured(told) = error.unwrap() else { panic!("another failure") };
    assert!(told.contains("ENDORSEMENT_POLICY_FAILURE"), "{told}");

    let replay = Replay::of("the other organisation's chaincode is down").await;
    let LedgerError::Unavailable(told) = replay.endorse().await.unwrap_err() else {
        panic!("another failure")
    };
    assert!(told.contains("KeyMSP") && told.contains("connect"), "{told}");
}
