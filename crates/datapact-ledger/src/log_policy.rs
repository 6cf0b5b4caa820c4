//! Which logs and witnesses somebody believes: C2SP tlog-policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::note::{Checkpoint, KeyKind, NoteError, VerifyingKey};
use crate::proof::ProofError;

/// The longest policy that is read, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// Why a policy file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the log policy: {reason}")]
pub struct PolicyError {
    line: usize,
    reason: String,
}

/// A log policy: the logs, the witnesses, and which of these must have cosigned a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPolicy {
    logs: Vec<VerifyingKey>,
    witnesses: Vec<VerifyingKey>,
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
    /// The policy that demands a cosignature of every one of `witnesses`; of none when there are none.
    pub fn new(log: &VerifyingKey, witnesses: &[VerifyingKey]) -> Result<Self, PolicyError> {
        let mut text = format!("log {log}\n");
        for (i, witness) in witnesses.iter().enumerate() {
            text.push_str(&format!("witness w{i} {witness}\n"));
        }
        if witnesses.is_empty() {
            text.push_str("quorum none\n");
        } else {
            let names: Vec<String> = (0..witnesses.len()).map(|i| format!("w{i}")).collect();
            text.push_str(&format!("group all-witnesses all {}\nquorum all-witnesses\n", names.join(" ")));
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

    /// Reads a checkpoint and checks that a log of this policy signed it and that its quorum cosigned it.
    pub fn open(&self, note: &[u8]) -> Result<Checkpoint, ProofError> {
        let mut error = NoteError::Malformed;
        for log in &self.logs {
            match Checkpoint::open(note, log, &self.witnesses) {
                Ok(checkpoint) if self.satisfied(&checkpoint) => return Ok(checkpoint),
                Ok(_) => return Err(ProofError::Quorum),
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
        let quorum =
            reader.quorum.ok_or(PolicyError { line: last, reason: "there is no quorum line".to_owned() })?;
        Ok(Self {
            logs: reader.logs,
            witnesses: reader.witnesses,
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
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => {
                let key = read_key(key, KeyKind::Log)?;
                add_key(&mut self.logs, key)
            }
            ["witness", name, key] | ["witness", name, key, _] => {
                let key = read_key(key, KeyKind::Witness)?;
                add_key(&mut self.witnesses, key.clone())?;
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
                        .ok_or_else(|| format!("`{number}` is not `all`, `any` or 1 to {}", members.len()))?,
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
            _ => Err("it is no log, witness, group or quorum line".to_owned()),
        }
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.groups.insert(name.to_owned(), member).is_some() {
            return Err(format!("`{name}` is taken"));
        }
        Ok(())
    }
}

fn read_key(text: &str, kind: KeyKind) -> Result<VerifyingKey, String> {
    let key: VerifyingKey = text.parse().map_err(|e: NoteError| e.to_string())?;
    if key.kind() == kind { Ok(key) } else { Err("the key is of the wrong kind".to_owned()) }
}

fn add_key(keys: &mut Vec<VerifyingKey>, key: VerifyingKey) -> Result<(), String> {
    if keys.iter().any(|other| other.as_bytes() == key.as_bytes()) {
        return Err("the same key stands above".to_owned());
    }
    keys.push(key);
    Ok(())
}
