//! Reading the ends of a package: header, metadata and length, and the way to its content.

use serde::Serialize;

use crate::document::{ANYBODY, PackageMetadata};
use crate::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use crate::identity::Identity;
use crate::jws::{DocumentError, JWS_BYTES_MAX, Signed};
use crate::package::cobblestone::{Message, PREFIX, sealed_len};
use crate::package::header::{HEADER_BYTES, Header, TRAILER, has_trailer, parse_trailer};
use crate::package::tree::{Groups, Tree};
use crate::package::{CONTENT_BYTES_MAX, DataKey, OpenPackage, PackageError, ReadAt, check_texts};

/// Bytes that are read from the end at once; metadata with a usual chain fit.
const TAIL: u64 = 32 * 1024;
/// How far from the end a trailer is looked for, to tell a longer package from a shorter one.
const TRAILER_SEARCH: u64 = 1024 * 1024;

/// What the reader expects of the package; a field without a value accepts any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The metadata's document id, as the policy names it.
    pub metadata: Option<Digest>,
    /// Who must have signed. Whether the certificate is trusted is for [`Signed::verify`] to say.
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

/// What a package's header and metadata say, for people and programs to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The package.
    pub package: PackageId,
    /// The key that opens it.
    pub key: KeyId,
    /// Who signed it, as the metadata claim: verify the certificate before you rely on it.
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
    /// Each [`PackageError`] that shows without the key: its ends are missing, malformed or
    /// disagree.
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
        // The metadata come last in the package but are checked first: everything else is compared
        // with what they sign.
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
        // Otherwise metadata that another user signed could claim the provider's key.
        if metadata.key_digest() != body.provider_key {
            return Err(wrong_provider(&metadata));
        }
        // Bounds the size before it enters the arithmetic below.
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

    /// The header, which agrees with the signed metadata.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The metadata. Whether to trust their signer is for [`Signed::verify`] to say.
    pub fn metadata(&self) -> &Signed<PackageMetadata> {
        &self.metadata
    }

    /// What header and metadata say.
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
        // The key and the first group are both tried before anything is refused, because together
        // they tell a wrong key from a payload that was exchanged.
        match (message, tree) {
            (Some(message), Some(tree)) => {
                let size = self.metadata.body().size;
                let package = OpenPackage { source: self.source, message, tree, size };
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

    /// Checks every byte against what the provider signed. It needs no key, so that a storage
    /// server can check what it holds.
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
            // Another provider is the graver finding, so it is reported first.
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
