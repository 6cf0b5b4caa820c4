//! The log as a profile follows it: its copy goes on from the last checkpoint that it has, so that
//! a log which was rolled back or forked since is found out.

use std::fs::File;
use std::sync::Arc;

use datapact_api::public::PublicLog;
use datapact_core::id::ShareId;
use datapact_log::copy::LogCopy;
use datapact_log::entry::Entry;
use datapact_log::proof::{Proof, ProofError};

use super::on_ledger::OnLedger;
use crate::error::{ClientError, Result};
use crate::open::blocking;
use crate::session::{Session, Tries, retry};

/// A checkpoint with the cosignatures that the enrolment demands.
pub(super) struct Cosigned {
    pub(super) note: String,
    pub(super) size: u64,
    pub(super) witnesses: Vec<String>,
}

/// The log as this profile follows it, and what it holds about one share.
pub(super) struct Log {
    copy: LogCopy,
    source: PublicLog,
    pub(super) followed_from: u64,
    /// Up to which entry the share was read.
    read: u64,
    pub(super) share: OnLedger,
    /// One run at a time may write the copy.
    _lock: File,
}

impl Log {
    /// Opens this profile's copy of the log and reads what it holds about `share`.
    pub(super) async fn open(session: &Session, share: &ShareId) -> Result<Self> {
        let state = session.state()?;
        let lock = state.join("log.lock");
        let lock = blocking(move || {
            let file = File::options().create(true).truncate(false).write(true).open(&lock);
            let file = file.map_err(|e| ClientError::file(&lock, e))?;
            file.lock().map_err(|e| ClientError::file(&lock, e))?;
            Ok(file)
        })
        .await?;
        let key = session.profile().log_policy().logs().first().cloned().ok_or_else(|| {
            ClientError::usage(
                "the enrolment names no log",
                "ask management's operator for a new enrolment",
            )
        })?;
        let mut on_ledger = OnLedger::new(*share);
        let see = &mut |position, entry: &Entry| on_ledger.add(position, entry);
        let copy = LogCopy::open(state.join("log"), key, see).await?;
        Ok(Self {
            followed_from: copy.size(),
            read: copy.size(),
            copy,
            source: PublicLog(Arc::clone(&session.public)),
            share: on_ledger,
            _lock: lock,
        })
    }

    /// The copy of the log.
    pub(super) fn copy(&self) -> &LogCopy {
        &self.copy
    }

    /// Follows the log to its end and reads what is new about the share; how many entries there
    /// are.
    pub(super) async fn advance(&mut self) -> Result<u64> {
        let Self { copy, source, share, .. } = self;
        let see = &mut |position, entry: &Entry| share.add(position, entry);
        self.read = follow(copy, source, see).await?;
        Ok(self.read)
    }

    /// The checkpoint that the enrolment's witnesses have cosigned, as it demands, of the tree that
    /// was followed, with its size and their names. None for an empty log.
    ///
    /// # Errors
    /// [`Untrusted`](datapact_api::problem::Kind::Untrusted) when they have cosigned another tree:
    /// the log has forked. `Unavailable` when they have not cosigned the newest entry yet.
    pub(super) async fn cosigned(&mut self, session: &Session) -> Result<Option<Cosigned>> {
        let Some(last) = self.read.checked_sub(1) else { return Ok(None) };
        let given = retry(|| session.management.proof(last)).await?;
        let proof: Proof = given.proof.parse().map_err(ClientError::untrusted)?;
        let theirs = proof.verify(session.profile().log_policy(), given.entry.as_bytes());
        let theirs = theirs.map_err(ClientError::untrusted)?;
        let (note, size) = (proof.checkpoint().to_owned(), theirs.size());
        if size > self.copy.size() {
            // What is new about the share is not read: the servers were asked before it.
            follow(&mut self.copy, &self.source, &mut |_, _| {}).await?;
        }
        let cosigned = Cosigned {
            note,
            size,
            witnesses: theirs.witnesses().map(|witness| witness.name().to_owned()).collect(),
        };
        // That the last entry is under this checkpoint in the tree followed shows that all before
        // it are, too.
        self.proof(session, last, &cosigned).await?;
        Ok(Some(cosigned))
    }

    /// The entry at `position` and the proof of it, by the tree that was followed, under what
    /// witnesses cosigned.
    pub(super) async fn proof(
        &self,
        session: &Session,
        position: u64,
        cosigned: &Cosigned,
    ) -> Result<(Vec<u8>, Proof)> {
        let lacking = || ClientError::defect("the copy of the log lacks an entry");
        let entry = self.copy.entry(position).await?.ok_or_else(lacking)?;
        let proof = self.copy.proof(position, cosigned.size, &cosigned.note).ok_or_else(lacking)?;
        match proof.verify(session.profile().log_policy(), &entry) {
            Ok(_) => Ok((entry, proof)),
            Err(ProofError::Inclusion) => {
                Err(ClientError::untrusted("the log forked: its witnesses were shown another tree"))
            }
            Err(error) => Err(ClientError::untrusted(error)),
        }
    }
}

/// Follows the log to its end, trying again when it does not answer; how many entries there are.
async fn follow(
    copy: &mut LogCopy,
    log: &PublicLog,
    see: &mut (dyn FnMut(u64, &Entry) + Send),
) -> Result<u64> {
    let mut tries = Tries::default();
    loop {
        match copy.advance(log, see).await {
            Ok(size) => return Ok(size),
            Err(error) => tries.after(error.into()).await?,
        }
    }
}
