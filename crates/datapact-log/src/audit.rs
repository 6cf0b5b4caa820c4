//! Auditing a log offline: export it to files, and verify files or a server without believing
//! either.

use std::path::Path;

use serde::Serialize;

use crate::entry::Entry;
use crate::log_policy::LogPolicy;
use crate::note::Checkpoint;
use crate::path::Resource;
use crate::replay::Replay;
use crate::source::{self, LogSource, SourceError, Trouble};
use crate::tree::{Hash, TILE_WIDTH};

/// Why a log could not be exported or audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It could not be read.
    #[error("the log cannot be read: {0}")]
    Source(#[from] SourceError),
    /// The files could not be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] std::io::Error),
    /// There is something at the target already.
    #[error("`{0}` is not empty; choose another directory")]
    Occupied(String),
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The first bad entry, where one can be named.
    pub position: Option<u64>,
    /// In what way it is bad.
    pub reason: String,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The log's name, as far as its checkpoint is to be believed.
    pub log: Option<String>,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The names of the witnesses of the policy that cosigned it.
    pub witnesses: Vec<String>,
    /// The time of the newest entry audited.
    pub time: Option<u64>,
    /// What is wrong; none when all is right.
    pub fault: Option<Fault>,
}

/// Writes the log's newest checkpoint and all of its tiles and entries to the directory `target`,
/// which must be empty or not exist, as the static files of C2SP tlog-tiles. Returns how many
/// entries there are.
pub async fn export(source: &dyn LogSource, target: &Path) -> Result<u64, AuditError> {
    tokio::fs::create_dir_all(target).await?;
    if tokio::fs::read_dir(target).await?.next_entry().await?.is_some() {
        return Err(AuditError::Occupied(target.display().to_string()));
    }
    let note = get(source, Resource::Checkpoint).await?;
    let size = std::str::from_utf8(&note)
        .ok()
        .and_then(|text| text.lines().nth(1)?.parse().ok())
        .ok_or_else(|| SourceError("its checkpoint is none".to_owned()))?;
    for resource in Resource::all(size) {
        let bytes = get(source, resource).await?;
        write(target, resource, &bytes).await?;
    }
    // Last, so that a directory with a checkpoint is complete.
    write(target, Resource::Checkpoint, &note).await?;
    Ok(size)
}

async fn get(source: &dyn LogSource, resource: Resource) -> Result<Vec<u8>, SourceError> {
    let path = resource.to_string();
    source.fetch(&path).await?.ok_or_else(|| SourceError(format!("it has no `{path}`")))
}

/// Writes one of a log's resources as a file below `target`.
pub(crate) async fn write(
    target: &Path,
    resource: Resource,
    bytes: &[u8],
) -> Result<(), std::io::Error> {
    let path = target.join(resource.to_string());
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    tokio::fs::write(path, bytes).await
}

/// Audits a log: the checkpoint's signature and cosignatures against `policy`, every entry against
/// the tree, every tile, and every call again by the contract.
///
/// # Errors
/// [`AuditError::Source`] when the log cannot be read; what is wrong with it is in the report.
pub async fn verify(source: &dyn LogSource, policy: &LogPolicy) -> Result<Report, AuditError> {
    verify_and_see(source, policy, &mut |_, _| {}).await
}

/// The same, and shows `see` each entry with its position, in order. Until the report says that
/// there is no fault, nothing of them is to be believed.
///
/// # Errors
/// As [`verify`].
pub async fn verify_and_see(
    source: &dyn LogSource,
    policy: &LogPolicy,
    see: &mut (dyn FnMut(u64, &Entry) + Send),
) -> Result<Report, AuditError> {
    let mut report = Report { log: None, size: 0, witnesses: Vec::new(), time: None, fault: None };
    match audit(source, policy, &mut report, see).await {
        Ok(()) => {}
        Err(Trouble::Unavailable(reason)) => return Err(SourceError(reason).into()),
        Err(Trouble::Wrong(position, reason)) => report.fault = Some(Fault { position, reason }),
    }
    Ok(report)
}

async fn audit(
    source: &dyn LogSource,
    policy: &LogPolicy,
    report: &mut Report,
    see: &mut (dyn FnMut(u64, &Entry) + Send),
) -> Result<(), Trouble> {
    let note = source::checkpoint(source).await?;
    let checkpoint = policy.open(&note).map_err(|e| Trouble::Wrong(None, e.to_string()))?;
    report.log = Some(checkpoint.origin().to_owned());
    report.size = checkpoint.size();
    report.witnesses = checkpoint.witnesses().map(|w| w.name().to_owned()).collect();
    let mut audit = Audit { source, see, replay: Replay::default(), first: None };
    let leaves = source::leaves(source, 0, checkpoint.size()).await;
    audit.entries(&checkpoint, leaves).await?;
    report.time = (checkpoint.size() > 0).then_some(audit.replay.time());
    audit.tiles().await
}

struct Audit<'a> {
    source: &'a dyn LogSource,
    see: &'a mut (dyn FnMut(u64, &Entry) + Send),
    replay: Replay,
    /// The first entry found bad, and why.
    first: Option<(u64, String)>,
}

impl Audit<'_> {
    async fn entries(
        &mut self,
        checkpoint: &Checkpoint,
        leaves: Result<Vec<Hash>, Trouble>,
    ) -> Result<(), Trouble> {
        let size = checkpoint.size();
        let width = TILE_WIDTH as u64;
        let stored = leaves.as_deref().unwrap_or_default();
        for index in 0..size.div_ceil(width) {
            let count = (size - index * width).min(width) as usize;
            let bundle = source::bundle(self.source, index, count).await?;
            for (position, bytes) in (index * width..).zip(bundle.entries) {
                let leaf = self.replay.append(&bytes);
                if self.first.is_none() {
                    let same = stored.get(position as usize).is_none_or(|stored| *stored == leaf);
                    let found = if same {
                        self.decide(position, &bytes)
                    } else {
                        Err(NOT_IN_TREE.to_owned())
                    };
                    self.first = found.err().map(|reason| (position, reason));
                }
            }
            if let Err(trouble) = bundle.rest {
                // Without the rest there is no tree to compare: report what was found before it.
                let first = self.first.take();
                return Err(first
                    .map_or(trouble, |(position, reason)| Trouble::Wrong(Some(position), reason)));
            }
        }
        let authentic = self.replay.root() == *checkpoint.root();
        match self.first.take() {
            // The entries are those signed, so a difference is the tile's.
            Some((position, reason)) if authentic && reason == NOT_IN_TREE => {
                Err(Trouble::Wrong(Some(position), "its hash in the tile is damaged".to_owned()))
            }
            Some((position, reason)) => Err(Trouble::Wrong(Some(position), reason)),
            None if !authentic => {
                let reason = format!("the {size} entries do not make the tree that the log signed");
                Err(Trouble::Wrong(None, reason))
            }
            None => leaves.map(|_| ()),
        }
    }

    fn decide(&mut self, position: u64, bytes: &[u8]) -> Result<(), String> {
        let entry = self.replay.decide(bytes).map_err(|fault| fault.to_string())?;
        (self.see)(position, &entry);
        Ok(())
    }

    /// Every tile above the leaves is what the entries make of it.
    async fn tiles(&self) -> Result<(), Trouble> {
        for (id, hashes) in self.replay.tiles() {
            if id.level > 0 && source::tile(self.source, id, hashes.len()).await? != hashes {
                let reason = format!("`{}` is damaged", Resource::Tile(id, hashes.len()));
                return Err(Trouble::Wrong(None, reason));
            }
        }
        Ok(())
    }
}

const NOT_IN_TREE: &str = "it is not the entry in the tree that the log signed";
