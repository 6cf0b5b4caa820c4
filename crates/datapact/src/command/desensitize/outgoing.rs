//! Data on their way into a package: as they are, or desensitized as they are read.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Args;
use datapact_core::policy::desensitization::Desensitization;
use datapact_desensitize::{Error, run};

use super::{failure, open, plan};
use crate::failure::{Failure, Result};
use crate::files;

/// How many blocks of desensitized data, each of up to 256 KiB, wait for the sealer.
const BLOCKS_MAX: usize = 4;

/// The rules that desensitize data on their way into a package, if any.
#[derive(Args)]
pub(crate) struct Through {
    /// Desensitize the data by the rules in this file (TOML) as they are sealed; rules marked
    /// `review` are refused
    #[arg(long, value_name = "RULES", requires = "file")]
    desensitize: Option<PathBuf>,
    /// The key of pseudonyms, if the rules need one; `datapact desensitize key` makes it
    #[arg(long, value_name = "FILE", requires = "desensitize")]
    pseudonym_key: Option<PathBuf>,
}

impl Through {
    /// Opens the file at `path` to be shared.
    pub(crate) fn open(&self, path: &Path) -> Result<Outgoing> {
        match &self.desensitize {
            None => {
                let (input, length) = files::open_input_to_send(path)?;
                Ok(Outgoing { input, length, work: None })
            }
            Some(rules) => begin(path, rules, self.pseudonym_key.as_deref()),
        }
    }
}

/// Data to be shared: as they are, or desensitized as they are read.
pub(crate) struct Outgoing {
    pub(crate) input: Box<dyn Read + Send>,
    /// How long they are, in bytes, if that is known.
    pub(crate) length: Option<u64>,
    /// What desensitizes them, if anything does.
    pub(crate) work: Option<Desensitizing>,
}

/// Data that are being desensitized.
#[derive(Clone)]
pub(crate) struct Desensitizing {
    manifest: Arc<OnceLock<Desensitization>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Desensitizing {
    /// Where the manifest will be once everything is read.
    pub(crate) fn manifest(&self) -> Arc<OnceLock<Desensitization>> {
        Arc::clone(&self.manifest)
    }

    /// The outcome of sharing them. Why desensitizing failed says more than that the data could not
    /// be read to their end.
    pub(crate) fn outcome<T>(work: Option<Self>, shared: Result<T>) -> Result<T> {
        let failure = work
            .and_then(|work| work.failure.lock().unwrap_or_else(PoisonError::into_inner).take());
        match failure {
            Some(failure) if shared.is_err() => Err(failure),
            _ => shared,
        }
    }
}

/// Begins to desensitize the file at `path` for sharing: the plaintext goes from memory to memory.
fn begin(path: &Path, rules: &Path, key: Option<&Path>) -> Result<Outgoing> {
    let plan = plan(rules, key)?;
    plan.check_reviewed().map_err(|error| failure(error, rules))?;
    let mut input = open(path, plan.rules().options.clone())?;
    if let Some(what) = plan.needs_survey().filter(|_| !input.is_seekable()) {
        return Err(failure(Error::NotSeekable(what), path));
    }
    let (sender, receiver) = sync_channel(BLOCKS_MAX);
    let work = Desensitizing { manifest: Arc::default(), failure: Arc::default() };
    let (manifest, failed, path) =
        (Arc::clone(&work.manifest), Arc::clone(&work.failure), path.to_owned());
    std::thread::spawn(move || {
        let output = Blocks(sender.clone());
        match run(&mut input, &plan, Box::new(output), &mut |_| {}) {
            Ok(report) => {
                let _ = manifest.set(report.manifest());
                let _ = sender.send(None);
            }
            // The reader has gone, and reports why.
            Err(Error::Write(_)) => {}
            Err(error) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(failure(error, &path));
            }
        }
    });
    let input = Box::new(Blocked { receiver, block: Vec::new(), read: 0, ended: false });
    Ok(Outgoing { input, length: None, work: Some(work) })
}

/// The writer's side: blocks of bytes, and none behind the last.
struct Blocks(SyncSender<Option<Vec<u8>>>);

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(Some(bytes.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reader's side. If the writer goes away before the end, reading fails: half a table is never
/// shared.
struct Blocked {
    receiver: Receiver<Option<Vec<u8>>>,
    block: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Read for Blocked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() && !self.ended {
            match self.receiver.recv() {
                Ok(Some(block)) => (self.block, self.read) = (block, 0),
                Ok(None) => self.ended = true,
                Err(_) => return Err(io::Error::other("the data could not be desensitized")),
            }
        }
        let rest = self.block.get(self.read..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.read += count;
        Ok(count)
    }
}
