//! Reading a package.

use std::io::Write;
use std::ops::Range;

use serde::Serialize;

use crate::document::{ANYBODY, PackageMetadata};
use crate::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use crate::identity::Identity;
use crate::jws::{DocumentError, JWS_BYTES_MAX, Signed};
use crate::package::cobblestone::{CHUNK, Message, PREFIX, SEALED_CHUNK, TAG, chunks, sealed_len};
use crate::package::header::{HEADER_BYTES, Header, TRAILER, has_trailer, parse_trailer};
use crate::package::lanes::{lanes, run};
use crate::package::tree::{Groups, Tree};
use crate::package::{CONTENT_BYTES_MAX, DataKey, PackageError, ReadAt, check_texts};

/// Bytes that are read from the end at once; metadata with a usual chain fit.
const TAIL: u64 = 32 * 1024;
/// How far from the end a trailer is looked for, to tell a longer package from a shorter one.
const TRAILER_SEARCH: u64 = 1024 * 1024;
/// Bytes of content that a lane takes at once, or a group if that is larger: as much as fits a
/// processor's cache.
const BATCH: u64 = 256 * 1024;

/// What the reader knows of the package it wants; none of a kind accepts any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The metadata's document id, as the policy names it.
    pub metadata: Option<Digest>,
    /// Who must have signed. That its certificate is trusted is for [`Signed::verify`].
    pub provider: Option<Identity>,
    /// SHA-256 of the public key that must have signed.
    pub provider_key: Option<Digest>,
}

/// A package whose ends have been read and agree: header, metadata with its signature, and length.
pub struct PackageReader<S> {
    source: S,
    header: Header,
    metadata: Signed<PackageMetadata>,
    groups: Groups,
    /// Bytes of header and payload.
    content: u64,
    len: u64,
}

/// What a package says of itself, for people and programs to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The package.
    pub package: PackageId,
    /// The key that opens it.
    pub key: KeyId,
    /// Who signed it; to be believed only once the certificate is verified.
    pub provider: Identity,
    /// SHA-256 of the provider's public key.
    pub provider_key: Digest,
    /// When it was signed, by the provider's clock.
    pub time: Timestamp,
    /// The metadata's document id.
    pub metadata: Digest,
    /// The management that decides access; empty for an offline package.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub management: String,
    /// The share it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// The media type of the plaintext.
    pub media_type: String,
    /// The plaintext's length in bytes.
    pub size: u64,
    /// The package's length in bytes.
    pub package_size: u64,
    /// The BLAKE3 hash of header and payload.
    pub root: Digest,
}

impl<S: ReadAt> PackageReader<S> {
    /// Reads header, trailer and metadata, and checks that they agree with each other and with the
    /// length.
    ///
    /// # Errors
    /// Everything that can be told without the key: see [`PackageError`].
    pub fn open(source: S) -> Result<Self, PackageError> {
        let len = source.len().map_err(PackageError::Read)?;
        let mut start = [0; HEADER_BYTES];
        let (present, _) = start.split_at_mut(len.min(HEADER_BYTES as u64) as usize);
        source.read_exact_at(0, present).map_err(PackageError::read)?;
        if present.len() < HEADER_BYTES {
            let refusal = if Header::starts(present) {
                PackageError::Truncated
            } else {
                PackageError::NotAPackage
            };
            return Err(refusal);
        }
        let header = Header::parse(&start)?;
        let text = read_metadata(&source, len)?;
        let metadata = Signed::<PackageMetadata>::parse(&text)?;
        let document = metadata.document();
        if document.audience != ANYBODY {
            return Err(PackageError::Metadata(DocumentError::Audience {
                expected: ANYBODY.to_owned(),
                found: document.audience.clone(),
            }));
        }
        let body = &document.body;
        check_texts(&body.management, &body.media_type)?;
        for (same, field) in [
            (header.package == body.package, "package id"),
            (header.key == body.key, "key id"),
            (header.provider_key == body.provider_key, "provider's key"),
        ] {
            if !same {
                return Err(PackageError::Reheaded(field));
            }
        }
        if metadata.key_digest() != body.provider_key {
            return Err(wrong_provider(&metadata));
        }
        if body.size > CONTENT_BYTES_MAX {
            return Err(PackageError::TooLarge);
        }
        let content = HEADER_BYTES as u64 + sealed_len(body.size);
        let groups = Groups::of(content).ok_or(PackageError::TooLarge)?;
        match len.cmp(&(content + groups.entries() * 32 + (text.len() + TRAILER) as u64)) {
            std::cmp::Ordering::Less => Err(PackageError::Truncated),
            std::cmp::Ordering::Greater => Err(PackageError::Extended),
            std::cmp::Ordering::Equal => {
                Ok(Self { source, header, metadata, groups, content, len })
            }
        }
    }

    /// The header, which the metadata confirm.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The metadata. Whether their signer is to be trusted is for [`Signed::verify`].
    pub fn metadata(&self) -> &Signed<PackageMetadata> {
        &self.metadata
    }

    /// What the package says of itself.
    pub fn inspect(&self) -> Inspection {
        let document = self.metadata.document();
        let body = document.body.clone();
        Inspection {
            package: body.package,
            key: body.key,
            provider: document.signer.clone(),
            provider_key: body.provider_key,
            time: document.time,
            metadata: self.metadata.id(),
            management: body.management,
            share: body.share,
            media_type: body.media_type,
            size: body.size,
            package_size: self.len,
            root: body.root,
        }
    }

    /// Checks the package against what is `expected`, its hashes against the signed root, and `key`
    /// against the payload (UW-4).
    ///
    /// # Errors
    /// [`PackageError::Unexpected`], [`PackageError::WrongProvider`], [`PackageError::WrongKey`],
    /// or what is wrong with the payload's beginning.
    pub fn unlock(
        self,
        key: &DataKey,
        expected: &Expected,
    ) -> Result<OpenPackage<S>, PackageError> {
        self.check(expected)?;
        let mut list = vec![[0; 32]; self.groups.entries() as usize];
        self.source
            .read_exact_at(self.content, list.as_flattened_mut())
            .map_err(PackageError::read)?;
        let mut first = vec![0; self.groups.len(0) as usize];
        self.source.read_exact_at(0, &mut first).map_err(PackageError::read)?;
        let prefix = first
            .split_at_checked(HEADER_BYTES)
            .and_then(|(_, payload)| payload.first_chunk::<PREFIX>())
            .ok_or(PackageError::Truncated)?;
        let message = Message::open(key, &self.header.to_bytes(), prefix);
        let tree = Tree::new(self.groups, list, &self.metadata.body().root);
        match (message, tree) {
            (Some(message), Some(tree)) => {
                let package = OpenPackage {
                    source: self.source,
                    message,
                    tree,
                    size: self.metadata.body().size,
                };
                if package.tree.verifies(0, &first) {
                    Ok(package)
                } else {
                    Err(package.diagnose(0))
                }
            }
            (Some(_), None) => Err(PackageError::Resealed),
            (None, Some(tree)) if tree.verifies(0, &first) => Err(PackageError::WrongKey),
            (None, _) => Err(PackageError::Swapped),
        }
    }

    /// Checks every byte against what the provider signed, for who keeps a package and has no key.
    ///
    /// # Errors
    /// [`PackageError::Resealed`] when the hashes are not those that were signed,
    /// [`PackageError::Altered`] when the content is not.
    pub fn verify(&self) -> Result<(), PackageError> {
        let mut list = vec![[0; 32]; self.groups.entries() as usize];
        self.source
            .read_exact_at(self.content, list.as_flattened_mut())
            .map_err(PackageError::read)?;
        let tree = Tree::new(self.groups, list, &self.metadata.body().root)
            .ok_or(PackageError::Resealed)?;
        let mut group = Vec::new();
        for index in 0..self.groups.count() {
            let offset = index * self.groups.size();
            group.resize(self.groups.len(index) as usize, 0);
            self.source.read_exact_at(offset, &mut group).map_err(PackageError::read)?;
            if !tree.verifies(index, &group) {
                return Err(PackageError::Altered { offset, group_bytes: group.len() as u64 });
            }
        }
        Ok(())
    }

    fn check(&self, expected: &Expected) -> Result<(), PackageError> {
        if let Some(digest) = expected.metadata
            && digest != self.metadata.id()
        {
            // A different provider is the graver finding, so it is named first.
            self.check_provider(expected)?;
            return Err(PackageError::Unexpected { expected: digest, found: self.metadata.id() });
        }
        self.check_provider(expected)
    }

    fn check_provider(&self, expected: &Expected) -> Result<(), PackageError> {
        let provider_ok =
            expected.provider.as_ref().is_none_or(|provider| provider == self.metadata.signer());
        let key_ok = expected.provider_key.is_none_or(|key| key == self.metadata.key_digest());
        if provider_ok && key_ok { Ok(()) } else { Err(wrong_provider(&self.metadata)) }
    }
}

fn wrong_provider(metadata: &Signed<PackageMetadata>) -> PackageError {
    PackageError::WrongProvider {
        found: Box::new(metadata.signer().clone()),
        found_key: metadata.key_digest(),
    }
}

/// The metadata's text, from before the trailer.
fn read_metadata(source: &impl ReadAt, len: u64) -> Result<String, PackageError> {
    let tail = read_tail(source, len, TAIL)?;
    let Some(metadata_len) = parse_trailer(&tail) else {
        let more = has_trailer(&read_tail(source, len, TRAILER_SEARCH)?);
        return Err(if more { PackageError::Extended } else { PackageError::Truncated });
    };
    if metadata_len as usize > JWS_BYTES_MAX {
        return Err(PackageError::Metadata(DocumentError::TooLong));
    }
    let end = u64::from(metadata_len) + TRAILER as u64;
    if end + HEADER_BYTES as u64 > len {
        return Err(PackageError::Truncated);
    }
    let mut tail = if end <= tail.len() as u64 { tail } else { read_tail(source, len, end)? };
    tail.truncate(tail.len() - TRAILER);
    let text = tail.split_off(tail.len() - metadata_len as usize);
    String::from_utf8(text).map_err(|_| PackageError::Malformed("the metadata are not text"))
}

/// The last `most` bytes, or all.
fn read_tail(source: &impl ReadAt, len: u64, most: u64) -> Result<Vec<u8>, PackageError> {
    let mut tail = vec![0; len.min(most) as usize];
    source.read_exact_at(len - tail.len() as u64, &mut tail).map_err(PackageError::read)?;
    Ok(tail)
}

/// A package with its key: plaintext can be had from it, and only such as the provider signed.
pub struct OpenPackage<S> {
    pub(super) source: S,
    pub(super) message: Message,
    pub(super) tree: Tree,
    size: u64,
}

impl<S: ReadAt + Sync> OpenPackage<S> {
    /// Writes the whole plaintext to `output` (UW-5), on all processors; `progress` is told the
    /// bytes done so far.
    ///
    /// # Errors
    /// What is wrong with the payload; `output` has then got a correct beginning of the plaintext
    /// and no more.
    pub fn decrypt_to(
        &self,
        output: &mut (impl Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), PackageError> {
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

/// One or more whole groups on their way.
#[derive(Default)]
struct Batch {
    /// Where they stand in the package.
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

    /// Where encrypted chunk `index` stands in the package.
    pub(super) fn chunk_range(&self, index: u64) -> Range<u64> {
        let start = (HEADER_BYTES + PREFIX) as u64 + index * SEALED_CHUNK as u64;
        let plaintext = (CHUNK as u64).min(self.size.saturating_sub(index * CHUNK as u64));
        start..start + plaintext + TAG as u64
    }
}
