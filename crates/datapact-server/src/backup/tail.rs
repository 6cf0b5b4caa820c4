//! The entries that a restored ledger lacks: the followers hold every one that the log has signed
//! since the backup. They are fetched, checked and replayed before the log signs anything
//! again, so that it never contradicts itself.

use std::sync::Arc;
use std::time::Duration;

use datapact_core::contract::Receipt;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::port::EVENTS_MAX;
use datapact_ledger::{LedgerError, mirror, tables};
use datapact_log::clock::Clock;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, VerifyingKey};
use datapact_log::source::LogSource;
use datapact_store::{Db, Store, StoreError, text};
use serde::Serialize;

use super::Result;

/// What was fetched, and what management lacks for it.
#[derive(Debug, Clone, Serialize)]
pub struct Tail {
    /// How many entries the backup's log had.
    pub backed_up: u64,
    /// How many it has now.
    pub size: u64,
    /// The documents behind the new entries: no server has them, only their signers.
    pub lost: Vec<Lost>,
}

/// An entry whose documents are lost.
#[derive(Debug, Clone, Serialize)]
pub struct Lost {
    /// Its position on the ledger.
    pub position: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// `policy`, `access` or `usage`.
    pub document: &'static str,
    /// The document's digest.
    pub id: Digest,
    /// The share.
    pub share: ShareId,
}

/// Brings the log in `store` to the longest that any of `followers` holds.
///
/// # Errors
/// [`LedgerError::Corrupt`] when a follower holds another log than this one; then `store` is not to
/// be used. A log that mirrors a chain needs no follower: the chain has all that it records.
pub async fn fetch(
    store: &Store,
    log: &VerifyingKey,
    followers: &[Arc<dyn LogSource>],
    clock: Clock,
) -> Result<Tail> {
    let read =
        store.read(|db| Ok::<_, StoreError>((tables::size(db)?, mirror::is_none(db).is_ok())));
    let (backed_up, is_ledger) = read.await?;
    if !is_ledger {
        return Ok(Tail { backed_up, size: backed_up, lost: Vec::new() });
    }
    let mut sources = Vec::new();
    for source in followers {
        let away =
            |why: String| LedgerError::Unavailable(format!("a follower does not answer: {why}"));
        let note = source.fetch("checkpoint").await.map_err(|e| away(e.to_string()))?;
        let note = note.ok_or_else(|| away("it has no checkpoint".to_owned()))?;
        let checkpoint = Checkpoint::open(&note, log, &[]).map_err(|e| LedgerError::Corrupt {
            position: None,
            reason: format!("a follower holds a checkpoint that is not of this log: {e}"),
        })?;
        sources.push((checkpoint.size(), note, Arc::clone(source)));
    }
    // The longest first; what the others hold must then be the same, and is compared.
    sources.sort_by_key(|(size, ..)| std::cmp::Reverse(*size));
    if let Some((longest, _, source)) = sources.first() {
        let source = Arc::clone(source);
        let settling = Duration::ZERO;
        let config = FollowerConfig {
            log: log.clone(),
            witness: None,
            source,
            clock,
            chain: None,
            settling,
        };
        let follower = Follower::open(store.clone(), config).await?;
        if *longest >= backed_up {
            follower.poll().await?;
        }
        for (size, note, _) in &sources {
            agrees(&follower, log, *size, note).await?;
        }
    }
    let read = store.read(move |db| {
        let size = tables::size(db)?;
        Ok::<_, StoreError>(Tail { backed_up, size, lost: lost(db, backed_up, size)? })
    });
    Ok(read.await?)
}

/// Checks that the checkpoint `note` of `size` entries is one of the log that `follower` holds by
/// now.
async fn agrees(follower: &Follower, log: &VerifyingKey, size: u64, note: &[u8]) -> Result<()> {
    let forked = || LedgerError::Corrupt {
        position: None,
        reason: format!(
            "two followers, or one and the backup, hold different logs of {size} entries"
        ),
    };
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    let note = String::from_utf8_lossy(note);
    // That the last entry is under it in this tree shows that all before it are, too.
    let proof = follower.proof_under(last, size, &note).await?.ok_or_else(forked)?;
    let entry = follower.entry(last).await?.ok_or_else(forked)?;
    let policy = LogPolicy::new(log, &[]).map_err(|e| LedgerError::Misconfigured(e.to_string()))?;
    proof.verify(&policy, &entry).map_err(|_| forked())?;
    Ok(())
}

/// The documents behind the entries from `from` on.
fn lost(db: &Db, from: u64, size: u64) -> std::result::Result<Vec<Lost>, StoreError> {
    let mut lost = Vec::new();
    let mut next = from;
    while next < size {
        let events = tables::events(db, next, EVENTS_MAX)?;
        let Some(last) = events.last() else { break };
        next = last.position + 1;
        for event in events {
            let (document, id) = match &event.receipt {
                Receipt::Policy(record) => ("policy", record.policy.policy),
                Receipt::Access(record) => ("access", record.request.request),
                Receipt::Usage(record) => ("usage", record.usage.report),
            };
            // The backup holds the intent of a call that was just being executed.
            if db.row("SELECT 1 FROM intent WHERE id = $1", [text(id)])?.is_none() {
                let share = *event.receipt.share();
                lost.push(Lost { position: event.position, time: event.time, document, id, share });
            }
        }
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use datapact_core::permission::AccessTimes;
    use datapact_local::testing::{Fixture, MemoryLog, signing_key};
    use datapact_log::clock::system_clock;
    use datapact_log::entry::Entry;
    use datapact_log::note::KeyKind;

    use super::*;
    use crate::backup::BackupError;

    const ID: &str = "ledger.example";

    #[tokio::test]
    async fn followers_that_hold_different_logs_restore_nothing() {
        let (fixture, clock) = (Fixture::new(ID), system_clock());
        let entry = || {
            let (call, _) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
            Entry::new(call, clock()).to_bytes().unwrap()
        };
        let (first, second, third, other) = (entry(), entry(), entry(), entry());
        let key = || signing_key(1, ID, KeyKind::Log);
        let log = |entries: &[&Vec<u8>]| {
            let log = MemoryLog::new(key());
            log.edit(|all| all.extend(entries.iter().copied().cloned()));
            Arc::new(log) as Arc<dyn LogSource>
        };
        let fetched = async |followers: &[Arc<dyn LogSource>]| {
            let dir = tempfile::tempdir().unwrap();
            let store =
                Store::open(&dir.path().join("db"), &crate::management::schema()).await.unwrap();
            fetch(&store, key().public(), followers, system_clock()).await.map(|tail| tail.size)
        };
        let longest = log(&[&first, &second, &third]);
        for (agreeing, size) in
            [(log(&[]), 3), (log(&[&first, &second]), 3), (Arc::clone(&longest), 3)]
        {
            assert_eq!(fetched(&[agreeing, Arc::clone(&longest)]).await.unwrap(), size);
        }
        for forked in [log(&[&other]), log(&[&first, &other]), log(&[&first, &second, &other])] {
            let refused = fetched(&[Arc::clone(&longest), forked]).await;
            assert!(matches!(refused, Err(BackupError::Ledger(LedgerError::Corrupt { .. }))));
        }
    }
}
