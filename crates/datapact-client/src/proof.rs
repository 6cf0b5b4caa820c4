//! Seeing for oneself that the ledger holds an entry.

use datapact_core::contract::Call;
use datapact_core::id::Timestamp;
use datapact_log::entry::Entry;
use datapact_log::proof::Proof;
use serde::Serialize;

use crate::error::{ClientError, Result};
use crate::session::{Session, retry};

/// An entry that the log's key and the witnesses that the enrolment demands vouch for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Its position in the ledger.
    pub position: u64,
    /// The ledger's time of it.
    pub time: Timestamp,
    /// How long the log was in the checkpoint that proves it.
    pub size: u64,
}

/// Proves that the ledger holds `call` at `position`.
pub(crate) async fn prove(session: &Session, position: u64, call: &Call) -> Result<Proven> {
    let given = retry(|| session.management.proof(position)).await?;
    let refused = |e: &dyn std::fmt::Display| {
        ClientError::untrusted(format!("the ledger's proof is refused: {e}"))
    };
    let proof: Proof = given.proof.parse().map_err(|e| refused(&e))?;
    if proof.position() != position {
        return Err(refused(&"it is about another position"));
    }
    let checkpoint = proof
        .verify(session.profile().log_policy(), given.entry.as_bytes())
        .map_err(|e| refused(&e))?;
    let entry = Entry::parse(given.entry.as_bytes()).map_err(|e| refused(&e))?;
    if entry.call != *call {
        return Err(refused(&"the entry at this position says something else"));
    }
    Ok(Proven { position, time: entry.time, size: checkpoint.size() })
}
