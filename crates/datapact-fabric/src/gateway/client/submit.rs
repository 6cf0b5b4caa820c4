//! Endorsing and committing: a transaction is handed in until a block holds it, and decided again
//! while it conflicts with others.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datapact_core::id::random;
use datapact_ledger::LedgerError;
use prost::Message as _;
use serde::Deserialize;

use super::commit::{Commit, invalid};
use super::{Gateway, TIMEOUT, none_configured};
use crate::gateway::config::FabricConfig;
use crate::gateway::error::GatewayError;
use crate::gateway::identity::FileIdentity;
use crate::gateway::proposal::{Endorsed, Invocation, propose};
use crate::proto::block::Envelope;
use crate::proto::gateway::{
    CommitStatusRequest, CommitStatusResponse, EndorseRequest, EndorseResponse,
    SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};

const ENDORSE: &str = "/gateway.Gateway/Endorse";
const SUBMIT: &str = "/gateway.Gateway/Submit";
const COMMIT_STATUS: &str = "/gateway.Gateway/CommitStatus";
/// How long a commit is waited for before the transaction is handed in again: an orderer that took
/// it may be gone.
const AGAIN: Duration = Duration::from_secs(6);
/// And after the orderers did not take it.
const AGAIN_SOON: Duration = Duration::from_millis(500);
/// How long a transaction may take until it is in a block.
const FINALITY_TIMEOUT: Duration = Duration::from_secs(30);

/// What an endorsed invocation says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The transaction that it would be.
    pub transaction: String,
    /// The chaincode's answer.
    pub payload: Bytes,
    pub(crate) prepared: Envelope,
}

/// What every changing function of the chaincode answers.
#[derive(Deserialize)]
struct Done {
    /// The transaction that did it.
    transaction: String,
}

impl Gateway {
    /// Lets the contract's chaincode change something, in the name of the own identity, and waits
    /// for it: what it answers, and the commit, which a repeat does not need.
    ///
    /// # Errors
    /// What the chaincode, a peer or an orderer says, or that what became of it is not known.
    pub async fn invoke(
        &self,
        function: &str,
        args: impl IntoIterator<Item = Vec<u8>>,
        transient: BTreeMap<String, Vec<u8>>,
    ) -> Result<(Answer, Option<Commit>), LedgerError> {
        let invocation = Invocation { transient, ..Invocation::new(function, args) };
        Ok(self.submit(None, invocation).await?)
    }

    /// Lets the contract's chaincode be endorsed by as many organisations as its policy asks for,
    /// in the name of `who`, or of the own identity.
    pub(crate) async fn endorse(
        &self,
        who: Option<&FileIdentity>,
        invocation: Invocation,
    ) -> Result<Answer, GatewayError> {
        let time = (self.clock)();
        let identity = who.unwrap_or(&self.identity).at(time)?;
        let FabricConfig { channel, chaincode, .. } = &self.config;
        let proposed = propose(&identity, channel, chaincode, invocation, time)?;
        let transaction = proposed.transaction;
        let request = EndorseRequest {
            transaction_id: transaction.clone(),
            channel_id: channel.clone(),
            proposed_transaction: Some(proposed.signed),
            endorsing_organizations: Vec::new(),
        };
        let permit = self.requests.acquire().await;
        let answer: EndorseResponse = self.unary(ENDORSE, request, TIMEOUT).await?;
        drop(permit);
        let unreadable =
            || LedgerError::Unavailable(format!("`{}` answers no transaction", self.preferred()));
        let mut prepared = answer.prepared_transaction.ok_or_else(unreadable)?;
        let payload = Endorsed::answer(&prepared).ok_or_else(unreadable)?;
        prepared.signature = identity.sign(&prepared.payload)?;
        Ok(Answer { transaction, payload, prepared })
    }

    /// Hands an endorsed transaction in, and waits until it is in a block of the own
    /// organisation's peer.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when that is not known: it may or may not be in one later.
    pub(crate) async fn commit(&self, answer: &Answer) -> Result<Commit, LedgerError> {
        let end = Instant::now() + FINALITY_TIMEOUT;
        let channel_id = self.config.channel.clone();
        let submit = SubmitRequest {
            transaction_id: answer.transaction.clone(),
            channel_id: channel_id.clone(),
            prepared_transaction: Some(answer.prepared.clone()),
        };
        let _permit = self.commits.acquire().await;
        loop {
            let sent: Result<SubmitResponse, _> = {
                let _permit = self.requests.acquire().await;
                self.unary(SUBMIT, submit.clone(), TIMEOUT).await
            };
            if let Err(GatewayError::Said { code: tonic::Code::Aborted, .. }) = &sent {
                // The orderers will never take it.
                return sent.map(|_| Commit { code: 0, block: 0 }).map_err(LedgerError::from);
            }
            // Whatever was answered, it may have arrived; and the same transaction counts once.
            let patience = if sent.is_ok() { AGAIN } else { AGAIN_SOON };
            let asked = self.commit_status(&answer.transaction, patience).await;
            let why = match (asked, sent) {
                (Ok(status), _) => return Ok(status),
                (
                    Err(GatewayError::Said { code: tonic::Code::PermissionDenied, said, .. }),
                    Ok(_),
                ) => {
                    return Err(LedgerError::Misconfigured(said));
                }
                (_, Err(why)) | (Err(why), Ok(_)) => why,
            };
            if Instant::now() > end {
                return Err(LedgerError::Unavailable(format!(
                    "no block has taken the transaction in {} s: {why}",
                    FINALITY_TIMEOUT.as_secs()
                )));
            }
            pause(AGAIN_SOON).await;
        }
    }

    pub(crate) async fn commit_status(
        &self,
        transaction: &str,
        patience: Duration,
    ) -> Result<Commit, GatewayError> {
        let identity = self.identity.at((self.clock)())?;
        let request = CommitStatusRequest {
            transaction_id: transaction.to_owned(),
            channel_id: self.config.channel.clone(),
            identity: identity.creator(),
        };
        let request: Bytes = request.encode_to_vec().into();
        let signature = identity.sign(&request)?;
        // One peer: another is not asked because this one does not know yet.
        let at = self.preferred.load(Ordering::Relaxed);
        let peer = self.peers.get(at).ok_or_else(none_configured)?;
        let request = SignedCommitStatusRequest { request, signature };
        let status: CommitStatusResponse = peer.unary(COMMIT_STATUS, request, patience).await?;
        Ok(Commit { code: status.result, block: status.block_number })
    }

    /// Endorses and commits, again while that conflicts with others. No commit is needed, nor made,
    /// when the answer names another transaction, which has done the same before.
    pub(crate) async fn submit(
        &self,
        who: Option<&FileIdentity>,
        invocation: Invocation,
    ) -> Result<(Answer, Option<Commit>), GatewayError> {
        let mut tries = Tries::new();
        loop {
            let answer = match self.endorse(who, invocation.clone()).await {
                Err(error) if error.is_passing() => {
                    tries.again(&error.to_string()).await?;
                    continue;
                }
                answer => answer?,
            };
            let done: Done = serde_json::from_slice(&answer.payload).map_err(|_| {
                LedgerError::Misconfigured(format!(
                    "`{}` is another chaincode",
                    self.config.chaincode
                ))
            })?;
            if done.transaction != answer.transaction {
                return Ok((answer, None));
            }
            let commit = self.commit(&answer).await?;
            if commit.is_valid() {
                return Ok((answer, Some(commit)));
            }
            if !commit.is_conflict() {
                return Err(invalid(commit).into());
            }
            tries.again("others change what it rests on").await?;
        }
    }
}

/// Tries that are further and further apart, each by chance a little more or less.
struct Tries {
    count: u32,
    end: Instant,
}

impl Tries {
    /// How often something is tried.
    const MAX: u32 = 60;
    /// And for how long.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn new() -> Self {
        Self { count: 0, end: Instant::now() + Self::PATIENCE }
    }

    /// Waits for the next try.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] with `why` when there were enough.
    async fn again(&mut self, why: &str) -> Result<(), LedgerError> {
        self.count += 1;
        if self.count >= Self::MAX || Instant::now() > self.end {
            return Err(LedgerError::Unavailable(format!("tried {} times: {why}", self.count)));
        }
        pause(Duration::from_millis(20 << self.count.min(5))).await;
        Ok(())
    }
}

/// Waits for about as long as that: half to one and a half times.
async fn pause(about: Duration) {
    let [chance]: [u8; 1] = random();
    tokio::time::sleep(about / 2 + about * u32::from(chance) / 256).await;
}
