//! Writing a package.

use std::io::{self, Read, Write};

use crate::document::{ANYBODY, PackageMetadata};
use crate::id::{KeyId, PackageId, ShareId, Timestamp};
use crate::jws::{DocumentError, JWS_BYTES_MAX, Signed, Signer};
use crate::package::cobblestone::{CHUNK, Message, SEALED_CHUNK};
use crate::package::header::{Header, TRAILER, trailer};
use crate::package::pipe::{Sink, pipe};
use crate::package::tree::TreeBuilder;
use crate::package::{CONTENT_BYTES_MAX, DataKey, PackageError, check_texts};
use crate::trust::{self, TrustError};

/// Chunks that go through the pipe together.
const BATCH: usize = 16;

/// What a package says of itself, besides what sealing finds out.
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

/// Seals everything that `input` yields into a package on `output`, in one pass and bounded memory; its length
/// need not be known before. `progress` is told the plaintext bytes done so far.
///
/// # Errors
/// [`PackageError::Read`], [`PackageError::Write`], [`PackageError::TooLarge`], and
/// [`PackageError::Malformed`] for a `spec` out of bounds. What `output` got is then no package: it has no trailer.
pub fn seal(
    input: &mut impl Read,
    output: &mut (impl Write + Send),
    key: &DataKey,
    spec: &SealSpec,
    signer: &Signer,
    time: Timestamp,
    progress: &mut dyn FnMut(u64),
) -> Result<Sealed, PackageError> {
    check_texts(&spec.management, &spec.media_type)?;
    pipe(BATCH * SEALED_CHUNK, output, |sink| seal_into(sink, input, key, spec, signer, time, progress))
}

fn seal_into(
    sink: &mut Sink,
    input: &mut impl Read,
    key: &DataKey,
    spec: &SealSpec,
    signer: &Signer,
    time: Timestamp,
    progress: &mut dyn FnMut(u64),
) -> Result<Sealed, PackageError> {
    let leaf = signer.chain().first().ok_or(TrustError::NoCertificate).map_err(DocumentError::from)?;
    let provider_key = trust::public_key(leaf).map_err(DocumentError::from)?.digest;
    let header = Header { package: spec.package, key: spec.key, provider_key };
    let message = Message::new(key, &header.to_bytes());
    let mut tree = TreeBuilder::new();

    let start = [&header.to_bytes()[..], message.prefix()].concat();
    tree.update(&start);
    write(sink, &start)?;

    let mut size = 0;
    let mut chunk = 0;
    loop {
        let mut buffer = sink.buffer()?;
        let mut used = 0;
        let mut last = false;
        for slot in buffer.chunks_exact_mut(SEALED_CHUNK) {
            let (plaintext, _) = slot.split_at_mut(CHUNK);
            let len = fill(input, plaintext).map_err(PackageError::Read)?;
            let (plaintext, rest) = slot.split_at_mut(len);
            let tag = message.seal_chunk(chunk, plaintext);
            rest.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
            size += len as u64;
            chunk += 1;
            used += len + tag.len();
            last = len < CHUNK;
            if last {
                break;
            }
        }
        if tree.len() + used as u64 > CONTENT_BYTES_MAX {
            return Err(PackageError::TooLarge);
        }
        tree.update(buffer.split_at(used).0);
        sink.write(buffer, used)?;
        progress(size);
        if last {
            break;
        }
    }

    let content = tree.len();
    let (root, list) = tree.finish();
    write(sink, list.as_flattened())?;
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
    write(sink, &[text, &trailer(len)].concat())?;
    let size = content + list.as_flattened().len() as u64 + u64::from(len) + TRAILER as u64;
    Ok(Sealed { metadata, size })
}

/// Hands over any number of bytes.
fn write(sink: &mut Sink, bytes: &[u8]) -> Result<(), PackageError> {
    for piece in bytes.chunks(BATCH * SEALED_CHUNK) {
        let mut buffer = sink.buffer()?;
        buffer.split_at_mut(piece.len()).0.copy_from_slice(piece);
        sink.write(buffer, piece.len())?;
    }
    Ok(())
}

/// Reads until `buffer` is full or the input ends; returns how much it read.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
