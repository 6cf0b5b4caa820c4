//! The witnesses of the log: which there are, and asking those that do not follow the log by
//! themselves for cosignatures (C2SP tlog-witness).

use std::sync::Arc;
use std::time::Duration;

use datapact_api::witness::{Added, WitnessClient, WitnessUrl};
use datapact_ledger::embedded::EmbeddedLedger;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, KeyKind, VerifyingKey};
use datapact_log::witness::{AddCheckpoint, Refusal};
use tokio::task::JoinHandle;

use crate::config::ManagementConfig;
use crate::management::OpenError;

/// How long a witness is not asked when nothing is new. Audits want a cosignature that is younger
/// than a few minutes.
const REFRESH: Duration = Duration::from_secs(30);
/// How long a checkpoint waits for the first cosignature of a follower. A proof needs the quorum
/// under one checkpoint, so all are to sign the same one; but a follower that is away does not hold
/// up the others.
const TOGETHER: Duration = Duration::from_millis(500);
/// How long a witness that is away is left alone, at first and at the longest.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// How often a witness may say in one submission that it has cosigned another size.
const CONFLICTS_MAX: usize = 3;

/// The member of the configuration that names the witnesses that are asked.
const INDEPENDENT: &str = "ledger.independent_witnesses";

/// A witness's key, and where audits ask it for its newest checkpoint, if anywhere.
type Witness = (VerifyingKey, Option<String>);

/// The witnesses of a configuration: the key servers, which follow the log, and the others.
pub(in crate::management) fn witnesses(
    config: &ManagementConfig,
) -> Result<Vec<Witness>, OpenError> {
    let wrong = |what: &str, why: &dyn std::fmt::Display| {
        OpenError::Configuration(format!("`{what}`: {why}"))
    };
    let key = |what: &str, line: &str| {
        let key: VerifyingKey = line.parse().map_err(|e| wrong(what, &format!("`{line}`: {e}")))?;
        let is_witness = key.kind() == KeyKind::Witness;
        is_witness.then_some(key).ok_or_else(|| wrong(what, &format!("`{line}` is a log's key")))
    };
    let mut found = Vec::new();
    for line in &config.ledger.witnesses {
        let key = key("ledger.witnesses", line)?;
        let is_its = |name: Result<&str, _>| name.is_ok_and(|name| name == key.name());
        let server = config.key_servers.iter().find(|peer| is_its(peer.endpoint().name()));
        let public = server.and_then(|server| server.public.as_ref());
        let url = public.map(WitnessUrl::of_server).transpose();
        let url = url.map_err(|e| wrong("key_servers.public", &e))?;
        found.push((key, url.map(|url| url.to_string())));
    }
    for witness in &config.ledger.independent_witnesses {
        let url = witness.url().map_err(|e| wrong(INDEPENDENT, &e))?;
        found.push((key(INDEPENDENT, &witness.key)?, Some(url.to_string())));
    }
    Ok(found)
}

/// The log policy that enrolment hands out (C2SP tlog-policy): `quorum` of the witnesses, or all of
/// them.
pub(in crate::management) fn log_policy(
    log: &VerifyingKey,
    witnesses: &[Witness],
    quorum: Option<u32>,
) -> Result<LogPolicy, OpenError> {
    LogPolicy::write(log, witnesses, quorum)
        .map_err(|e| OpenError::Configuration(format!("the ledger's witnesses: {e}")))
}

/// Starts a task for each witness that is to be asked, so that one that is away holds up no other.
pub(in crate::management) fn ask_all(
    config: &ManagementConfig,
    log: &Arc<EmbeddedLedger>,
) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let wrong = |why: String| OpenError::Configuration(format!("`{INDEPENDENT}`: {why}"));
    let start = |witness: &crate::config::Witness| {
        let url = witness.url().map_err(|e| wrong(e.to_string()))?;
        let asker = Asker {
            log: Arc::clone(log),
            key: witness.key.parse().map_err(|e| wrong(format!("{e}")))?,
            client: WitnessClient::new(url).map_err(|e| wrong(e.to_string()))?,
            follows: !config.ledger.witnesses.is_empty(),
            has: 0,
        };
        Ok(tokio::spawn(asker.run()))
    };
    config.ledger.independent_witnesses.iter().map(start).collect()
}

/// Asks one witness.
struct Asker {
    log: Arc<EmbeddedLedger>,
    key: VerifyingKey,
    client: WitnessClient,
    /// Whether others follow the log and cosign by themselves.
    follows: bool,
    /// The size that the witness has cosigned last, as far as it said so.
    has: u64,
}

impl Asker {
    async fn run(mut self) {
        let (mut wait, mut retry) = (Duration::ZERO, RETRY_MIN);
        let mut last_warning = None;
        loop {
            match self.step(wait).await {
                Ok(()) => {
                    last_warning = None;
                    (wait, retry) = (REFRESH, RETRY_MIN);
                }
                Err(why) => {
                    if last_warning.as_ref() != Some(&why) {
                        tracing::warn!(witness = self.key.name(), why, "asking a witness again");
                    }
                    last_warning = Some(why);
                    wait = Duration::ZERO;
                    tokio::time::sleep(retry).await;
                    retry = RETRY_MAX.min(retry * 2);
                }
            }
        }
    }

    /// Waits for new entries, but not for longer than `wait`, and has the newest checkpoint
    /// cosigned.
    async fn step(&mut self, wait: Duration) -> Result<(), String> {
        let said = |error: datapact_ledger::LedgerError| error.to_string();
        let is_new = self.log.wait_newer(self.has, wait).await.map_err(said)?;
        let together = is_new
            && self.follows
            && self.log.wait_cosigned(self.has, TOGETHER).await.map_err(said)?;
        match self.log.newest(together).await.map_err(said)? {
            Some(checkpoint) => self.submit(checkpoint).await,
            None => Ok(()),
        }
    }

    /// Has `checkpoint` cosigned, or a newer one.
    async fn submit(&mut self, mut checkpoint: Checkpoint) -> Result<(), String> {
        let said = |error: datapact_ledger::LedgerError| error.to_string();
        for _ in 0..CONFLICTS_MAX {
            let size = checkpoint.size();
            let proof = self.log.consistency(self.has, size).await.map_err(said)?;
            let Some(proof) = proof else {
                return Err(format!(
                    "it has cosigned {} entries, and this log has {size}: this database is an old \
                     copy, or another one signs with the same key",
                    self.has
                ));
            };
            let request = AddCheckpoint { old: self.has, proof, note: checkpoint.bare() };
            match self.client.add_checkpoint(&request).await.map_err(|e| e.detail)? {
                Added::Cosigned(lines) => {
                    let ours = lines.lines().any(|line| checkpoint.add(&self.key, line).is_ok());
                    if !ours {
                        return Err("it has not signed with the key that is configured".to_owned());
                    }
                    let note = checkpoint.to_string();
                    self.log.add_cosignature(note.as_bytes()).await.map_err(said)?;
                    self.has = size;
                    return Ok(());
                }
                Added::Refused(Refusal::Conflict(has)) => {
                    self.has = has;
                    if has > size
                        && let Some(newest) = self.log.newest(false).await.map_err(said)?
                    {
                        checkpoint = newest;
                    }
                }
                Added::Refused(refusal) => return Err(format!("it refuses: {refusal}")),
            }
        }
        Err("it gives another size each time".to_owned())
    }
}
