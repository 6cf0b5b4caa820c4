//! What a CA has done: `index.jsonl`, one event a line, only ever appended to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CaError;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Event {
    /// A certificate was issued; serial numbers are in lower-case hexadecimal.
    Issued { serial: String, subject: String, until: i64 },
    /// A certificate was revoked.
    Revoked { serial: String, time: i64 },
    /// A revocation list was made.
    Crl { number: u64, time: i64 },
}

/// The list, held by one process at a time.
pub(super) struct Index {
    path: PathBuf,
    file: fs::File,
    issued: BTreeSet<String>,
    revoked: BTreeMap<String, i64>,
    crl_number: u64,
}

impl Index {
    /// Reads the list, or begins it. A last line that a crash cut off is removed: its certificate
    /// never left.
    pub(super) fn open(folder: &Path) -> Result<Self, CaError> {
        let path = folder.join("index.jsonl");
        let failed = |source| CaError::File { path: path.clone(), source };
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if complete < bytes.len() {
            file.set_len(complete as u64).map_err(failed)?;
            file.seek(io::SeekFrom::End(0)).map_err(failed)?;
        }
        let mut index = Self {
            path: path.clone(),
            file,
            issued: BTreeSet::new(),
            revoked: BTreeMap::new(),
            crl_number: 0,
        };
        for (i, line) in
            bytes.get(..complete).unwrap_or_default().split(|byte| *byte == b'\n').enumerate()
        {
            if line.is_empty() {
                continue;
            }
            let event = serde_json::from_slice(line).map_err(|e| CaError::Damaged {
                path: path.clone(),
                message: format!("line {}: {e}", i + 1),
            })?;
            index.apply(&event);
        }
        Ok(index)
    }

    /// Adds an event; on return it is on the disk.
    pub(super) fn append(&mut self, event: &Event) -> Result<(), CaError> {
        let failed = |source| CaError::File { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(event).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_all()).map_err(failed)?;
        self.apply(event);
        Ok(())
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Issued { serial, .. } => {
                self.issued.insert(serial.clone());
            }
            Event::Revoked { serial, time } => {
                self.revoked.entry(serial.clone()).or_insert(*time);
            }
            Event::Crl { number, .. } => self.crl_number = self.crl_number.max(*number),
        }
    }

    pub(super) fn is_issued(&self, serial: &str) -> bool {
        self.issued.contains(serial)
    }

    pub(super) fn is_revoked(&self, serial: &str) -> bool {
        self.revoked.contains_key(serial)
    }

    /// The revoked certificates, each with the moment of its revocation.
    pub(super) fn revoked(&self) -> impl Iterator<Item = (&str, i64)> {
        self.revoked.iter().map(|(serial, time)| (serial.as_str(), *time))
    }

    /// The number of the last revocation list; 0 before the first.
    pub(super) fn crl_number(&self) -> u64 {
        self.crl_number
    }
}
