//! Packages as objects: files, or objects of S3-compatible storage.
//!
//! Every upload gets an object name of its own, so that nothing relies on the store to refuse an
//! overwrite.

#[cfg(feature = "s3")]
mod s3;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::storage_server::ByteStream;
use datapact_core::id::{PackageId, Timestamp, random};
use datapact_core::package::ReadAt;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::io::AsyncReadExt as _;

use super::pace::Pace;
use crate::stores::ObjectsConfig;

/// How much is sent to the store at once, in bytes; the least that S3 takes.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// How many parts an object may have; S3 takes 10,000. Larger objects have larger parts.
const PARTS_OF_OBJECT_MAX: u64 = 9_000;
/// How much of a file is read at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// How many parts may be under way.
const PARTS_MAX: usize = 2;

pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    in_flight: Arc<Mutex<HashSet<String>>>,
    /// The folder; none in a bucket, which other processes may be writing to, too.
    folder: Option<PathBuf>,
}

/// How much of an object of `size` bytes is sent at once.
fn part_bytes(size: u64) -> usize {
    usize::try_from(size.div_ceil(PARTS_OF_OBJECT_MAX))
        .map_or(PART_BYTES, |least| least.max(PART_BYTES))
}

impl Objects {
    pub(super) fn open(folder: &FilePath) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Problem::internal)?;
        remove_staged(folder).map_err(Problem::internal)?;
        Self::of(folder).map_err(Problem::internal)
    }

    /// A folder as it is.
    fn of(folder: &FilePath) -> object_store::Result<Self> {
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            in_flight: Arc::default(),
            folder: Some(folder.to_owned()),
        })
    }

    /// A bucket of S3-compatible storage. It need not be there yet.
    #[cfg(feature = "s3")]
    pub(super) fn open_bucket(config: &ObjectsConfig) -> Result<Self> {
        let store =
            s3::bucket(config).map_err(|why| Problem::malformed(format!("`objects`: {why}")))?;
        Ok(Self { store, in_flight: Arc::default(), folder: None })
    }

    /// A bucket of S3-compatible storage, for which this program was not built.
    #[cfg(not(feature = "s3"))]
    pub(super) fn open_bucket(_config: &ObjectsConfig) -> Result<Self> {
        let problem = Problem::malformed("`objects`: this program was built without S3");
        Err(problem.hint("build it with `--features s3`, or use a release"))
    }

    /// Whether it is a bucket, which may be away while this server runs.
    pub(super) fn is_remote(&self) -> bool {
        self.folder.is_none()
    }

    /// Asks the store for something, whatever it has.
    pub(super) async fn check(&self) -> Result<()> {
        self.ask().await.map_err(|error| failed(&error))
    }

    async fn ask(&self) -> object_store::Result<()> {
        match self.store.head(&Path::from("check")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks as [`Objects::check`] does, but says why not: the caller has no server's log. The
    /// folder may be in use by a server, so unlike [`Objects::open`] this removes nothing.
    pub(super) async fn look(
        folder: &FilePath,
        bucket: Option<&ObjectsConfig>,
    ) -> std::result::Result<(), String> {
        let objects = match bucket {
            None => Self::of(folder).map_err(|error| error.to_string())?,
            Some(bucket) => Self::open_bucket(bucket).map_err(|problem| problem.to_string())?,
        };
        objects.ask().await.map_err(|error| error.to_string())
    }

    /// Makes an object of the file at `path`, which holds `size` bytes: a folder takes the file
    /// itself, a bucket a copy.
    pub(super) async fn adopt(&self, id: &PackageId, size: u64, path: &FilePath) -> Result<Upload> {
        let Some(folder) = &self.folder else {
            let file = tokio::fs::File::open(path).await.map_err(Problem::internal)?;
            return self.write(id, size, pieces(file)).await;
        };
        let upload = self.begin(id);
        let (from, folder, name) = (path.to_owned(), folder.clone(), upload.name.clone());
        let moved = tokio::task::spawn_blocking(move || {
            std::fs::rename(from, folder.join(name))?;
            std::fs::File::open(folder)?.sync_all()
        });
        moved.await.map_err(Problem::internal)?.map_err(|error| {
            tracing::error!(%error, "an upload cannot be put among the packages");
            store_failed()
        })?;
        Ok(upload)
    }

    /// An object that is about to be written.
    fn begin(&self, id: &PackageId) -> Upload {
        let name = format!("{id}-{}", hex::encode(random::<8>()));
        let mut upload =
            Upload { name, store: self.store.clone(), in_flight: self.in_flight.clone() };
        upload.mark(true);
        upload
    }

    /// Writes exactly `size` bytes to a new object; anything else leaves nothing.
    pub(super) async fn write(
        &self,
        id: &PackageId,
        size: u64,
        mut bytes: ByteStream,
    ) -> Result<Upload> {
        let upload = self.begin(id);
        let path = Path::from(upload.name.as_str());
        let multipart = self.store.put_multipart(&path).await.map_err(|e| failed(&e))?;
        let mut write = WriteMultipart::new_with_chunk_size(multipart, part_bytes(size));
        // Counted here, since the length that was announced is not to be believed.
        let (mut received, mut pace) = (0_u64, Pace::new());
        let cut = loop {
            match pace.next(&mut bytes).await {
                None if received == size => break None,
                None => break Some(format!("only {received} of {size} bytes arrived")),
                Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    break Some(format!("too little arrived after {received} of {size} bytes"));
                }
                Some(Err(_)) => {
                    break Some(format!("the connection ended after {received} of {size} bytes"));
                }
                Some(Ok(chunk)) => {
                    received = received.saturating_add(chunk.len() as u64);
                    if received > size {
                        break Some(format!("more than the {size} bytes announced arrived"));
                    }
                    if let Err(e) = write.wait_for_capacity(PARTS_MAX).await {
                        let _ = write.abort().await;
                        return Err(failed(&e));
                    }
                    write.put(chunk);
                }
            }
        };
        match cut {
            None => write.finish().await.map(|_| upload).map_err(|e| failed(&e)),
            Some(detail) => {
                let _ = write.abort().await;
                Err(Problem::malformed(detail).hint("upload it again"))
            }
        }
    }

    /// The bytes of `range`, as a stream.
    pub(super) async fn read(&self, name: &str, range: Range<u64>) -> Result<ByteStream> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let result =
            self.store.get_opts(&Path::from(name), options).await.map_err(|e| failed(&e))?;
        Ok(result.into_stream().map_err(io::Error::other).boxed())
    }

    /// The object as something that a package reader takes, on a blocking thread.
    pub(super) async fn source(&self, name: &str) -> Result<Source> {
        let path = Path::from(name);
        let meta = self.store.head(&path).await.map_err(|e| failed(&e))?;
        let runtime = tokio::runtime::Handle::current();
        Ok(Source { store: self.store.clone(), path, len: meta.size, runtime })
    }

    /// The objects there are; in a bucket, where other processes may be writing, those from before
    /// a moment.
    pub(super) async fn list(&self, before: Timestamp) -> Result<Vec<String>> {
        let old = |meta: &ObjectMeta| {
            u64::try_from(meta.last_modified.timestamp()).is_ok_and(|at| at < before)
        };
        let listed = self
            .store
            .list(None)
            .try_filter(|meta| std::future::ready(!self.is_remote() || old(meta)));
        listed.map_ok(|meta| meta.location.to_string()).try_collect().await.map_err(|e| failed(&e))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        match self.store.delete(&Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(&e)),
        }
    }

    /// Whether an upload of this process is still writing the object, or has not yet said what
    /// becomes of it.
    pub(super) fn is_in_flight(&self, name: &str) -> bool {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

/// Removes what uploads of a killed process have left: the store writes to `NAME#NUMBER` until an
/// upload is whole, and never lists such files. No other process writes to the folder, and this one
/// has not begun to.
fn remove_staged(folder: &FilePath) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().contains(&b'#') {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn failed(error: &object_store::Error) -> Problem {
    tracing::error!(%error, "the object store failed");
    store_failed()
}

fn store_failed() -> Problem {
    Problem::new(Kind::Unavailable, "the package store failed; the server's log says more")
        .hint("try again later")
}

/// What a file holds, as a stream.
fn pieces(file: tokio::fs::File) -> ByteStream {
    let next = async |mut file: tokio::fs::File| {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let length = file.read_buf(&mut piece).await?;
        Ok((length > 0).then(|| (piece.freeze(), file)))
    };
    futures_util::stream::try_unfold(file, next).boxed()
}

/// An object that has been written, and is to be kept or discarded. Dropped undecided (the caller
/// went away), it is left to [`super::tidying`].
pub(super) struct Upload {
    name: String,
    store: Arc<dyn ObjectStore>,
    in_flight: Arc<Mutex<HashSet<String>>>,
}

impl Upload {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn keep(self) {}

    pub(super) async fn discard(self) {
        if let Err(error) = self.store.delete(&Path::from(self.name.as_str())).await {
            let message =
                "a discarded upload could not be deleted; it is deleted at the next start";
            tracing::warn!(%error, "{message}");
        }
    }

    fn mark(&mut self, on: bool) {
        let mut names = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if on {
            names.insert(self.name.clone());
        } else {
            names.remove(&self.name);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.mark(false);
    }
}

/// An object, read by ranges from a blocking thread.
pub(super) struct Source {
    store: Arc<dyn ObjectStore>,
    path: Path,
    len: u64,
    runtime: tokio::runtime::Handle,
}

impl ReadAt for Source {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let range = offset..offset.saturating_add(buffer.len() as u64);
        let bytes = self
            .runtime
            .block_on(self.store.get_range(&self.path, range))
            .map_err(io::Error::other)?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}
