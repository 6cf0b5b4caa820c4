//! Proposals and requests as they are signed, and what an endorsed transaction says.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use datapact_core::id::{Timestamp, random};
use datapact_ledger::LedgerError;
use prost::Message as _;

use super::identity::Identity;
use crate::proto::block::{Envelope, Payload, SeekInfo};
use crate::proto::transaction::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeInvocationSpec, ChaincodeSpec,
    ProposalResponsePayload, Transaction,
};
use datapact_chaincode::proto::common::{
    ChannelHeader, Header, SignatureHeader, Timestamp as Moment,
};
use datapact_chaincode::proto::peer::{
    ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeProposalPayload, Proposal,
    SignedProposal,
};

/// A channel header's type for an endorsed transaction.
pub(crate) const ENDORSER_TRANSACTION: i32 = 3;
/// And for what asks for blocks.
const DELIVER_SEEK_INFO: i32 = 5;
/// The language stated for a chaincode; no peer looks at it.
const GOLANG: i32 = 1;

/// What a chaincode is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Invocation {
    /// The function's name and its arguments.
    pub(crate) args: Vec<Bytes>,
    /// What the chaincode sees and no block holds.
    pub(crate) transient: BTreeMap<String, Vec<u8>>,
}

impl Invocation {
    pub(crate) fn new(function: &str, args: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let function = Bytes::copy_from_slice(function.as_bytes());
        let args = args.into_iter().map(|arg| Bytes::from(arg.into()));
        Self { args: std::iter::once(function).chain(args).collect(), transient: BTreeMap::new() }
    }
}

/// A proposal that is signed, and the id of the transaction that it would become.
#[derive(Debug, Clone)]
pub(crate) struct Proposed {
    pub(crate) transaction: String,
    pub(crate) signed: SignedProposal,
}

/// Signs a proposal of `identity` to `chaincode`, made at `time`.
pub(crate) fn propose(
    identity: &Identity,
    channel: &str,
    chaincode: &str,
    invocation: Invocation,
    time: Timestamp,
) -> Result<Proposed, LedgerError> {
    let nonce: [u8; 24] = random();
    let creator = identity.creator();
    let transaction = transaction_id(&nonce, &creator);
    let chaincode_id = Some(ChaincodeId { name: chaincode.to_owned(), ..ChaincodeId::default() });
    let extension = ChaincodeHeaderExtension { chaincode_id: chaincode_id.clone() };
    let channel_header = ChannelHeader {
        r#type: ENDORSER_TRANSACTION,
        timestamp: Some(moment(time)),
        channel_id: channel.to_owned(),
        tx_id: transaction.clone(),
        extension: extension.encode_to_vec().into(),
        ..ChannelHeader::default()
    };
    let Invocation { args, transient } = invocation;
    let input = ChaincodeInput { args, ..ChaincodeInput::default() };
    let spec = ChaincodeSpec { r#type: GOLANG, chaincode_id, input: Some(input), timeout: 0 };
    let input = ChaincodeInvocationSpec { chaincode_spec: Some(spec) }.encode_to_vec().into();
    let proposal = Proposal {
        header: header(&channel_header, creator, &nonce).encode_to_vec().into(),
        payload: ChaincodeProposalPayload { input, transient_map: transient }
            .encode_to_vec()
            .into(),
        extension: Bytes::new(),
    };
    let proposal_bytes: Bytes = proposal.encode_to_vec().into();
    let signature = identity.sign(&proposal_bytes)?;
    Ok(Proposed { transaction, signed: SignedProposal { proposal_bytes, signature } })
}

/// Signs a request of `identity` for blocks, made at `time`, for the connection with the client's
/// TLS `certificate`.
pub(crate) fn seek(
    identity: &Identity,
    channel: &str,
    seek: SeekInfo,
    certificate: Bytes,
    time: Timestamp,
) -> Result<Envelope, LedgerError> {
    let nonce: [u8; 24] = random();
    let channel_header = ChannelHeader {
        r#type: DELIVER_SEEK_INFO,
        timestamp: Some(moment(time)),
        channel_id: channel.to_owned(),
        tls_cert_hash: certificate,
        ..ChannelHeader::default()
    };
    let header = Some(header(&channel_header, identity.creator(), &nonce));
    let payload: Bytes =
        Payload { header, data: seek.encode_to_vec().into() }.encode_to_vec().into();
    let signature = identity.sign(&payload)?;
    Ok(Envelope { payload, signature })
}

/// `hex(SHA-256(nonce || creator))`.
fn transaction_id(nonce: &[u8], creator: &[u8]) -> String {
    hex::encode(digest(&SHA256, &[nonce, creator].concat()))
}

fn moment(time: Timestamp) -> Moment {
    Moment { seconds: i64::try_from(time).unwrap_or(i64::MAX), nanos: 0 }
}

fn header(channel_header: &ChannelHeader, creator: Bytes, nonce: &[u8]) -> Header {
    let signature_header = SignatureHeader { creator, nonce: Bytes::copy_from_slice(nonce) };
    Header {
        channel_header: channel_header.encode_to_vec().into(),
        signature_header: signature_header.encode_to_vec().into(),
    }
}

/// What a transaction says: the endorsed action of a chaincode. None when it is something else, or
/// not readable.
pub(crate) struct Endorsed {
    pub(crate) action: ChaincodeAction,
    pub(crate) payload: ChaincodeActionPayload,
}

impl Endorsed {
    /// Of the `data` of an envelope's payload.
    pub(crate) fn read(data: Bytes) -> Option<Self> {
        let mut transaction = Transaction::decode(data).ok()?;
        let action = transaction.actions.pop().filter(|_| transaction.actions.is_empty())?;
        let payload = ChaincodeActionPayload::decode(action.payload).ok()?;
        let endorsed = payload.action.as_ref()?.proposal_response_payload.clone();
        let extension = ProposalResponsePayload::decode(endorsed).ok()?.extension;
        Some(Self { action: ChaincodeAction::decode(extension).ok()?, payload })
    }

    /// What the chaincode answers in a transaction that a gateway has prepared.
    pub(crate) fn answer(prepared: &Envelope) -> Option<Bytes> {
        let payload = Payload::decode(prepared.payload.clone()).ok()?;
        let response = Self::read(payload.data)?.action.response?;
        (response.status == 200).then_some(response.payload)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::gateway::identity::FileIdentity;
    use crate::gateway::identity::tests::write;

    #[test]
    fn a_transactions_id_is_the_digest_of_nonce_and_creator() {
        let dir = tempfile::tempdir().unwrap();
        let identity = FileIdentity::new(write(dir.path(), 2020..2040)).at(1_800_000_000).unwrap();
        let mut invocation = Invocation::new("execute", ["{}"]);
        invocation.transient.insert("documents".to_owned(), b"personal".to_vec());
        let proposed =
            propose(&identity, "sharing", "datapact", invocation, 1_800_000_000).unwrap();
        let proposal = Proposal::decode(proposed.signed.proposal_bytes.clone()).unwrap();
        let header = Header::decode(proposal.header).unwrap();
        let signature_header = SignatureHeader::decode(header.signature_header).unwrap();
        assert_eq!(signature_header.creator, identity.creator());
        assert_eq!(
            proposed.transaction,
            hex::encode(digest(
                &SHA256,
                &[signature_header.nonce, signature_header.creator].concat()
            ))
        );
        let channel_header = ChannelHeader::decode(header.channel_header).unwrap();
        assert_eq!(channel_header.tx_id, proposed.transaction);
        assert_eq!(channel_header.timestamp.unwrap().seconds, 1_800_000_000);
        let payload = ChaincodeProposalPayload::decode(proposal.payload).unwrap();
        assert_eq!(payload.transient_map.get("documents").unwrap(), b"personal");
        let spec = ChaincodeInvocationSpec::decode(payload.input).unwrap().chaincode_spec.unwrap();
        assert_eq!(spec.input.unwrap().args, ["execute", "{}"]);
        assert_eq!(spec.chaincode_id.unwrap().name, "datapact");
        let again =
            propose(&identity, "sharing", "datapact", Invocation::new("info", [""; 0]), 1).unwrap();
        assert_ne!(again.transaction, proposed.transaction);
    }

    #[test]
    fn the_id_is_fabrics() {
        // `printf 'nonce%s' creator | sha256sum`
        assert_eq!(
            transaction_id(b"nonce", b"creator"),
            hex::encode(digest(&SHA256, b"noncecreator"))
        );
    }
}
