//! The ends of a package: the header before its payload and the trailer after its metadata.

use crate::id::{Digest, KeyId, PackageId};
use crate::package::PackageError;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 80;
const MAGIC: &[u8; 12] = b"datapact-pkg";
const VERSION: u32 = 1;

/// Bytes of the trailer.
pub(crate) const TRAILER: usize = 16;
const END: &[u8; 12] = b"datapact-end";

/// The clear text before the payload. The payload's key derivation binds every byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The package.
    pub package: PackageId,
    /// The key that opens it.
    pub key: KeyId,
    /// SHA-256 of the provider's public key (SubjectPublicKeyInfo, DER).
    pub provider_key: Digest,
}

impl Header {
    /// The header's bytes: magic, version (big-endian), package id, key id, digest of the
    /// provider's key.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts = [
            &MAGIC[..],
            &VERSION.to_be_bytes(),
            &self.package.0,
            &self.key.0,
            &self.provider_key.0,
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`PackageError::NotAPackage`] and [`PackageError::Version`].
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, PackageError> {
        let (magic, rest) = take::<12, _>(bytes)?;
        if &magic != MAGIC {
            return Err(PackageError::NotAPackage);
        }
        let (version, rest) = take(rest)?;
        if u32::from_be_bytes(version) != VERSION {
            return Err(PackageError::Version(u32::from_be_bytes(version)));
        }
        let (package, rest) = take(rest)?;
        let (key, rest) = take(rest)?;
        let (provider_key, _) = take(rest)?;
        Ok(Self {
            package: PackageId(package),
            key: KeyId(key),
            provider_key: Digest(provider_key),
        })
    }

    /// Whether `bytes`, however few, can be the start of a package. A storage server refuses an
    /// upload by it at once.
    pub fn starts(bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.iter().zip(MAGIC).all(|(a, b)| a == b)
    }
}

fn take<const N: usize, T: AsRef<[u8]> + ?Sized>(
    bytes: &T,
) -> Result<([u8; N], &[u8]), PackageError> {
    let (head, rest) = bytes.as_ref().split_first_chunk().ok_or(PackageError::Truncated)?;
    Ok((*head, rest))
}

/// The trailer after `metadata_len` bytes of metadata.
pub(crate) fn trailer(metadata_len: u32) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    let (len, end) = bytes.split_at_mut(4);
    len.copy_from_slice(&metadata_len.to_be_bytes());
    end.copy_from_slice(END);
    bytes
}

/// The length of the metadata before the trailer that `bytes` end with; none without a trailer.
pub(crate) fn parse_trailer(bytes: &[u8]) -> Option<u32> {
    let (rest, end) = bytes.split_last_chunk::<12>()?;
    let (_, len) = rest.split_last_chunk::<4>()?;
    (end == END).then_some(u32::from_be_bytes(*len))
}

/// Whether there is a trailer somewhere in `bytes`.
pub(crate) fn has_trailer(bytes: &[u8]) -> bool {
    bytes.windows(END.len()).any(|window| window == END)
}
