//! A copy of a log in a directory, which its owner believes only as far as it was checked.
//!
//! The directory holds the static files of C2SP tlog-tiles: the newest checkpoint, the bundles of
//! entries and the tiles. Any tool that audits such a log audits the copy. Opening replays it, so
//! that a damaged copy is found at once; advancing it checks that the log continues what the copy
//! holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Position;
use crate::entry::{self, Entry};
use crate::note::{Checkpoint, VerifyingKey};
use crate::path::Resource;
use crate::proof::Proof;
use crate::replay::Replay;
use crate::source::{self, Directory, LogSource, Trouble};
use crate::tree::{Edge, Hash, TILE_WIDTH, leaf_hash};

const WIDTH: u64 = TILE_WIDTH as u64;
/// The file with the newest checkpoint that the log has shown; its entries may not be here yet.
const NEWEST: &str = "newest";
/// The file with a checkpoint that the log has shown and that cannot be right.
const EVIDENCE: &str = "evidence";

/// Why a copy could not be opened or advanced.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The log does not answer.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
    /// The log contradicts itself, the copy or the contract.
    #[error("the log is wrong{at}: {reason}", at = at(.position))]
    Wrong {
        /// The first entry at fault, where one can be named.
        position: Option<Position>,
        /// What is wrong.
        reason: String,
    },
    /// The files of the copy are not what was written there.
    #[error(
        "the copy of the log in `{path}` is damaged: {reason}; delete the folder to begin again",
        path = .path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The files cannot be written.
    #[error("cannot write the copy of the log: {0}")]
    Write(#[from] std::io::Error),
}

fn at(position: &Option<Position>) -> String {
    position.map(|position| format!(" at entry {position}")).unwrap_or_default()
}

impl From<Trouble> for CopyError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable(reason) => Self::Unavailable(reason),
            Trouble::Wrong(position, reason) => Self::Wrong { position, reason },
        }
    }
}

/// What is shown each entry with its position, in order.
pub type See<'a> = &'a mut (dyn FnMut(Position, &Entry) + Send);

/// A checked copy of a log. One process at a time may use its directory.
pub struct LogCopy {
    path: PathBuf,
    key: VerifyingKey,
    replay: Replay,
    checkpoint: Option<Checkpoint>,
    /// The newest checkpoint that the log has shown.
    newest: Option<Checkpoint>,
}

impl LogCopy {
    /// Opens the copy of the log of `key` in the directory `path`, or begins one there, and shows
    /// `see` its entries.
    ///
    /// # Errors
    /// [`CopyError::Damaged`] when its entries are not those of its checkpoint, or break the
    /// contract's rules.
    pub async fn open(
        path: impl Into<PathBuf>,
        key: VerifyingKey,
        see: See<'_>,
    ) -> Result<Self, CopyError> {
        let mut copy = Self {
            path: path.into(),
            key,
            replay: Replay::default(),
            checkpoint: None,
            newest: None,
        };
        copy.newest = copy.read_newest().await?;
        let files = Directory::new(&copy.path);
        let note = files.fetch(&Resource::Checkpoint.to_string()).await;
        let Some(note) = note.map_err(|e| copy.damaged(e))? else { return Ok(copy) };
        let checkpoint = Checkpoint::open(&note, &copy.key, &[]).map_err(|e| copy.damaged(e))?;
        for index in 0..checkpoint.size().div_ceil(WIDTH) {
            let width = width_of(index, checkpoint.size());
            let bundle = source::bundle(&files, index, width).await;
            let bundle = bundle.map_err(|trouble| copy.damaged(CopyError::from(trouble)))?;
            for bytes in &bundle.entries {
                copy.take(bytes, see).map_err(|e| copy.damaged(e))?;
            }
            bundle.rest.map_err(|trouble| copy.damaged(CopyError::from(trouble)))?;
        }
        if copy.replay.root() != *checkpoint.root() {
            return Err(copy.damaged("its entries do not make the tree of its checkpoint"));
        }
        copy.checkpoint = Some(checkpoint);
        Ok(copy)
    }

    /// How many entries it holds.
    pub fn size(&self) -> u64 {
        self.replay.size()
    }

    /// Follows the log to its newest checkpoint: checks that it continues this copy, replays what
    /// is new, shows it to `see` and keeps it. How many entries there are.
    ///
    /// # Errors
    /// [`CopyError::Unavailable`] when the log does not answer; call again then. After any other
    /// error, open the copy again: [`CopyError::Wrong`] when the log was rolled back, forked, or
    /// breaks the contract's rules. The copy keeps what it had, and the checkpoint at fault as
    /// evidence.
    pub async fn advance(&mut self, log: &dyn LogSource, see: See<'_>) -> Result<u64, CopyError> {
        let note = source::checkpoint(log).await?;
        let advanced = self.advance_to(log, &note, see).await;
        if let Err(CopyError::Wrong { .. }) = &advanced {
            // That it could not be written changes nothing about what is told.
            let _ = self.write_file(EVIDENCE, &note).await;
        }
        advanced
    }

    async fn advance_to(
        &mut self,
        log: &dyn LogSource,
        note: &[u8],
        see: See<'_>,
    ) -> Result<u64, CopyError> {
        let checkpoint = Checkpoint::open(note, &self.key, &[])
            .map_err(|e| Trouble::Wrong(None, e.to_string()))?;
        let (before, size) = (self.size(), checkpoint.size());
        let leaves = self.continuing_leaves(log, &checkpoint).await?;
        if size == before && self.checkpoint.is_some() {
            return Ok(size);
        }
        // Before its entries, which may be long in coming: the log may not go back behind it.
        self.write_file(NEWEST, note).await?;
        self.newest = Some(checkpoint.clone());
        for index in before / WIDTH..size.div_ceil(WIDTH) {
            let width = width_of(index, size);
            let bundle = source::bundle(log, index, width).await?;
            // Nothing of a bundle is taken or kept before all of it is known to be the signed
            // tree's: also what this copy has had already, which a log could alter now.
            for (position, bytes) in (index * WIDTH..).zip(&bundle.entries) {
                let leaf = match position.checked_sub(before) {
                    Some(new) => leaves.get(new as usize).copied(),
                    None => self.replay.leaf(position),
                };
                if leaf != Some(leaf_hash(bytes)) {
                    let reason = "the entry is not the one in the tree that the log signed";
                    return Err(Trouble::Wrong(Some(position), reason.to_owned()).into());
                }
            }
            bundle.rest?;
            let new = (index * WIDTH..).zip(&bundle.entries).filter(|(at, _)| *at >= before);
            for (position, bytes) in new {
                let taken = self.take(bytes, see);
                taken.map_err(|reason| Trouble::Wrong(Some(position), reason))?;
            }
            self.write(Resource::Entries(index, width), &entry::bundle(&bundle.entries)).await?;
        }
        let covered = self.checkpoint.as_ref().map_or(0, Checkpoint::size);
        self.write_tiles(covered).await?;
        // After all that it covers: what a crash leaves is the state before or after.
        self.write(Resource::Checkpoint, checkpoint.to_string().as_bytes()).await?;
        self.checkpoint = Some(checkpoint);
        self.remove_partial(covered).await;
        Ok(size)
    }

    /// Writes the tiles that a tree of `covered` entries does not have.
    async fn write_tiles(&self, covered: u64) -> Result<(), std::io::Error> {
        for (id, hashes) in self.replay.tiles() {
            let each = WIDTH.saturating_pow(id.level.into());
            let end = (id.index * WIDTH + hashes.len() as u64).saturating_mul(each);
            if end > covered - covered % each {
                self.write(Resource::Tile(id, hashes.len()), hashes.as_flattened()).await?;
            }
        }
        Ok(())
    }

    /// Removes the partial files of a tree of `covered` entries that a larger one has replaced. One
    /// that stays only takes room.
    async fn remove_partial(&self, covered: u64) {
        let width = |width: u64| (width % WIDTH) as usize;
        let mut outdated: Vec<Resource> = Edge::tiles(covered)
            .into_iter()
            .map(|id| (id, width(covered / WIDTH.saturating_pow(id.level.into()))))
            .filter(|old| !self.replay.tiles().any(|(id, hashes)| *old == (id, hashes.len())))
            .map(|(id, width)| Resource::Tile(id, width))
            .collect();
        if covered < self.size() && !covered.is_multiple_of(WIDTH) {
            outdated.push(Resource::Entries(covered / WIDTH, width(covered)));
        }
        for resource in outdated {
            let _ = tokio::fs::remove_file(self.path.join(resource.to_string())).await;
        }
    }

    /// The bytes of the entry at `position`; none behind the end.
    ///
    /// # Errors
    /// [`CopyError::Damaged`] when the files have changed since the copy was opened.
    pub async fn entry(&self, position: Position) -> Result<Option<Vec<u8>>, CopyError> {
        if position >= self.size() {
            return Ok(None);
        }
        let index = position / WIDTH;
        let files = Directory::new(&self.path);
        let bundle = source::bundle(&files, index, width_of(index, self.size())).await;
        let mut entries = bundle.map_err(|trouble| self.damaged(CopyError::from(trouble)))?.entries;
        let nth = (position % WIDTH) as usize;
        if nth >= entries.len() {
            return Err(self.damaged(format!("it lacks entry {position}")));
        }
        Ok(Some(entries.swap_remove(nth)))
    }

    /// The proof of `position` under `checkpoint`, of `size` entries, that witnesses cosigned: it
    /// proves by [`Proof::verify`] if they were shown the tree of this copy. None if the copy is
    /// shorter.
    pub fn proof(&self, position: Position, size: u64, checkpoint: &str) -> Option<Proof> {
        self.replay.proof(position, size, checkpoint.to_owned())
    }

    /// The root of the first `size` entries; none if the copy is shorter.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        self.replay.root_at(size)
    }

    /// The proof that this copy's tree of `size` entries continues that of its first `old`
    /// ([`crate::consistency`]). None if the copy is shorter.
    pub fn consistency(&self, old: u64, size: u64) -> Option<Vec<Hash>> {
        self.replay.consistency(old, size)
    }

    /// Decides an entry and appends it to the tree.
    fn take(&mut self, bytes: &[u8], see: See<'_>) -> Result<(), String> {
        let position = self.replay.size();
        let entry = self.replay.decide(bytes).map_err(|fault| fault.to_string())?;
        self.replay.append(bytes);
        see(position, &entry);
        Ok(())
    }

    /// The hashes of the new entries, which lead from this copy's tree to the one that the
    /// checkpoint signs, through the newest one that the log has shown before.
    async fn continuing_leaves(
        &self,
        log: &dyn LogSource,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<Hash>, Trouble> {
        let size = checkpoint.size();
        let signed = |of: &Checkpoint| (of.size(), *of.root());
        let shown = self.newest.as_ref().map_or((0, [0; 32]), signed);
        let had = self.size().max(shown.0);
        if size < had {
            let reason =
                format!("the log was rolled back: it had {had} entries and now shows {size}");
            return Err(Trouble::Wrong(Some(size), reason));
        }
        let leaves = source::leaves(log, self.size(), size).await?;
        let mut edge: Edge = self.replay.edge().clone();
        let mut continues = true;
        for leaf in &leaves {
            edge.push(*leaf, |_, _| {});
            continues &= edge.size() != shown.0 || edge.root() == shown.1;
        }
        if continues && edge.root() == *checkpoint.root() {
            return Ok(leaves);
        }
        let reason = if size == had {
            format!("the log forked: it signed two trees of {size} entries")
        } else {
            format!("the log forked: the tree of {size} entries does not continue this copy's")
        };
        Err(Trouble::Wrong(self.first_difference(log, size).await, reason))
    }

    /// The first entry that the log, of now `size` entries, shows otherwise than this copy holds
    /// it, for people who must find out what happened.
    async fn first_difference(&self, log: &dyn LogSource, size: u64) -> Option<Position> {
        let ours: BTreeMap<_, _> = self.replay.tiles().filter(|(id, _)| id.level == 0).collect();
        for (id, ours) in ours {
            let theirs = source::tile(log, id, width_of(id.index, size)).await.ok()?;
            if let Some(at) = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs) {
                return Some(id.index * WIDTH + at as u64);
            }
        }
        None
    }

    async fn read_newest(&self) -> Result<Option<Checkpoint>, CopyError> {
        match tokio::fs::read(self.path.join(NEWEST)).await {
            Ok(note) => {
                let newest = Checkpoint::open(&note, &self.key, &[]);
                Ok(Some(newest.map_err(|e| self.damaged(e))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.damaged(error)),
        }
    }

    async fn write(&self, resource: Resource, bytes: &[u8]) -> Result<(), std::io::Error> {
        self.write_file(&resource.to_string(), bytes).await
    }

    /// Writes a file of the copy as a whole: it is there with all of its bytes, or not at all.
    async fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), std::io::Error> {
        let (path, bytes) = (self.path.join(name), bytes.to_vec());
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &bytes)).await;
        written.map_err(std::io::Error::other)?
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> CopyError {
        CopyError::Damaged { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// How many entries the bundle `index` has in a log of `size` entries.
fn width_of(index: u64, size: u64) -> usize {
    size.saturating_sub(index * WIDTH).min(WIDTH) as usize
}
