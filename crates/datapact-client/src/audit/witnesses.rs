//! Asking the log's witnesses, each at its own listener, what they have cosigned last: a management
//! that shows an old view of its log cannot make them forget the newer one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_api::witness::WitnessClient;
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_core::id::Timestamp;
use datapact_log::consistency;
use datapact_log::copy::LogCopy;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, VerifyingKey};
use datapact_log::tree::Hash;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{AuditedWitness, Finding, FindingKind};
use crate::error::ClientError;
use crate::session::{Session, retry};

/// What a witness showed when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WitnessNote {
    /// Its key (C2SP vkey).
    witness: String,
    /// Its newest checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The proof that the tree of the bundle's checkpoint continues it: hashes in Base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    consistency: Vec<String>,
    /// Why there is no checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

/// How a tree lies to a checkpoint that a witness has cosigned.
pub(super) enum Relation {
    /// It is the same, or continues it.
    Continues,
    /// It ends before it.
    Ends(u64),
    /// It is another one.
    Contradicts,
}

/// Asks all witnesses of the profile's log policy that can be asked, at once.
pub(super) async fn ask(session: &Session) -> Vec<WitnessNote> {
    let policy = session.profile().log_policy();
    join_all(policy.monitored().map(|(key, url)| ask_one(session, key, url))).await
}

async fn ask_one(session: &Session, key: &VerifyingKey, url: &str) -> WitnessNote {
    let asked = async {
        let url = url.parse().map_err(|e| ClientError::untrusted(format!("{e}")))?;
        let client = WitnessClient::new(url)?;
        let note = retry(|| client.newest(session.ledger())).await?;
        let note = note.ok_or_else(|| ClientError::untrusted("it has cosigned nothing"))?;
        String::from_utf8(note).map_err(|_| ClientError::untrusted("it shows no checkpoint"))
    };
    let (note, missing) = match asked.await {
        Ok(note) => (Some(note), None),
        Err(error) => (None, Some(error.to_string())),
    };
    WitnessNote { witness: key.to_string(), note, consistency: Vec::new(), missing }
}

impl WitnessNote {
    /// Adds the proof that the copy's tree of `size` entries continues the checkpoint, where it
    /// does.
    pub(super) fn prove(&mut self, policy: &LogPolicy, copy: &LogCopy, size: u64) {
        let checkpoint = policy.witnesses().iter().find_map(|key| self.open(policy, key).ok());
        let proof = checkpoint.and_then(|checkpoint| copy.consistency(checkpoint.size(), size));
        self.consistency =
            proof.unwrap_or_default().iter().map(|hash| STANDARD.encode(hash)).collect();
    }

    /// The checkpoint, signed by the log and cosigned by `key`.
    fn open(
        &self,
        policy: &LogPolicy,
        key: &VerifyingKey,
    ) -> std::result::Result<Checkpoint, String> {
        let Some(note) = &self.note else {
            return Err(self
                .missing
                .clone()
                .unwrap_or_else(|| "it shows no checkpoint".to_owned()));
        };
        let known = std::slice::from_ref(key);
        let mut why = "the log policy names no log".to_owned();
        for log in policy.logs() {
            match Checkpoint::open(note.as_bytes(), log, known) {
                Ok(checkpoint) if checkpoint.cosigned_at(key).is_some() => return Ok(checkpoint),
                Ok(_) => why = "it shows a checkpoint that it has not cosigned".to_owned(),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// How the tree of a bundle, given by its checkpoint's size and root, lies to `checkpoint`, by
    /// the proof that came along.
    pub(super) fn relation(&self, checkpoint: &Checkpoint, tree: (u64, &Hash)) -> Relation {
        let decode = |line: &String| STANDARD.decode(line).ok()?.try_into().ok();
        let proof: Option<Vec<Hash>> = self.consistency.iter().map(decode).collect();
        let old = (checkpoint.size(), checkpoint.root());
        if old.0 > tree.0 {
            Relation::Ends(tree.0)
        } else if proof.is_some_and(|proof| consistency::verify(old, tree, &proof)) {
            Relation::Continues
        } else {
            Relation::Contradicts
        }
    }
}

/// How the tree of a copy lies to `checkpoint`.
pub(super) fn relation_of_copy(copy: &LogCopy, checkpoint: &Checkpoint) -> Relation {
    match copy.root_at(checkpoint.size()) {
        None => Relation::Ends(copy.size()),
        Some(root) if root == *checkpoint.root() => Relation::Continues,
        Some(_) => Relation::Contradicts,
    }
}

/// What is to be said of every witness that `policy` lets one ask: its newest cosignature is there,
/// at most `age_max` seconds older than `asked`, and of the tree that was followed, which
/// `relation` knows, or of a smaller one that it continues.
pub(super) fn judge(
    policy: &LogPolicy,
    notes: &[WitnessNote],
    (asked, age_max): (Timestamp, u64),
    relation: impl Fn(&WitnessNote, &Checkpoint) -> Relation,
    findings: &mut Vec<Finding>,
) -> Vec<AuditedWitness> {
    let mut audited = Vec::new();
    for (key, _) in policy.monitored() {
        let name = key.name();
        let mut find = |finding, detail: String| {
            findings.push(Finding { finding, request: None, detail });
        };
        let mut witness = AuditedWitness { name: name.to_owned(), size: None, time: None };
        let text = key.to_string();
        let found = notes.iter().find(|note| note.witness == text);
        let opened = match found {
            Some(note) => note.open(policy, key).map(|checkpoint| (note, checkpoint)),
            None => Err("it was not asked".to_owned()),
        };
        match opened {
            Err(why) => {
                let detail = format!("the witness `{name}` shows no cosignature: {why}");
                find(FindingKind::WitnessMissing, detail);
            }
            Ok((note, checkpoint)) => {
                let (size, time) = (checkpoint.size(), checkpoint.cosigned_at(key).unwrap_or(0));
                (witness.size, witness.time) = (Some(size), Some(time));
                if time.saturating_add(age_max) < asked {
                    let detail = format!(
                        "the newest cosignature of the witness `{name}` is {} seconds old, and \
                         {age_max} are allowed: it may not have seen the newest log",
                        asked - time
                    );
                    find(FindingKind::WitnessStale, detail);
                } else if time > asked.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
                    let detail = format!(
                        "the newest cosignature of the witness `{name}` is of the future, by {} \
                         seconds: its clock is wrong, or this machine's",
                        time - asked
                    );
                    find(FindingKind::WitnessStale, detail);
                }
                match relation(note, &checkpoint) {
                    Relation::Continues => {}
                    Relation::Ends(shown) => {
                        let detail = format!(
                            "management shows an old view of the log, of {shown} entries: the \
                             witness `{name}` has cosigned {size}"
                        );
                        find(FindingKind::OldView, detail);
                    }
                    Relation::Contradicts => {
                        let detail = format!(
                            "the witness `{name}` has cosigned another tree of {size} entries than \
                             management shows: the log has forked"
                        );
                        find(FindingKind::WitnessContradicts, detail);
                    }
                }
            }
        }
        audited.push(witness);
    }
    audited
}

/// What is not proven when no witness can be asked.
pub(super) fn not_monitored(policy: &LogPolicy) -> Option<&'static str> {
    policy.monitored().next().is_none().then_some(
        "that management showed the newest log: the log policy names no witness that can be asked",
    )
}
