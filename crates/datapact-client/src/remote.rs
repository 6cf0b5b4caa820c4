//! A package at a storage server, read by ranges; a broken download is resumed where it broke.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use datapact_api::problem::{Kind, Problem};
use datapact_api::storage_server::{ByteRange, ByteStream, StorageServer};
use datapact_api::trace::{self, Traceparent};
use datapact_core::id::PackageId;
use datapact_core::package::ReadAt;
use datapact_core::permission::PackageReference;
use futures_util::StreamExt as _;
use tokio::runtime::Handle;

use crate::session::{BACKOFF, TRIES};

/// A package up to this length is fetched whole, in one request.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long no byte may come.
const STALL: Duration = Duration::from_secs(30);

/// Where a package's bytes come from.
pub(crate) enum Source {
    /// A file of this machine.
    File(File),
    /// Small and fetched.
    Memory(Vec<u8>),
    /// Fetched range by range.
    Remote(Remote),
}

impl ReadAt for Source {
    fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => ReadAt::len(file),
            Self::Memory(bytes) => ReadAt::len(bytes),
            Self::Remote(remote) => Ok(remote.stored.size),
        }
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(offset, buffer),
            Self::Memory(bytes) => bytes.read_exact_at(offset, buffer),
            Self::Remote(remote) => remote.read_exact_at(offset, buffer),
        }
    }
}

/// A package at a storage server. Reading blocks: not for asynchronous tasks.
pub(crate) struct Remote {
    stored: Stored,
    runtime: Handle,
    /// The opening's trace; the threads that read have none of their own.
    trace: Traceparent,
    cursor: Mutex<Cursor>,
}

/// Which package it is, and where.
#[derive(Clone)]
struct Stored {
    storage: Arc<dyn StorageServer>,
    id: PackageId,
    size: u64,
}

/// A download under way.
#[derive(Default)]
struct Cursor {
    /// Behind the last byte that was read.
    at: u64,
    stream: Option<ByteStream>,
    /// Received and not yet read.
    rest: Bytes,
}

impl Remote {
    pub(crate) fn new(storage: Arc<dyn StorageServer>, package: &PackageReference) -> Self {
        Self {
            stored: Stored { storage, id: package.id, size: package.size },
            runtime: Handle::current(),
            trace: trace::current().unwrap_or_else(Traceparent::random),
            cursor: Mutex::default(),
        }
    }

    /// The same, fetched at once if it is small.
    pub(crate) fn fetch(self) -> io::Result<Source> {
        if self.stored.size > WHOLE_BYTES_MAX {
            return Ok(Source::Remote(self));
        }
        let mut bytes = vec![0; self.stored.size as usize];
        self.read_exact_at(0, &mut bytes)?;
        Ok(Source::Memory(bytes))
    }

    pub(crate) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.stored.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut cursor = self.cursor.lock().map_err(|_| io::ErrorKind::Other)?;
        let read = self.stored.clone().read(std::mem::take(&mut *cursor), offset, buffer.len());
        // A task of the runtime, which goes with it: a timer asked on this thread panics when the
        // command ends before.
        let task = self.runtime.spawn(trace::within(self.trace, read));
        let (goes_on, bytes) = self.runtime.block_on(task).map_err(io::Error::other)?;
        *cursor = goes_on;
        buffer.copy_from_slice(&bytes?);
        Ok(())
    }
}

impl Stored {
    async fn read(
        self,
        mut cursor: Cursor,
        offset: u64,
        length: usize,
    ) -> (Cursor, io::Result<Vec<u8>>) {
        let mut bytes = vec![0; length];
        let filled = self.fill(&mut cursor, offset, &mut bytes).await;
        (cursor, filled.map(|()| bytes))
    }

    async fn fill(&self, cursor: &mut Cursor, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // A reader that goes on where it stopped gets one long answer; one that jumps gets just
        // what it asks for.
        let goes_on = offset != 0 && cursor.at == offset;
        if !goes_on {
            *cursor = Cursor::default();
        }
        let last = (!goes_on).then(|| (offset + buffer.len() as u64).saturating_sub(1));
        let mut filled = 0;
        let mut failed = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            if cursor.rest.is_empty() {
                match self.receive(cursor, offset + filled as u64, last).await {
                    Ok(bytes) => cursor.rest = bytes,
                    Err(problem) => {
                        cursor.stream = None;
                        failed += 1;
                        let temporary = matches!(problem.kind, Kind::Unavailable | Kind::Busy);
                        if failed >= TRIES || !temporary {
                            return Err(io::Error::other(problem));
                        }
                        tokio::time::sleep(BACKOFF * failed).await;
                        continue;
                    }
                }
                failed = 0;
            }
            let (room, _) = room.split_at_mut(room.len().min(cursor.rest.len()));
            cursor.rest.copy_to_slice(room);
            filled += room.len();
        }
        cursor.at = offset + filled as u64;
        Ok(())
    }

    /// The next bytes of the download under way, or of a new one from `first` on; never none.
    async fn receive(
        &self,
        cursor: &mut Cursor,
        first: u64,
        last: Option<u64>,
    ) -> Result<Bytes, Problem> {
        let stalled =
            |_| Problem::new(Kind::Unavailable, "the storage server sends nothing any more");
        let stream = match &mut cursor.stream {
            Some(stream) => stream,
            None => {
                let range = ByteRange { first, last };
                let download = self.storage.download(&self.id, Some(range));
                let download = tokio::time::timeout(STALL, download).await.map_err(stalled)??;
                if download.size != self.size || download.first != first {
                    let detail = "the storage server sends another package than the policy names";
                    return Err(Problem::new(Kind::Untrusted, detail));
                }
                cursor.stream.insert(download.bytes)
            }
        };
        loop {
            match tokio::time::timeout(STALL, stream.next()).await.map_err(stalled)? {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Ok(bytes),
                Some(Err(error)) => {
                    return Err(Problem::new(
                        Kind::Unavailable,
                        format!("the download broke: {error}"),
                    ));
                }
                None => {
                    return Err(Problem::new(Kind::Unavailable, "the download ended too early"));
                }
            }
        }
    }
}
