//! Where a log's resources come from, such as its server or a directory of files, and how they are
//! read without believing them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use crate::note::CHECKPOINT_BYTES_MAX;
use crate::path::Resource;
use crate::tree::{Hash, TILE_WIDTH, TileId};

/// The longest resource that a log can have, in bytes: a full bundle of the longest entries.
pub const RESOURCE_BYTES_MAX: usize = TILE_WIDTH * (2 + crate::entry::ENTRY_BYTES_MAX);

/// Why a resource could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// A log as one can read it (C2SP tlog-tiles).
#[async_trait]
pub trait LogSource: Send + Sync {
    /// The resource at `path`, below the log's prefix; none when the log has none there. At most
    /// [`RESOURCE_BYTES_MAX`] bytes.
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError>;

    /// Waits until the log has more than `size` entries, or for `timeout`, whichever is first.
    async fn wait_newer(&self, size: u64, timeout: Duration) -> Result<(), SourceError>;
}

/// A log exported to a directory.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The log in the directory `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl LogSource for Directory {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let resource = Resource::parse(path)
            .ok_or_else(|| SourceError(format!("`{path}` is not a resource")))?;
        read_bounded(&self.path.join(resource.to_string())).await
    }

    async fn wait_newer(&self, _size: u64, timeout: Duration) -> Result<(), SourceError> {
        tokio::time::sleep(timeout).await;
        Ok(())
    }
}

async fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    use tokio::io::AsyncReadExt as _;
    let failed = |e: std::io::Error| SourceError(format!("`{}`: {e}", path.display()));
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(e) => return Err(failed(e)),
    };
    let mut bytes = Vec::new();
    file.take(RESOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(Some(bytes))
}

/// Why a log's content is refused, or could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be had.
    Unavailable(String),
    /// It is wrong, from this entry on where one can be named.
    Wrong(Option<u64>, String),
}

async fn fetch(source: &dyn LogSource, resource: Resource) -> Result<Option<Vec<u8>>, Trouble> {
    source.fetch(&resource.to_string()).await.map_err(|e| Trouble::Unavailable(e.0))
}

/// The newest checkpoint's note, unchecked.
pub async fn checkpoint(source: &dyn LogSource) -> Result<Vec<u8>, Trouble> {
    let note = fetch(source, Resource::Checkpoint).await?;
    let note = note.ok_or_else(|| Trouble::Unavailable("the log has no checkpoint".to_owned()))?;
    if note.len() > CHECKPOINT_BYTES_MAX {
        return Err(Trouble::Wrong(None, "the checkpoint is too long".to_owned()));
    }
    Ok(note)
}

/// The resource, or more of the same: a log may have dropped a partial tile for the full one.
async fn fetch_tile(
    source: &dyn LogSource,
    exact: Resource,
    full: Resource,
) -> Result<Vec<u8>, Trouble> {
    if let Some(bytes) = fetch(source, exact).await? {
        return Ok(bytes);
    }
    let bytes = if exact == full { None } else { fetch(source, full).await? };
    bytes.ok_or_else(|| Trouble::Unavailable(format!("the log has no `{exact}`")))
}

/// The first `width` hashes of a tile.
pub async fn tile(source: &dyn LogSource, id: TileId, width: usize) -> Result<Vec<Hash>, Trouble> {
    let bytes =
        fetch_tile(source, Resource::Tile(id, width), Resource::Tile(id, TILE_WIDTH)).await?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    match hashes.get(..width) {
        Some(wanted)
            if rest.is_empty() && (hashes.len() == width || hashes.len() == TILE_WIDTH) =>
        {
            Ok(wanted.to_vec())
        }
        _ => {
            let at = (id.level == 0)
                .then(|| id.index * TILE_WIDTH as u64 + hashes.len().min(width) as u64);
            Err(Trouble::Wrong(
                at,
                format!("`{}` has not {width} hashes", Resource::Tile(id, width)),
            ))
        }
    }
}

/// What was read of a bundle, and what is wrong with the rest.
pub struct Bundle {
    /// The entries that could be read, in order.
    pub entries: Vec<Vec<u8>>,
    /// What is wrong behind them; nothing when they are all.
    pub rest: Result<(), Trouble>,
}

/// The first `width` entries of a bundle.
pub async fn bundle(source: &dyn LogSource, index: u64, width: usize) -> Result<Bundle, Trouble> {
    let exact = Resource::Entries(index, width);
    let bytes = fetch_tile(source, exact, Resource::Entries(index, TILE_WIDTH)).await?;
    let mut entries = Vec::with_capacity(width);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && entries.len() < TILE_WIDTH {
        let entry = rest.split_first_chunk::<2>().and_then(|(length, after)| {
            after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let Some((entry, after)) = entry else { break };
        entries.push(entry.to_vec());
        rest = after;
    }
    let read = entries.len();
    let rest = if rest.is_empty() && (read == width || read == TILE_WIDTH) {
        Ok(())
    } else {
        let at = (read < width).then(|| index * TILE_WIDTH as u64 + read as u64);
        Err(Trouble::Wrong(at, format!("`{exact}` does not hold just {width} entries")))
    };
    entries.truncate(width);
    Ok(Bundle { entries, rest })
}

/// The hashes of the entries from `from` to before `to`, as the log's lowest tiles give them,
/// unchecked.
pub async fn leaves(source: &dyn LogSource, from: u64, to: u64) -> Result<Vec<Hash>, Trouble> {
    let width = TILE_WIDTH as u64;
    let mut leaves = Vec::new();
    let mut at = from;
    while at < to {
        let index = at / width;
        let end = to.min((index + 1) * width);
        let hashes =
            tile(source, TileId { level: 0, index }, (end - index * width) as usize).await?;
        leaves.extend(hashes.into_iter().skip((at % width) as usize));
        at = end;
    }
    Ok(leaves)
}
