//! Writing a package.

use std::io::{self, IoSliceMut, Read, Write};

use blake3::hazmat::ChainingValue;

use crate::document::{ANYBODY, PackageMetadata};
use crate::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use crate::jws::{DocumentError, JWS_BYTES_MAX, Signed, Signer};
use crate::package::cobblestone::{CHUNK, Message, SEALED_CHUNK, TAG};
use crate::package::header::{Header, TRAILER, trailer};
use crate::package::lanes::{lanes, run};
use crate::package::tree::{self, GROUP_MIN, TreeBuilder};
use crate::package::{CONTENT_BYTES_MAX, DataKey, PackageError, check_texts};
use crate::trust::{self, TrustError};

/// Bytes of content that a lane takes at once: a group of the smallest size, which fits a
/// processor's cache.
const BATCH: usize = GROUP_MIN as usize;
/// Chunks that may start in a batch.
const SLOTS: usize = BATCH.div_ceil(SEALED_CHUNK);

/// The parts of a package's metadata that its maker chooses; sealing finds out the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealSpec {
    /// The package's id, from the storage server where it is registered (WR-3).
    pub package: PackageId,
    /// The key's id, from the key server where it is registered (WR-2). One key seals one package.
    pub key: KeyId,
    /// The URL of the management that decides access; empty for an offline package.
    pub management: String,
    /// The share it belongs to; none for an offline package.
    pub share: Option<ShareId>,
    /// The media type of the plaintext.
    pub media_type: String,
}

/// What sealing made.
#[derive(Debug)]
pub struct Sealed {
    /// The metadata; the policy names the package by its [`Signed::id`].
    pub metadata: Signed<PackageMetadata>,
    /// The whole package's length in bytes.
    pub size: u64,
}

/// Seals everything that `input` yields into a package on `output`, in one pass and bounded memory,
/// on all processors; its length need not be known before. `progress` gets the number of plaintext
/// bytes sealed so far.
///
/// # Errors
/// [`PackageError::Read`], [`PackageError::Write`], [`PackageError::TooLarge`], and
/// [`PackageError::Malformed`] for a `spec` out of bounds. `output` then holds a beginning without
/// a trailer, which every reader refuses.
pub fn seal(
    input: &mut (impl Read + Send),
    output: &mut (impl Write + Send),
    key: &DataKey,
    spec: &SealSpec,
    signer: &Signer,
    time: Timestamp,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Sealed, PackageError> {
    check_texts(&spec.management, &spec.media_type)?;
    let leaf =
        signer.chain().first().ok_or(TrustError::NoCertificate).map_err(DocumentError::from)?;
    let provider_key = trust::public_key(leaf).map_err(DocumentError::from)?.digest;
    let header = Header { package: spec.package, key: spec.key, provider_key };
    let message = Message::new(key, &header.to_bytes());

    let start = [&header.to_bytes()[..], message.prefix()].concat();
    let mut content = Content {
        input,
        message: &message,
        carry: start,
        done: 0,
        chunk: 0,
        size: 0,
        ended: false,
    };
    // Reading and writing are serial steps, so content, tree and output need no lock of their own.
    let mut tree = TreeBuilder::new();
    let mut only = None;
    run(
        lanes(BATCH as u64),
        |batch: &mut Batch| content.read(batch),
        |batch| {
            batch.seal(&message);
            Ok(())
        },
        |batch| {
            let bytes = batch.bytes.split_at(batch.len).0;
            output.write_all(bytes).map_err(PackageError::Write)?;
            tree.add(batch.value);
            only = batch.root;
            progress(batch.size);
            Ok(())
        },
    )?;

    let (content, size) = (content.done, content.size);
    let (root, list) = match only {
        Some(root) => (root, Vec::new()),
        None => tree.finish(),
    };
    // The root is known only now, so the metadata come after the payload: one pass suffices.
    let metadata = signer.sign(
        ANYBODY,
        time,
        PackageMetadata {
            package: spec.package,
            key: spec.key,
            provider_key: header.provider_key,
            management: spec.management.clone(),
            share: spec.share,
            media_type: spec.media_type.clone(),
            size,
            root,
        },
    );
    let text = metadata.as_str().as_bytes();
    let len = u32::try_from(text.len())
        .ok()
        .filter(|_| text.len() <= JWS_BYTES_MAX)
        .ok_or(PackageError::Malformed("the signer's certificate chain is too long"))?;
    let end = [list.as_flattened(), text, &trailer(len)].concat();
    output.write_all(&end).and_then(|()| output.flush()).map_err(PackageError::Write)?;
    let size = content + list.as_flattened().len() as u64 + u64::from(len) + TRAILER as u64;
    Ok(Sealed { metadata, size })
}

/// The input as it becomes a package's content: header, prefix and chunks.
struct Content<'a, R> {
    input: &'a mut R,
    message: &'a Message,
    /// What goes before the next chunk: the package's start, or the end of a chunk that began in
    /// the batch before.
    carry: Vec<u8>,
    /// Bytes of content handed out.
    done: u64,
    chunk: u64,
    /// Bytes of plaintext so far.
    size: u64,
    ended: bool,
}

/// A group of content on its way through a lane.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Its offset in the content.
    offset: u64,
    len: usize,
    /// Where the chunks are that are still to be encrypted, and the first one's number.
    chunks: std::ops::Range<usize>,
    first: u64,
    /// Plaintext bytes up to here.
    size: u64,
    /// Whether it is all of the content.
    alone: bool,
    value: ChainingValue,
    root: Option<Digest>,
}

impl<R: Read> Content<'_, R> {
    /// Lays out the next batch: carry, then plaintext with room for the tags. A chunk that crosses
    /// the batch's end is encrypted here, so that the next batch does not wait for this one.
    fn read(&mut self, batch: &mut Batch) -> Result<bool, PackageError> {
        if self.ended && self.carry.is_empty() {
            return Ok(false);
        }
        batch.bytes.resize(BATCH + SEALED_CHUNK, 0); // Costs nothing but the first time.
        let start = self.carry.len();
        batch.bytes.split_at_mut(start).0.copy_from_slice(&self.carry);
        self.carry.clear();
        batch.first = self.chunk;
        batch.chunks = start..start;
        let mut end = start;
        if !self.ended {
            let slots = (BATCH - start).div_ceil(SEALED_CHUNK);
            let (_, room) = batch.bytes.split_at_mut(start);
            let read = fill(self.input, room, slots).map_err(PackageError::Read)?;
            self.ended = read < slots * CHUNK;
            let chunks = if self.ended { read / CHUNK + 1 } else { slots };
            end += read + chunks * TAG;
            self.size += read as u64;
            self.chunk += chunks as u64;
            batch.chunks.end = end;
            if end > BATCH {
                let (_, crossing) = batch.bytes.split_at_mut(start + (chunks - 1) * SEALED_CHUNK);
                let (crossing, _) =
                    crossing.split_at_mut(end - (start + (chunks - 1) * SEALED_CHUNK));
                seal_chunk(self.message, self.chunk - 1, crossing);
                batch.chunks.end = start + (chunks - 1) * SEALED_CHUNK;
            }
        }
        batch.len = end.min(BATCH);
        self.carry.extend_from_slice(batch.bytes.split_at(end).0.split_at(batch.len).1);
        batch.offset = self.done;
        batch.size = self.size;
        batch.alone = self.done == 0 && self.ended && self.carry.is_empty();
        self.done += batch.len as u64;
        if self.done + self.carry.len() as u64 > CONTENT_BYTES_MAX {
            return Err(PackageError::TooLarge);
        }
        Ok(true)
    }
}

impl Batch {
    fn seal(&mut self, message: &Message) {
        let (bytes, _) = self.bytes.split_at_mut(self.chunks.end);
        let (_, chunks) = bytes.split_at_mut(self.chunks.start);
        for (number, chunk) in (self.first..).zip(chunks.chunks_mut(SEALED_CHUNK)) {
            seal_chunk(message, number, chunk);
        }
        let (bytes, _) = self.bytes.split_at(self.len);
        self.value = tree::group_value(self.offset, bytes);
        self.root = self.alone.then(|| tree::root_of_one(bytes));
    }
}

/// Encrypts a chunk in place; its last bytes become its tag.
fn seal_chunk(message: &Message, number: u64, chunk: &mut [u8]) {
    let (plaintext, tag) = chunk.split_at_mut(chunk.len() - TAG);
    tag.copy_from_slice(&message.seal_chunk(number, plaintext));
}

/// Reads plaintext into `slots` places for chunks, leaving room for each tag, until they are full
/// or the input ends; returns how much it read.
fn fill(input: &mut impl Read, room: &mut [u8], slots: usize) -> io::Result<usize> {
    let mut places: [IoSliceMut<'_>; SLOTS] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
    let wanted = slots * CHUNK;
    for (place, slot) in places.iter_mut().zip(room.chunks_mut(SEALED_CHUNK).take(slots)) {
        *place = IoSliceMut::new(slot.split_at_mut(CHUNK).0);
    }
    let mut places = places.as_mut_slice();
    let mut filled = 0;
    while filled < wanted {
        match input.read_vectored(places) {
            Ok(0) => break,
            Ok(len) => {
                filled += len;
                IoSliceMut::advance_slices(&mut places, len);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
