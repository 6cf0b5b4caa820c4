//! The record of what was done to accounts, which is only ever added to.

use datapact_core::id::{AccountId, Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccountUpdate, NewInvitation};

/// Something done to an account or an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// The account was made, because the configuration names an administrator.
    Configured,
    /// An account was promised.
    Invited {
        /// The invitation, by the digest of its code.
        invitation: Digest,
        /// What was promised.
        invited: NewInvitation,
    },
    /// The actor took an invitation.
    Joined {
        /// The invitation, by the digest of its code.
        invitation: Digest,
    },
    /// Role, attributes or status were set.
    Updated {
        /// Whose.
        account: AccountId,
        /// To what.
        update: AccountUpdate,
    },
    /// The account was disabled, and is to be erased.
    Deleted {
        /// Which.
        account: AccountId,
        /// From when on.
        erase_at: Timestamp,
    },
    /// The access token of another user's access was revoked.
    TokenRevoked {
        /// The access, by its request's document id.
        request: Digest,
    },
    /// The actor handed in a signature on a version of the enrolment.
    EnrolmentSigned {
        /// The version.
        version: u32,
        /// Its fingerprint.
        fingerprint: Digest,
        /// Whether that published it.
        published: bool,
    },
    /// The account and everything that named its holder was erased, once the retention was over.
    Erased {
        /// Which.
        account: AccountId,
    },
}

/// One entry of the record of actions. Each names its predecessor's digest, so that none can be
/// changed, taken out or put in without changing all that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ActionRecord {
    /// From 1, without a gap.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// Whose account did it; none when management did on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<AccountId>,
    /// What.
    pub deed: Deed,
    /// SHA-256 of the actor's signed statement of this very call, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// The predecessor's digest; none in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

/// An action with the evidence of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The record.
    pub record: ActionRecord,
    /// The statement (a JWS) whose digest is on record; none where there was none, or once the
    /// actor was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// Why a record of actions is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// An entry is missing, doubled or out of order.
    #[error("the record of actions has entry {found} where entry {expected} must follow")]
    Sequence {
        /// The number that must follow.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// An entry before this one was changed.
    #[error("entry {0} of the record of actions does not continue the entry before it")]
    Chain(u64),
    /// The statement is not the one on record.
    #[error("entry {0} of the record of actions shows another statement than the one recorded")]
    Statement(u64),
}

impl ActionRecord {
    /// SHA-256 of the record's RFC 8785 form.
    pub fn digest(&self) -> Digest {
        let bytes = serde_json_canonicalizer::to_vec(self).expect("a record is plain JSON");
        Digest::of(&bytes)
    }
}

/// Checks that `actions` continue the entry with this sequence and digest, or begin the record if
/// there is none before them; sequence and digest of the last one.
///
/// # Errors
/// [`ActionError`], about the first entry that does not fit.
pub fn check_actions(
    after: Option<(u64, Digest)>,
    actions: &[Action],
) -> Result<Option<(u64, Digest)>, ActionError> {
    let mut at = after;
    for action in actions {
        let (last, previous) = at.unzip();
        let (record, expected) = (&action.record, last.unwrap_or(0).saturating_add(1));
        if record.sequence != expected {
            return Err(ActionError::Sequence { expected, found: record.sequence });
        }
        if record.previous != previous {
            return Err(ActionError::Chain(expected));
        }
        let shown = action.statement.as_ref().map(|statement| Digest::of(statement.as_bytes()));
        if shown.is_some() && shown != record.statement {
            return Err(ActionError::Statement(expected));
        }
        at = Some((expected, record.digest()));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn chain() -> Vec<Action> {
        let mut previous = None;
        let entry = |sequence| {
            let deed = Deed::Erased { account: AccountId([7; 16]) };
            let statement = Some("statement".to_owned());
            let record = ActionRecord {
                sequence,
                time: 5,
                actor: Some(AccountId([1; 16])),
                deed,
                statement: statement.as_ref().map(|s| Digest::of(s.as_bytes())),
                previous,
            };
            previous = Some(record.digest());
            Action { record, statement }
        };
        (1..=4).map(entry).collect()
    }

    fn check(edit: impl FnOnce(&mut Vec<Action>)) -> Result<u64, ActionError> {
        let mut actions = chain();
        edit(&mut actions);
        check_actions(None, &actions).map(|last| last.unwrap().0)
    }

    #[test]
    fn the_record_of_actions_shows_each_change() {
        assert_eq!(check(|_| ()), Ok(4));
        // A statement may be erased with its signer, but not replaced.
        assert_eq!(check(|actions| actions[1].statement = None), Ok(4));
        assert_eq!(
            check(|actions| actions[1].statement = Some("x".into())),
            Err(ActionError::Statement(2))
        );
        assert_eq!(check(|actions| actions[1].record.time = 6), Err(ActionError::Chain(3)));
        assert_eq!(
            check(|actions| actions[1].record.deed = Deed::Configured),
            Err(ActionError::Chain(3)),
            "what was done"
        );
        let taken = |actions: &mut Vec<Action>| drop(actions.remove(1));
        assert_eq!(check(taken), Err(ActionError::Sequence { expected: 2, found: 3 }));
        assert!(check_actions(Some((0, Digest([1; 32]))), &chain()).is_err(), "another beginning");
    }

    #[test]
    fn an_action_reads_as_it_was_written() {
        let json = serde_json::to_string(&chain()[0].record).unwrap();
        assert!(json.contains(r#""deed":{"kind":"erased","account":"0707"#), "{json}");
        assert_eq!(serde_json::from_str::<ActionRecord>(&json).unwrap(), chain()[0].record);
    }
}
