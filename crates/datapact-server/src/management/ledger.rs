//! What management tells of its ledger: what it is, proofs, and cosignatures.

use std::time::Duration;

use datapact_api::management::{LedgerProof, ManagementInfo};
use datapact_api::problem::{Kind, Problem};
use datapact_core::identity::Identity;
use datapact_log::proof::ProofError;
use tokio::time::Instant;

use super::Session;
use super::failure::Result;

/// How long a proof waits for its cosignatures.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it looks for the cosignatures of more witnesses once one is there.
const QUORUM_POLL: Duration = Duration::from_millis(10);
/// The longest cosigned checkpoint that is looked at, in bytes.
const NOTE_BYTES_MAX: usize = 64 * 1024;

impl Session {
    pub(super) async fn ledger_info(&self) -> Result<ManagementInfo> {
        self.known().await?;
        let info = self.service.ledger.info().await?;
        Ok(ManagementInfo {
            name: self.service.name.clone(),
            ledger_kind: info.kind,
            ledger_contract: info.contract,
            ledger: info.id,
            size: info.size,
            published: *self.service.published.borrow(),
            key_servers: self.service.key_server_endpoints(),
            storage_servers: self.service.storage_server_endpoints(),
        })
    }

    /// A proof under a checkpoint that the quorum of witnesses has cosigned.
    pub(super) async fn ledger_proof(&self, position: u64) -> Result<LedgerProof> {
        self.known().await?;
        let (log, policy) = (&self.service.log, &self.service.log_policy);
        let missing = || Problem::not_found(format!("the ledger has no entry {position}"));
        let entry = log.entry(position).await?.ok_or_else(missing)?;
        let end = Instant::now() + QUORUM_TIMEOUT;
        let mut waited = false;
        loop {
            let proof = log.proof(position).await?.ok_or_else(missing)?;
            match proof.verify(policy, &entry) {
                Ok(_) => {
                    let entry = String::from_utf8(entry).map_err(|_| {
                        Problem::internal(format!("the entry {position} is not text"))
                    })?;
                    return Ok(LedgerProof { entry, proof: proof.to_string() });
                }
                Err(ProofError::Quorum) if !waited => {
                    log.wait_cosigned(position, QUORUM_TIMEOUT).await?;
                    waited = true;
                }
                Err(ProofError::Quorum) if Instant::now() < end => {
                    tokio::time::sleep(QUORUM_POLL).await
                }
                Err(ProofError::Quorum) => {
                    let detail = "the witnesses have not cosigned this entry yet";
                    let problem = Problem::new(Kind::Unavailable, detail);
                    return Err(problem
                        .hint("try again; if it stays so, a key server is down")
                        .into());
                }
                Err(error) => {
                    return Err(Problem::internal(format!("the entry {position}: {error}")).into());
                }
            }
        }
    }

    pub(super) async fn take_cosignature(&self, note: &str) -> Result<()> {
        let caller = self.caller.identity();
        if !self.service.key_servers.iter().any(|server| *caller == Identity::server(&server.name))
        {
            return Err(
                Problem::forbidden("only this management's key servers cosign its log").into()
            );
        }
        if note.len() > NOTE_BYTES_MAX {
            return Err(Problem::new(Kind::TooLarge, "the checkpoint is too long").into());
        }
        self.service.log.add_cosignature(note.as_bytes()).await.map_err(|error| match error {
            datapact_ledger::LedgerError::Misconfigured(_) => Problem::malformed(error).into(),
            error => error.into(),
        })
    }
}
