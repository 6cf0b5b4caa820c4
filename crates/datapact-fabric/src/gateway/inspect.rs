//! One transaction and its block, as an operator looks at them: what the own peer holds, checked as
//! far as that goes.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use datapact_core::trust::{public_key, subject};
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::position;
use prost::Message as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use super::block::{CommittedBlock, hash};
use super::client::{Gateway, code_name};
use super::proposal::Endorsed;
use crate::proto::block::{Metadata, Payload};
use crate::proto::transaction::ChaincodeEndorsedAction;
use datapact_chaincode::proto::common::SerializedIdentity;

/// Where the orderers' signatures are in a block's metadata.
const SIGNATURES: usize = 0;

/// A channel, as the own peer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelReport {
    /// The channel.
    pub channel: String,
    /// The chaincode's name.
    pub chaincode: String,
    /// The peer that answered.
    pub peer: String,
    /// How many blocks it has.
    pub height: u64,
    /// The newest block's hash, hexadecimal.
    pub block_hash: String,
    /// The newest block that the orderers have.
    pub newest_block: u64,
    /// The ledger's id.
    pub ledger: Option<String>,
    /// Whose calls the chaincode takes.
    pub submitter: Option<String>,
    /// SHA-256 of the trust configuration, hexadecimal.
    pub trust: Option<String>,
}

/// A transaction, as the own peer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionReport {
    /// Its id.
    pub transaction: String,
    /// Its block.
    pub block: u64,
    /// Its place in it, from 0.
    pub place: u64,
    /// The position of its event.
    pub position: u64,
    /// The validation code's name: only `VALID` counts.
    pub code: String,
    /// Who endorsed it.
    pub endorsements: Vec<EndorsementReport>,
    /// The block's hash, hexadecimal.
    pub block_hash: String,
    /// How many orderers' signatures the block has. They are not checked here: the peer has.
    pub orderer_signatures: usize,
    /// How many blocks up to the newest one were found to link to it, each by the hash of the one
    /// before.
    pub linked_blocks: u64,
}

/// An endorsement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndorsementReport {
    /// The endorser's organisation.
    pub msp_id: String,
    /// The subject of its certificate.
    pub subject: String,
    /// Whether the signature is of that certificate's key. That its organisation issued the
    /// certificate is the peer's to judge.
    pub is_signed: bool,
}

/// What this looks at cannot prove, for people.
pub const NOT_PROVEN: &str = "the orderers' signatures and the organisations' certificates are \
    checked by the own peer alone, and no block proves the world state";

/// Looks at the channel.
///
/// # Errors
/// What the peer or the orderers say, or that too few can be reached.
pub async fn channel(gateway: &Gateway) -> Result<ChannelReport, LedgerError> {
    let height = gateway.height().await?;
    let info = super::admin::info(gateway).await?;
    Ok(ChannelReport {
        channel: gateway.config().channel.clone(),
        chaincode: gateway.config().chaincode.clone(),
        peer: gateway.preferred().to_owned(),
        height: height.height,
        block_hash: hex::encode(height.current_block_hash),
        newest_block: gateway.newest().await?,
        ledger: info.set_up.as_ref().map(|it| it.ledger.clone()),
        submitter: info.set_up.map(|it| it.submitter),
        trust: info.trust.map(|digest| digest.to_string()),
    })
}

/// A block's bytes (`common.Block`), as the own peer keeps it.
///
/// # Errors
/// What the peer says: that it has no such block, for example.
pub async fn block(gateway: &Gateway, number: u64) -> Result<Vec<u8>, LedgerError> {
    Ok(gateway.block(number).await?.encode_to_vec())
}

/// Looks at a transaction: recomputes its block's hashes, follows them to the newest block, and
/// checks the endorsers' signatures. None when the own peer knows no such transaction.
///
/// # Errors
/// [`LedgerError::Corrupt`] when the peer's blocks contradict themselves.
pub async fn transaction(
    gateway: &Gateway,
    id: &str,
) -> Result<Option<TransactionReport>, LedgerError> {
    let Some(block) = gateway.block_of_transaction(id).await? else { return Ok(None) };
    let unreadable = |what: &str| LedgerError::Corrupt {
        position: None,
        reason: format!("the transaction `{id}`: {what}; the peer is damaged or lies"),
    };
    let metadata = block.metadata.clone().unwrap_or_default().metadata.into_iter().nth(SIGNATURES);
    let signatures =
        metadata.and_then(|bytes| Metadata::decode(bytes).ok()).map_or(0, |it| it.signatures.len());
    let header = block.header.clone().ok_or_else(|| unreadable("its block has no header"))?;
    let chaincode = &gateway.config().chaincode;
    let committed = CommittedBlock::read(block, chaincode)?;
    let (place, code) = (0..)
        .zip(&committed.transactions)
        .find(|(_, it)| it.id == id)
        .map(|(place, it)| (place, i32::from(it.code)))
        .ok_or_else(|| unreadable("it is not in the block that the peer gives for it"))?;
    let processed =
        gateway.transaction(id).await?.ok_or_else(|| unreadable("the peer has lost it"))?;
    let envelope = processed.transaction_envelope.unwrap_or_default();
    let payload = Payload::decode(envelope.payload).map_err(|_| unreadable("it cannot be read"))?;
    let endorsed = Endorsed::read(payload.data).and_then(|it| it.payload.action);
    let height = gateway.height().await?;
    let newest = height.height.saturating_sub(1);
    // The peer says which block is the newest; only its hash, reached link by link, shows that the
    // block of the transaction is one of the chain's.
    let mut linked = committed.hash;
    for number in committed.number + 1..=newest {
        let next = CommittedBlock::read(gateway.block(number).await?, chaincode)?;
        if next.number != number || next.previous_hash != linked.as_slice() {
            return Err(unreadable(&format!("block {number} does not link to the one before it")));
        }
        linked = next.hash;
    }
    if height.current_block_hash != linked.as_slice() {
        return Err(unreadable("the newest block's hash is not the one that the peer says"));
    }
    Ok(Some(TransactionReport {
        transaction: id.to_owned(),
        block: committed.number,
        place,
        position: position(committed.number, place),
        code: code_name(code).to_owned(),
        endorsements: endorsed.as_ref().map(endorsements).unwrap_or_default(),
        block_hash: hex::encode(hash(&header)),
        orderer_signatures: signatures,
        linked_blocks: newest.saturating_sub(committed.number),
    }))
}

fn endorsements(action: &ChaincodeEndorsedAction) -> Vec<EndorsementReport> {
    let report = |endorsement: &crate::proto::transaction::Endorsement| {
        let identity = SerializedIdentity::decode(endorsement.endorser.clone()).unwrap_or_default();
        let certificate = CertificateDer::from_pem_slice(&identity.id_bytes).ok();
        let key = certificate.as_ref().and_then(|certificate| public_key(certificate).ok());
        let signed =
            [action.proposal_response_payload.as_ref(), endorsement.endorser.as_ref()].concat();
        let is_signed = key.is_some_and(|key| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.point)
                .verify(&signed, &endorsement.signature)
                .is_ok()
        });
        EndorsementReport {
            subject: certificate.and_then(|it| subject(&it).ok()).unwrap_or_else(|| {
                format!("certificate {}", hex::encode(digest(&SHA256, &identity.id_bytes)))
            }),
            msp_id: identity.mspid,
            is_signed,
        }
    };
    action.endorsements.iter().map(report).collect()
}
