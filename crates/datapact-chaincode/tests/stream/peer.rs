//! The peer's side of the stream, as a script.

use std::collections::BTreeMap;
use std::sync::Arc;

use datapact_chaincode::contract::{Contract, SetUp};
use datapact_chaincode::proto::common::{
    ChannelHeader, Header, SerializedIdentity, SignatureHeader, Timestamp,
};
use datapact_chaincode::proto::peer::{
    ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeProposalPayload, Proposal,
    Response, SignedProposal,
};
use datapact_chaincode::proto::shim::{ChaincodeMessage, GetState, MessageType};
use datapact_chaincode::shim::{ServerTls, serve};
use datapact_log::clock::system_clock;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

pub(crate) const PACKAGE: &str = "datapact_1:00ff";
pub(crate) const CHANNEL: &str = "sharing";

/// A chaincode of this test's own.
pub(crate) struct Service {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

pub(crate) fn set_up() -> SetUp {
    SetUp {
        administrators: ["Org2MSP".to_owned()].into(),
        chaincode: "datapact".to_owned(),
        ledger: "consortium.example/ledger-1".to_owned(),
        submitter: "Org1MSP".to_owned(),
    }
}

pub(crate) async fn start(tls: Option<ServerTls>) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let contract = Arc::new(Contract::new(Some(set_up()), system_clock()));
    let serving = tokio::spawn(serve(listener, tls, PACKAGE.to_owned(), contract, stopping));
    Service { address, stop, serving }
}

pub(crate) struct Peer {
    out: mpsc::Sender<ChaincodeMessage>,
    incoming: Streaming<ChaincodeMessage>,
}

impl Peer {
    /// Connects, and has not yet read the chaincode's greeting.
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        Self::over(Endpoint::from_shared(format!("http://{address}")).unwrap()).await.unwrap()
    }

    pub(crate) async fn connect_tls(
        address: std::net::SocketAddr,
        tls: ClientTlsConfig,
    ) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        Self::over(endpoint.tls_config(tls).map_err(|error| error.to_string())?).await
    }

    async fn over(endpoint: Endpoint) -> Result<Self, String> {
        let channel: Channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
        let (out, outgoing) = mpsc::channel(1024);
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.map_err(|error| error.to_string())?;
        let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
        let path = PathAndQuery::from_static("/protos.Chaincode/Connect");
        let request = Request::new(ReceiverStream::new(outgoing));
        let response =
            grpc.streaming(request, path, codec).await.map_err(|status| format!("{status:?}"))?;
        Ok(Self { out, incoming: response.into_inner() })
    }

    /// Connects and greets.
    pub(crate) async fn ready(address: std::net::SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        peer.greet().await;
        peer
    }

    pub(crate) async fn greet(&mut self) {
        let register = self.next().await;
        assert_eq!(register.r#type(), MessageType::Register);
        assert_eq!(ChaincodeId::decode(register.payload).unwrap().name, PACKAGE);
        for kind in [MessageType::Registered, MessageType::Ready] {
            self.send(ChaincodeMessage { r#type: kind.into(), ..ChaincodeMessage::default() })
                .await;
        }
    }

    pub(crate) async fn send(&self, message: ChaincodeMessage) {
        self.out.send(message).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> ChaincodeMessage {
        self.incoming.message().await.unwrap().expect("the stream goes on")
    }

    /// What ends the stream: nothing, or a status.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        while self.incoming.message().await?.is_some() {}
        Ok(())
    }

    /// Runs a transaction over `state`: the response, and what it wrote.
    pub(crate) async fn run(
        &mut self,
        message: ChaincodeMessage,
        state: &BTreeMap<String, Vec<u8>>,
    ) -> (Response, Vec<String>) {
        let mut written = Vec::new();
        self.send(message).await;
        loop {
            let asked = self.next().await;
            let answer = match asked.r#type() {
                MessageType::GetState => {
                    let key = GetState::decode(asked.payload.clone()).unwrap().key;
                    state.get(&key).cloned().unwrap_or_default()
                }
                MessageType::PutState => {
                    let put =
                        datapact_chaincode::proto::shim::PutState::decode(asked.payload.clone())
                            .unwrap();
                    written.push(put.key);
                    Vec::new()
                }
                MessageType::Completed => {
                    return (Response::decode(asked.payload).unwrap(), written);
                }
                other => panic!("{other:?}"),
            };
            self.send(answered(&asked, MessageType::Response, answer)).await;
        }
    }
}

/// The answer to a message of a transaction.
pub(crate) fn answered(
    asked: &ChaincodeMessage,
    kind: MessageType,
    payload: Vec<u8>,
) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: kind.into(),
        payload: payload.into(),
        txid: asked.txid.clone(),
        channel_id: asked.channel_id.clone(),
        ..ChaincodeMessage::default()
    }
}

/// A transaction as a peer hands it on.
pub(crate) fn transaction(txid: &str, arguments: &[&str]) -> ChaincodeMessage {
    transaction_of(txid, arguments, "Org1MSP", b"")
}

pub(crate) fn transaction_of(
    txid: &str,
    arguments: &[&str],
    msp: &str,
    certificate: &[u8],
) -> ChaincodeMessage {
    let seconds = i64::try_from(system_clock()()).unwrap();
    let name = ChaincodeId { name: "datapact".to_owned(), ..ChaincodeId::default() };
    let channel_header = ChannelHeader {
        r#type: 3,
        timestamp: Some(Timestamp { seconds, nanos: 5 }),
        channel_id: CHANNEL.to_owned(),
        tx_id: txid.to_owned(),
        extension: ChaincodeHeaderExtension { chaincode_id: Some(name) }.encode_to_vec().into(),
        ..ChannelHeader::default()
    };
    let creator =
        SerializedIdentity { mspid: msp.to_owned(), id_bytes: certificate.to_vec().into() };
    let signature_header =
        SignatureHeader { creator: creator.encode_to_vec().into(), ..SignatureHeader::default() };
    let header = Header {
        channel_header: channel_header.encode_to_vec().into(),
        signature_header: signature_header.encode_to_vec().into(),
    };
    let proposal = Proposal {
        header: header.encode_to_vec().into(),
        payload: ChaincodeProposalPayload::default().encode_to_vec().into(),
        ..Proposal::default()
    };
    let input = ChaincodeInput {
        args: arguments.iter().map(|it| bytes::Bytes::copy_from_slice(it.as_bytes())).collect(),
        ..ChaincodeInput::default()
    };
    ChaincodeMessage {
        r#type: MessageType::Transaction.into(),
        payload: input.encode_to_vec().into(),
        txid: txid.to_owned(),
        proposal: Some(SignedProposal {
            proposal_bytes: proposal.encode_to_vec().into(),
            ..SignedProposal::default()
        }),
        channel_id: CHANNEL.to_owned(),
        ..ChaincodeMessage::default()
    }
}
