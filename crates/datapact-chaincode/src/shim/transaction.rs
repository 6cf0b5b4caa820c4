//! One transaction: what the peer asks, the state through the peer, the answer.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datapact_core::permission::TIME_MAX;
use prost::Message as _;
use tokio::sync::mpsc;

use super::stream::{Key, Outgoing};
use crate::contract::encoding::EVENT_NAME;
use crate::contract::{Answer, Caller, Contract, Invocation, State, StateError};
use crate::proto::common::{ChannelHeader, Header, SerializedIdentity, SignatureHeader};
use crate::proto::peer::{
    ChaincodeEvent, ChaincodeHeaderExtension, ChaincodeInput, ChaincodeProposalPayload, Proposal,
    Response,
};
use crate::proto::shim::{ChaincodeMessage, GetState, MessageType, PutState};

/// The status of a response that a peer may endorse.
const OK: i32 = 200;
/// The status of a response that no peer endorses.
const REFUSED: i32 = 500;
/// How long a peer may take to answer a read or a write. It gives a transaction 30 s by default.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The world state, through the peer that runs the transaction: one question at a time.
pub(super) struct Ledger {
    key: Key,
    out: Outgoing,
    answers: mpsc::Receiver<ChaincodeMessage>,
}

impl Ledger {
    pub(super) fn new(key: Key, out: Outgoing, answers: mpsc::Receiver<ChaincodeMessage>) -> Self {
        Self { key, out, answers }
    }

    async fn ask(&mut self, kind: MessageType, payload: Vec<u8>) -> Result<Bytes, StateError> {
        let gone = || StateError("the peer's stream has ended".to_owned());
        self.out.send(Ok(reply(&self.key, kind, payload.into()))).await.map_err(|_| gone())?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.answers.recv()).await;
        let answer = answer
            .map_err(|_| StateError("the peer does not answer".to_owned()))?
            .ok_or_else(gone)?;
        match answer.r#type() {
            MessageType::Response => Ok(answer.payload),
            _ => Err(StateError(String::from_utf8_lossy(&answer.payload).into_owned())),
        }
    }
}

#[async_trait]
impl State for Ledger {
    async fn get(&mut self, key: &str) -> Result<Option<Bytes>, StateError> {
        let asked = GetState { key: key.to_owned(), collection: String::new() };
        let value = self.ask(MessageType::GetState, asked.encode_to_vec()).await?;
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    async fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        let asked =
            PutState { key: key.to_owned(), value: value.into(), collection: String::new() };
        self.ask(MessageType::PutState, asked.encode_to_vec()).await.map(drop)
    }
}

/// Runs the transaction that `message` begins: the message that ends it, and where it goes.
pub(super) async fn run(
    contract: &Contract,
    message: ChaincodeMessage,
    mut ledger: Ledger,
) -> (Outgoing, ChaincodeMessage) {
    let ended = match invocation(&message) {
        Err(what) => failed(&ledger.key, what),
        Ok(invocation) => match contract.invoke(&invocation, &mut ledger).await {
            Ok(Answer { payload, event }) => {
                let response =
                    Response { status: OK, message: String::new(), payload: payload.into() };
                let event = event.map(|payload| ChaincodeEvent {
                    event_name: EVENT_NAME.to_owned(),
                    payload: payload.into(),
                    ..ChaincodeEvent::default()
                });
                completed(&ledger.key, &response, event)
            }
            Err(failure) => {
                tracing::debug!(transaction = ledger.key.1, %failure, "refused");
                let response = Response {
                    status: REFUSED,
                    message: failure.to_message(),
                    payload: Bytes::new(),
                };
                completed(&ledger.key, &response, None)
            }
        },
    };
    (ledger.out, ended)
}

/// What the peer's message asks of the contract.
pub(super) fn invocation(message: &ChaincodeMessage) -> Result<Invocation, &'static str> {
    let input = ChaincodeInput::decode(message.payload.clone())
        .map_err(|_| "the input cannot be decoded")?;
    let proposal = message.proposal.as_ref().ok_or("the message has no proposal")?;
    let proposal = Proposal::decode(proposal.proposal_bytes.clone())
        .map_err(|_| "the proposal cannot be decoded")?;
    let header =
        Header::decode(proposal.header).map_err(|_| "the proposal's header cannot be decoded")?;
    let channel = ChannelHeader::decode(header.channel_header)
        .map_err(|_| "the channel header cannot be decoded")?;
    if channel.channel_id != message.channel_id || channel.tx_id != message.txid {
        return Err("the proposal is for another channel or transaction");
    }
    let time = channel.timestamp.and_then(|timestamp| u64::try_from(timestamp.seconds).ok());
    let time = time.filter(|time| *time <= TIME_MAX);
    let extension = ChaincodeHeaderExtension::decode(channel.extension)
        .map_err(|_| "the channel header's extension cannot be decoded")?;
    let signer = SignatureHeader::decode(header.signature_header)
        .map_err(|_| "the signature header cannot be decoded")?;
    let creator = SerializedIdentity::decode(signer.creator)
        .map_err(|_| "the proposal's creator cannot be decoded")?;
    let payload = ChaincodeProposalPayload::decode(proposal.payload)
        .map_err(|_| "the proposal's payload cannot be decoded")?;
    Ok(Invocation {
        transaction: message.txid.clone(),
        chaincode: extension.chaincode_id.unwrap_or_default().name,
        time: time.ok_or("the proposal has no time, or none before the year 10000")?,
        caller: Caller::new(creator.mspid, &creator.id_bytes),
        arguments: input.args,
        transient: payload.transient_map,
    })
}

fn completed(key: &Key, response: &Response, event: Option<ChaincodeEvent>) -> ChaincodeMessage {
    let message = reply(key, MessageType::Completed, response.encode_to_vec().into());
    ChaincodeMessage { chaincode_event: event, ..message }
}

/// The end of a transaction that could not be run.
pub(super) fn failed(key: &Key, what: &str) -> ChaincodeMessage {
    reply(key, MessageType::Error, Bytes::copy_from_slice(what.as_bytes()))
}

fn reply((channel, transaction): &Key, kind: MessageType, payload: Bytes) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: kind.into(),
        payload,
        txid: transaction.clone(),
        channel_id: channel.clone(),
        ..ChaincodeMessage::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::proto::peer::SignedProposal;

    /// A proposal whose parts are each whole or cut, and of any content.
    fn message() -> impl Strategy<Value = ChaincodeMessage> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..64);
        let parts = (any::<Option<i64>>(), bytes(), bytes(), bytes(), bytes(), 0..400usize);
        parts.prop_map(|(seconds, extension, creator, transient, payload, length)| {
            let timestamp =
                seconds.map(|seconds| crate::proto::common::Timestamp { seconds, nanos: 0 });
            let channel = ChannelHeader {
                timestamp,
                extension: extension.into(),
                ..ChannelHeader::default()
            };
            let signer = SignatureHeader { creator: creator.into(), ..SignatureHeader::default() };
            let header = Header {
                channel_header: channel.encode_to_vec().into(),
                signature_header: signer.encode_to_vec().into(),
            };
            let proposal = Proposal {
                header: header.encode_to_vec().into(),
                payload: transient.into(),
                ..Proposal::default()
            };
            let mut bytes = proposal.encode_to_vec();
            bytes.truncate(length);
            let proposal =
                SignedProposal { proposal_bytes: bytes.into(), ..SignedProposal::default() };
            ChaincodeMessage {
                payload: payload.into(),
                proposal: Some(proposal),
                ..ChaincodeMessage::default()
            }
        })
    }

    proptest! {
        #[test]
        fn whatever_a_peer_sends_is_read_or_refused(message in message()) {
            if let Ok(invocation) = invocation(&message) {
                prop_assert_eq!(invocation.transaction, message.txid);
            }
        }

        #[test]
        fn whatever_bytes_come_are_a_message_or_none(
            bytes in proptest::collection::vec(any::<u8>(), 0..512),
        ) {
            if let Ok(message) = ChaincodeMessage::decode(bytes.as_slice()) {
                let _ = invocation(&message);
            }
        }
    }
}
