//! Which logs and witnesses a client believes: C2SP tlog-policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::note::{Checkpoint, KeyKind, NoteError, VerifyingKey};

/// The longest policy that is read, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// Why a policy file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the log policy: {reason}")]
pub struct PolicyError {
    line: usize,
    reason: String,
}

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read, or no log of the policy has signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Too few of the witnesses that the policy demands have cosigned.
    #[error(
        "the checkpoint lacks the cosignatures that the log policy demands; ask again in a moment"
    )]
    Quorum,
}

/// A log policy: the logs, the witnesses, and which of these must have cosigned a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPolicy {
    logs: Vec<VerifyingKey>,
    witnesses: Vec<VerifyingKey>,
    /// Where each of the witnesses is, if the policy says so.
    urls: Vec<Option<String>>,
    groups: BTreeMap<String, Member>,
    quorum: Option<String>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Witness(VerifyingKey),
    Group { threshold: usize, members: Vec<String> },
}

impl LogPolicy {
    /// The policy that demands a cosignature of every one of `witnesses`; of none when there are
    /// none.
    pub fn new(log: &VerifyingKey, witnesses: &[VerifyingKey]) -> Result<Self, PolicyError> {
        let witnesses: Vec<_> = witnesses.iter().map(|key| (key.clone(), None)).collect();
        Self::write(log, &witnesses, None)
    }

    /// The policy that demands cosignatures of any `quorum` of `witnesses`, of all of them if not
    /// given. Each has the URL prefix where it is asked for its newest checkpoint, if it has one.
    ///
    /// # Errors
    /// When there are fewer witnesses, or a URL holds a space or a control character.
    pub fn write(
        log: &VerifyingKey,
        witnesses: &[(VerifyingKey, Option<String>)],
        quorum: Option<u32>,
    ) -> Result<Self, PolicyError> {
        let mut text = format!("log {log}\n");
        for (i, (witness, url)) in witnesses.iter().enumerate() {
            let url = url.as_ref().map(|url| format!(" {url}")).unwrap_or_default();
            text.push_str(&format!("witness w{i} {witness}{url}\n"));
        }
        let threshold = quorum.unwrap_or_default().to_string();
        let group = match quorum {
            None if witnesses.is_empty() => None,
            None => Some(("all-witnesses", "all")),
            Some(0) => None,
            Some(_) => Some(("quorum-of-witnesses", threshold.as_str())),
        };
        match group {
            Some((name, threshold)) => {
                let names: Vec<String> = (0..witnesses.len()).map(|i| format!("w{i}")).collect();
                let names = names.join(" ");
                text.push_str(&format!("group {name} {threshold} {names}\nquorum {name}\n"));
            }
            None => text.push_str("quorum none\n"),
        }
        text.parse()
    }

    /// The logs believed.
    pub fn logs(&self) -> &[VerifyingKey] {
        &self.logs
    }

    /// The witnesses known.
    pub fn witnesses(&self) -> &[VerifyingKey] {
        &self.witnesses
    }

    /// The witnesses that can be asked for their newest checkpoints, each with its URL prefix.
    pub fn monitored(&self) -> impl Iterator<Item = (&VerifyingKey, &str)> {
        let all = self.witnesses.iter().zip(&self.urls);
        all.filter_map(|(key, url)| Some((key, url.as_deref()?)))
    }

    /// Reads a checkpoint and checks that a log of this policy signed it and that its quorum
    /// cosigned it.
    ///
    /// # Errors
    /// [`CheckpointError`], with what the last of the policy's logs is refused for.
    pub fn open(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let mut error = NoteError::Malformed;
        for log in &self.logs {
            match Checkpoint::open(note, log, &self.witnesses) {
                Ok(checkpoint) if self.satisfied(&checkpoint) => return Ok(checkpoint),
                Ok(_) => return Err(CheckpointError::Quorum),
                Err(e) => error = e,
            }
        }
        Err(error.into())
    }

    /// Whether the quorum cosigned.
    fn satisfied(&self, checkpoint: &Checkpoint) -> bool {
        let cosigned: BTreeSet<&VerifyingKey> = checkpoint.witnesses().collect();
        self.quorum.as_ref().is_none_or(|name| self.holds(name, &cosigned))
    }

    fn holds(&self, name: &str, cosigned: &BTreeSet<&VerifyingKey>) -> bool {
        match self.groups.get(name) {
            None => false,
            Some(Member::Witness(key)) => cosigned.contains(key),
            Some(Member::Group { threshold, members }) => {
                members.iter().filter(|member| self.holds(member, cosigned)).count() >= *threshold
            }
        }
    }
}

impl fmt::Display for LogPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for LogPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut reader = Reader::default();
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError {
                line: 1,
                reason: format!("it is longer than {POLICY_BYTES_MAX} bytes"),
            });
        }
        let mut last = 0;
        for (i, line) in text.split('\n').enumerate() {
            last = i + 1;
            reader.line(line).map_err(|reason| PolicyError { line: last, reason })?;
        }
        let quorum = reader
            .quorum
            .ok_or(PolicyError { line: last, reason: "there is no quorum line".to_owned() })?;
        Ok(Self {
            logs: reader.logs,
            witnesses: reader.witnesses,
            urls: reader.urls,
            groups: reader.groups,
            quorum: (quorum != "none").then_some(quorum),
            text: text.to_owned(),
        })
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<VerifyingKey>,
    witnesses: Vec<VerifyingKey>,
    urls: Vec<Option<String>>,
    groups: BTreeMap<String, Member>,
    used: BTreeSet<String>,
    quorum: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err("it has a control character".to_owned());
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        // Names are defined above their use, so a policy has no circle.
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => {
                let key = self.key(key, KeyKind::Log)?;
                self.logs.push(key);
                Ok(())
            }
            ["witness", name, key, url @ ..] if url.len() <= 1 => {
                let key = self.key(key, KeyKind::Witness)?;
                self.witnesses.push(key.clone());
                self.urls.push(url.first().map(|url| (*url).to_owned()));
                self.define(name, Member::Witness(key))
            }
            ["group", name, threshold, members @ ..] if !members.is_empty() => {
                let threshold = match *threshold {
                    "all" => members.len(),
                    "any" => 1,
                    number => number
                        .parse()
                        .ok()
                        .filter(|k| (1..=members.len()).contains(k) && k.to_string() == number)
                        .ok_or_else(|| {
                            format!("`{number}` is not `all`, `any` or 1 to {}", members.len())
                        })?,
                };
                for member in members {
                    if !self.groups.contains_key(*member) {
                        return Err(format!("`{member}` is not defined above"));
                    }
                    if !self.used.insert((*member).to_owned()) {
                        return Err(format!("`{member}` is in a group already"));
                    }
                }
                let members = members.iter().map(|m| (*m).to_owned()).collect();
                self.define(name, Member::Group { threshold, members })
            }
            ["quorum", name] => {
                if *name != "none" && !self.groups.contains_key(*name) {
                    return Err(format!("`{name}` is not defined above"));
                }
                match self.quorum.replace((*name).to_owned()) {
                    None => Ok(()),
                    Some(_) => Err("there is a quorum line already".to_owned()),
                }
            }
            _ => Err("it is not a log, witness, group or quorum line".to_owned()),
        }
    }

    fn key(&self, text: &str, kind: KeyKind) -> Result<VerifyingKey, String> {
        let key: VerifyingKey = text.parse().map_err(|e: NoteError| e.to_string())?;
        if key.kind() != kind {
            return Err("the key is of the wrong kind".to_owned());
        }
        // Under whatever name and in whatever role: one key is one party.
        if self.logs.iter().chain(&self.witnesses).any(|other| other.as_bytes() == key.as_bytes()) {
            return Err("the same key is above".to_owned());
        }
        Ok(key)
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.groups.insert(name.to_owned(), member).is_some() {
            return Err(format!("`{name}` is taken"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::note::SigningKey;

    fn key(seed: u8, kind: KeyKind) -> SigningKey {
        let name = if kind == KeyKind::Log {
            "log.example".to_owned()
        } else {
            format!("w{seed}.example")
        };
        SigningKey::parse(&SigningKey::text(&[seed; 32], &name, kind).unwrap()).unwrap()
    }

    fn keys() -> (SigningKey, Vec<SigningKey>) {
        (key(1, KeyKind::Log), (2..7).map(|seed| key(seed, KeyKind::Witness)).collect())
    }

    /// The specification's example: two of three and one of two.
    #[test]
    fn quorums_of_groups_are_counted() {
        let (log, witnesses) = keys();
        let mut text = format!("# an example\n\n log\t{} https://log.example/ \n", log.public());
        for (name, witness) in ["X1", "X2", "X3", "Y1", "Y2"].iter().zip(&witnesses) {
            text.push_str(&format!("witness {name} {}\n", witness.public()));
        }
        text.push_str("group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup both all X Y\nquorum both\n");
        let policy: LogPolicy = text.parse().unwrap();
        assert_eq!(policy.to_string(), text);
        let note = log.checkpoint(7, &[7; 32]);
        for (cosigners, enough) in [
            (vec![], false),
            (vec![0, 1], false),
            (vec![0, 1, 2], false),
            (vec![0, 3, 4], false),
            (vec![0, 2, 4], true),
            (vec![0, 1, 2, 3, 4], true),
        ] {
            let mut checkpoint = Checkpoint::open(note.as_bytes(), log.public(), &[]).unwrap();
            for witness in cosigners.iter().filter_map(|i: &usize| witnesses.get(*i)) {
                let line = witness.cosign(&checkpoint, 5);
                checkpoint.add(witness.public(), &line).unwrap();
            }
            let opened = policy.open(checkpoint.to_string().as_bytes());
            assert_eq!(opened.is_ok(), enough, "{cosigners:?}");
            assert!(enough || opened == Err(CheckpointError::Quorum));
        }
    }

    #[test]
    fn a_quorum_is_none_some_or_all_of_the_witnesses() {
        let (log, witnesses) = keys();
        let with_url = |(i, w): (usize, &SigningKey)| {
            (w.public().clone(), (i == 1).then(|| "https://w.example:80/witness".to_owned()))
        };
        let witnesses: Vec<_> = witnesses.iter().enumerate().map(with_url).collect();
        let quorum = |quorum| LogPolicy::write(log.public(), &witnesses, quorum);
        let two = quorum(Some(2)).unwrap();
        let monitored: Vec<_> = two.monitored().collect();
        assert_eq!(monitored, [(&witnesses[1].0, "https://w.example:80/witness")]);
        let two = two.to_string();
        assert!(two.ends_with(
            "\ngroup quorum-of-witnesses 2 w0 w1 w2 w3 w4\nquorum quorum-of-witnesses\n"
        ));
        let all = quorum(None).unwrap().to_string();
        assert!(all.ends_with("\ngroup all-witnesses all w0 w1 w2 w3 w4\nquorum all-witnesses\n"));
        let none = quorum(Some(0)).unwrap().to_string();
        assert!(none.ends_with("\nquorum none\n") && !none.contains("group"));
        assert!(quorum(Some(6)).is_err());
        assert!(LogPolicy::write(log.public(), &[], Some(1)).is_err());
        let spaced = [(witnesses[0].0.clone(), Some("two words".to_owned()))];
        assert!(LogPolicy::write(log.public(), &spaced, None).is_err());
    }

    #[test]
    fn what_is_not_a_policy_is_refused_with_its_line() {
        let (log, witnesses) = keys();
        let (log, w) = (log.public().to_string(), witnesses.first().unwrap().public().to_string());
        let same = key(1, KeyKind::Witness).public().to_string();
        for (text, line, reason) in [
            (format!("log {log}\n"), 2, "no quorum line"),
            (format!("log {w}\nquorum none\n"), 1, "wrong kind"),
            (format!("witness a {log}\nquorum a\n"), 1, "wrong kind"),
            (format!("log {log}\nlog {log}\nquorum none\n"), 2, "the same key"),
            (format!("witness a {w}\nwitness b {w}\nquorum a\n"), 2, "the same key"),
            (format!("log {log}\nwitness b {same}\nquorum b\n"), 2, "the same key"),
            (format!("witness none {w}\nquorum none\n"), 1, "`none` is taken"),
            ("quorum a\n".to_owned(), 1, "not defined above"),
            (format!("witness a {w}\ngroup g 2 a\nquorum g\n"), 2, "1 to 1"),
            (format!("witness a {w}\ngroup g 0 a\nquorum g\n"), 2, "1 to 1"),
            (format!("witness a {w}\ngroup g any a a\nquorum g\n"), 2, "in a group already"),
            (format!("witness a {w}\ngroup g any g\nquorum g\n"), 2, "not defined above"),
            ("quorum none\nquorum none\n".to_owned(), 2, "already"),
            ("log\nquorum none\n".to_owned(), 1, "not a log, witness"),
            ("quorum none\r\n".to_owned(), 1, "control character"),
        ] {
            let error = text.parse::<LogPolicy>().unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }
}
