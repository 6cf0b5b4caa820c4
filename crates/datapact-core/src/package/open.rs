//! Decrypting a package that is unlocked: as a whole, on all processors, or any range of it.

use std::io::Write;
use std::ops::Range;

use crate::package::cobblestone::{CHUNK, Message, PREFIX, SEALED_CHUNK, TAG, chunks};
use crate::package::header::HEADER_BYTES;
use crate::package::lanes::{lanes, run};
use crate::package::tree::Tree;
use crate::package::{PackageError, ReadAt};

/// Bytes of content that a lane takes at once, or a group if that is larger: as much as fits a
/// processor's cache.
const BATCH: u64 = 256 * 1024;

/// A package with its key. It gives out plaintext, and only what the provider signed.
pub struct OpenPackage<S> {
    pub(super) source: S,
    pub(super) message: Message,
    pub(super) tree: Tree,
    pub(super) size: u64,
}

impl<S: ReadAt + Sync> OpenPackage<S> {
    /// Writes the whole plaintext to `output` (UW-5), on all processors; `progress` gets the
    /// number of bytes written so far.
    ///
    /// # Errors
    /// What is wrong with the payload; `output` then holds a correct beginning of the plaintext and
    /// no more.
    pub fn decrypt_to(
        &self,
        output: &mut (impl Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), PackageError> {
        // Whole groups only, since a group is the least that can be verified. A chunk that crosses
        // two batches is decrypted in the writing step, which runs in order.
        let batch_len = self.tree.groups().size().max(BATCH);
        let batches = self.tree.groups().content().div_ceil(batch_len);
        let mut next = 0;
        let mut crossing = Vec::with_capacity(SEALED_CHUNK);
        let mut done = 0;
        run(
            lanes(2 * batch_len).min(usize::try_from(batches).unwrap_or(usize::MAX)),
            |batch: &mut Batch| {
                let more = next < batches;
                if more {
                    batch.read(self, next * batch_len, batch_len)?;
                    next += 1;
                }
                Ok(more)
            },
            |batch| batch.open(self),
            |batch| {
                let plaintext = batch.finish(self, &mut crossing)?;
                output.write_all(plaintext).map_err(PackageError::Write)?;
                done += plaintext.len() as u64;
                progress(done);
                Ok(())
            },
        )?;
        output.flush().map_err(PackageError::Write)
    }
}

/// One or more whole groups on their way through a lane.
#[derive(Default)]
struct Batch {
    /// The offset of the first one in the package.
    offset: u64,
    content: Vec<u8>,
    /// The plaintext of the whole chunks, after room for the chunk that crosses this batch's
    /// beginning.
    plaintext: Vec<u8>,
    len: usize,
    /// The first whole chunk, and where the whole chunks are in `content`.
    first: u64,
    chunks: Range<usize>,
}

impl Batch {
    fn read<S: ReadAt>(
        &mut self,
        package: &OpenPackage<S>,
        offset: u64,
        most: u64,
    ) -> Result<(), PackageError> {
        let len = most.min(package.tree.groups().content() - offset);
        self.offset = offset;
        self.content.resize(len as usize, 0);
        package.source.read_exact_at(offset, &mut self.content).map_err(PackageError::read)
    }

    /// Verifies the groups, then decrypts what lies in them wholly.
    fn open<S: ReadAt>(&mut self, package: &OpenPackage<S>) -> Result<(), PackageError> {
        let size = package.tree.groups().size();
        for (group, bytes) in (self.offset / size..).zip(self.content.chunks(size as usize)) {
            if !package.tree.verifies(group, bytes) {
                return Err(package.diagnose(group));
            }
        }
        let payload = package.chunk_range(0).start;
        self.first = self.offset.saturating_sub(payload).div_ceil(SEALED_CHUNK as u64);
        let end = self.offset + self.content.len() as u64;
        let start = package.chunk_range(self.first).start.min(end);
        self.chunks = (start - self.offset) as usize..(start - self.offset) as usize;
        self.plaintext.resize(CHUNK + self.content.len(), 0); // Costs nothing but the first time.
        self.len = CHUNK;
        for chunk in self.first..chunks(package.size) {
            let range = package.chunk_range(chunk);
            if range.end > end {
                break;
            }
            let (_, from) = self.content.split_at(self.chunks.end);
            let (sealed, _) = from.split_at((range.end - range.start) as usize);
            let (_, to) = self.plaintext.split_at_mut(self.len);
            package.open_chunk(chunk, sealed, to.split_at_mut(sealed.len() - TAG).0)?;
            self.len += sealed.len() - TAG;
            self.chunks.end += sealed.len();
        }
        Ok(())
    }

    /// Completes the chunk that crosses from the batch before, whose part is in `crossing`, and
    /// leaves there the part of the one that crosses to the next. Returns the plaintext up to that
    /// one.
    fn finish<S: ReadAt>(
        &mut self,
        package: &OpenPackage<S>,
        crossing: &mut Vec<u8>,
    ) -> Result<&[u8], PackageError> {
        let mut start = CHUNK;
        if !crossing.is_empty() {
            crossing.extend_from_slice(self.content.split_at(self.chunks.start).0);
            start -= crossing.len() - TAG;
            let (room, _) = self.plaintext.split_at_mut(CHUNK);
            package.open_chunk(self.first - 1, crossing, room.split_at_mut(start).1)?;
        }
        crossing.clear();
        crossing.extend_from_slice(self.content.split_at(self.chunks.end).1);
        Ok(self.plaintext.split_at(self.len).0.split_at(start).1)
    }
}

impl<S: ReadAt> OpenPackage<S> {
    /// The plaintext's length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads plaintext from `offset` on into `buffer` and returns how many bytes there were: fewer
    /// than it holds only at the end.
    ///
    /// # Errors
    /// What is wrong with the groups that hold this range.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, PackageError> {
        let len = self.size.saturating_sub(offset).min(buffer.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        let first = offset / CHUNK as u64;
        let end = (offset + len).div_ceil(CHUNK as u64);
        let mut plaintext = vec![0; CHUNK];
        let mut skip = (offset % CHUNK as u64) as usize;
        let mut filled = 0;
        self.each_chunk(first..end, |chunk, sealed| {
            let (plaintext, _) = plaintext.split_at_mut(sealed.len() - TAG);
            self.open_chunk(chunk, sealed, plaintext)?;
            let (_, room) = buffer.split_at_mut(filled);
            let part = plaintext.iter().skip(skip);
            let copied = room.len().min(plaintext.len() - skip);
            room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            filled += copied;
            skip = 0;
            Ok(())
        })?;
        Ok(filled)
    }

    /// Hands each of `chunks`, encrypted, to `each`, after the groups that hold it are verified.
    fn each_chunk(
        &self,
        chunks: Range<u64>,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), PackageError>,
    ) -> Result<(), PackageError> {
        let groups = self.tree.groups();
        let mut buffer = vec![0; SEALED_CHUNK + groups.len(0) as usize];
        let start = self.chunk_range(chunks.start).start;
        let mut group = start / groups.size();
        // The buffer holds verified bytes up to `filled`, those before `at` being used up.
        let mut filled = 0;
        let mut at = 0;
        let mut skip = (start % groups.size()) as usize;
        for chunk in chunks {
            let range = self.chunk_range(chunk);
            let len = (range.end - range.start) as usize;
            while filled - at < len {
                buffer.copy_within(at..filled, 0);
                filled -= at;
                let (_, room) = buffer.split_at_mut(filled);
                let (bytes, _) = room.split_at_mut(groups.len(group) as usize);
                self.source
                    .read_exact_at(group * groups.size(), bytes)
                    .map_err(PackageError::read)?;
                if !self.tree.verifies(group, bytes) {
                    return Err(self.diagnose(group));
                }
                filled += bytes.len();
                group += 1;
                at = std::mem::take(&mut skip);
            }
            let (_, from) = buffer.split_at(at);
            each(chunk, from.split_at(len).0)?;
            at += len;
        }
        Ok(())
    }

    /// Decrypts a verified chunk.
    fn open_chunk(
        &self,
        chunk: u64,
        sealed: &[u8],
        plaintext: &mut [u8],
    ) -> Result<(), PackageError> {
        if self.message.open_chunk(chunk, sealed, plaintext) {
            Ok(())
        } else {
            Err(PackageError::Malformed("its provider signed a payload that does not decrypt"))
        }
    }

    /// Where encrypted chunk `index` is in the package.
    pub(super) fn chunk_range(&self, index: u64) -> Range<u64> {
        let start = (HEADER_BYTES + PREFIX) as u64 + index * SEALED_CHUNK as u64;
        let plaintext = (CHUNK as u64).min(self.size.saturating_sub(index * CHUNK as u64));
        start..start + plaintext + TAG as u64
    }
}
