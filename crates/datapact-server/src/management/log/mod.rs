//! What management tells of its ledger: what it is, proofs, and cosignatures.

#[cfg(test)]
mod tests;
pub(super) mod witness;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datapact_api::management::{LedgerProof, Log, ManagementInfo};
use datapact_api::problem::{self, Kind, Problem};
use datapact_ledger::LedgerError;
use datapact_ledger::embedded::EmbeddedLedger;
use datapact_log::log_policy::CheckpointError;
use datapact_log::log_policy::LogPolicy;
use datapact_log::proof::ProofError;
use tokio::time::Instant;

use super::account::admission::Admission;
use super::base::Base;
use super::failure::{Failure, Result};
use super::peers::Peers;
use super::submit::Submit;
use crate::called::Called;

/// How long a proof waits for its cosignatures.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it looks for the cosignatures of more witnesses once there is one.
const QUORUM_POLL: Duration = Duration::from_millis(10);
/// The longest cosigned checkpoint that is looked at, in bytes.
const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The ledger's log.
pub(super) struct LogService {
    /// Of this management.
    name: String,
    admission: Arc<Admission>,
    peers: Arc<Peers>,
    submit: Arc<Submit>,
    log: Arc<EmbeddedLedger>,
    /// What a proof must fulfil.
    policy: LogPolicy,
}

impl LogService {
    pub(super) fn new(
        base: &Base,
        submit: Arc<Submit>,
        log: Arc<EmbeddedLedger>,
        policy: LogPolicy,
        name: String,
    ) -> Self {
        Self {
            name,
            admission: Arc::clone(&base.admission),
            peers: Arc::clone(&base.peers),
            submit,
            log,
            policy,
        }
    }

    /// A file of the log, such as `checkpoint`, if there is one at `path`.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.log.read(path).await?)
    }

    /// How long the log is, as soon as that is more than `size`, or after `timeout`.
    pub(super) async fn longer_than(&self, size: u64, timeout: Duration) -> Result<u64> {
        self.log.wait_newer(size, timeout).await?;
        Ok(self.log.size())
    }
}

#[async_trait]
impl Log for Called<LogService> {
    async fn info(&self) -> problem::Result<ManagementInfo> {
        self.admission.user_or_server(&self.caller).await?;
        let info = self.submit.info().await?;
        Ok(ManagementInfo {
            name: self.name.clone(),
            ledger_kind: info.kind,
            ledger_contract: info.contract,
            ledger: info.id,
            size: info.size,
            published: *self.submit.published().borrow(),
            key_servers: self.peers.key_server_endpoints(),
            storage_servers: self.peers.storage_server_endpoints(),
        })
    }

    /// A proof under a checkpoint that the quorum of witnesses has cosigned.
    async fn proof(&self, position: u64) -> problem::Result<LedgerProof> {
        self.admission.user_or_server(&self.caller).await?;
        let log = &self.log;
        let missing = || Problem::not_found(format!("the ledger has no entry {position}"));
        let entry = log.entry(position).await.map_err(Failure::from)?.ok_or_else(missing)?;
        let end = Instant::now() + QUORUM_TIMEOUT;
        let mut waited = false;
        loop {
            let proof = log.proof(position).await.map_err(Failure::from)?.ok_or_else(missing)?;
            match proof.verify(&self.policy, &entry) {
                Ok(_) => {
                    let entry = String::from_utf8(entry).map_err(|_| {
                        Problem::internal(format!("the entry {position} is not text"))
                    })?;
                    return Ok(LedgerProof { entry, proof: proof.to_string() });
                }
                // The log wakes us at the first cosignature only, so further ones are polled for.
                Err(ProofError::Checkpoint(CheckpointError::Quorum)) if !waited => {
                    let cosigned = log.wait_cosigned(position, QUORUM_TIMEOUT).await;
                    cosigned.map_err(Failure::from)?;
                    waited = true;
                }
                Err(ProofError::Checkpoint(CheckpointError::Quorum)) if Instant::now() < end => {
                    tokio::time::sleep(QUORUM_POLL).await
                }
                Err(ProofError::Checkpoint(CheckpointError::Quorum)) => {
                    let detail = "the witnesses have not cosigned this entry yet";
                    let hint =
                        "try again; if that does not help, a key server or a witness is down";
                    return Err(Problem::new(Kind::Unavailable, detail).hint(hint));
                }
                Err(error) => {
                    return Err(Problem::internal(format!("the entry {position}: {error}")));
                }
            }
        }
    }

    async fn add_cosignature(&self, note: &str) -> problem::Result<()> {
        self.admission.own_key_server(&self.caller)?;
        if note.len() > NOTE_BYTES_MAX {
            return Err(Problem::new(Kind::TooLarge, "the checkpoint is too long"));
        }
        let added = self.log.add_cosignature(note.as_bytes()).await;
        added.map_err(|error| match error {
            // Here it means that the note is none of this log and its witnesses.
            LedgerError::Misconfigured(_) => Problem::malformed(error),
            error => Failure::from(error).into(),
        })
    }
}
