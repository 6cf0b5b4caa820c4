//! The data-sharing package (WR-1, WR-5, WR-6, UW-4, UW-5): encrypted data and signed metadata in
//! one file.
//!
//! In this order: a [`Header`] of fixed length; the payload, C2SP chunked encryption
//! (Cobblestone-256) with the header as its context; the chaining values of a BLAKE3 tree over
//! both; the metadata, a signed document that names the tree's root; a trailer. A package is
//! written in one pass and bounded memory, and read at any offset: every group is checked against
//! the tree, and so against the provider's signature, before any of its plaintext is given out.
//! `docs/spec/package.md` specifies every byte.

mod cobblestone;
mod diagnose;
mod header;
mod key;
mod lanes;
mod open;
mod reader;
mod seal;
mod source;
mod tree;

use std::io;

use crate::id::Digest;
use crate::identity::Identity;
use crate::jws::DocumentError;

pub use header::{HEADER_BYTES, Header};
pub use key::{DataKey, KEY_FILE_BYTES_MAX, ParseKeyError};
pub use open::OpenPackage;
pub use reader::{Expected, Inspection, PackageReader};
pub use seal::{SealSpec, Sealed, seal};
pub use source::ReadAt;
pub use tree::{CONTENT_BYTES_MAX, GROUP_MAX, GROUP_MIN, GROUPS_MAX};

/// The longest management URL in metadata, in bytes.
pub const MANAGEMENT_BYTES_MAX: usize = 2048;
/// The longest media type, in bytes.
pub const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// Why a package was refused or could not be made. Whatever plaintext was given out before is a
/// correct beginning of the data.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It does not start as a package does.
    #[error("this is not a data-sharing package")]
    NotAPackage,
    /// Written by another version of the format.
    #[error(
        "the package has format version {0}, and this program reads version 1; get a newer program"
    )]
    Version(u32),
    /// Its end is missing.
    #[error("the package is cut short; get it again")]
    Truncated,
    /// There are more bytes than the package has.
    #[error("the package has bytes that do not belong to it; get it again")]
    Extended,
    /// Its metadata is not a document that can be read.
    #[error("the package's metadata is refused: {0}")]
    Metadata(#[from] DocumentError),
    /// Its metadata breaks a rule of the format.
    #[error("the package is malformed: {0}")]
    Malformed(&'static str),
    /// Its header is not the one that its provider signed.
    #[error("the package's header was changed: its {0} is not the one in the signed metadata")]
    Reheaded(&'static str),
    /// Another user signed it.
    #[error(
        "the package is signed by `{found}` (key {found_key}), who is not the provider expected"
    )]
    WrongProvider {
        /// Who signed it.
        found: Box<Identity>,
        /// SHA-256 of the key that signed it.
        found_key: Digest,
    },
    /// It is another package than the one expected.
    #[error("this is not the package expected: its metadata is {found}, not {expected}")]
    Unexpected {
        /// The metadata's document id that was expected.
        expected: Digest,
        /// The metadata's document id.
        found: Digest,
    },
    /// The key is not the one it was sealed with.
    #[error("the key does not open this package; its header names the key id to ask for")]
    WrongKey,
    /// Its payload was sealed under another header or key.
    #[error("the package's payload belongs to another package")]
    Swapped,
    /// Its chunks are in another order.
    #[error(
        "the package's chunks are out of order: chunk {found} is where chunk {expected} belongs"
    )]
    Reordered {
        /// The place.
        expected: u64,
        /// The chunk found there.
        found: u64,
    },
    /// Some of its bytes changed.
    #[error(
        "the package was altered or damaged in the {group_bytes} bytes from offset {offset}; \
         get it again"
    )]
    Altered {
        /// The offset of the first group that is wrong.
        offset: u64,
        /// That group's length.
        group_bytes: u64,
    },
    /// Its payload was sealed with the right key, but is not what the provider signed.
    #[error(
        "the package's payload is not what its provider signed: another holder of the key sealed \
         other data, or its hashes are damaged"
    )]
    Resealed,
    /// More than a package can hold.
    #[error(
        "the data are too large: a package holds at most {CONTENT_BYTES_MAX} bytes; split them"
    )]
    TooLarge,
    /// The source cannot be read.
    #[error("reading failed: {0}")]
    Read(#[source] io::Error),
    /// The output cannot be written.
    #[error("writing failed: {0}")]
    Write(#[source] io::Error),
}

impl PackageError {
    /// A stable name: what the vectors' index, JSON output and other implementations call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAPackage => "not-a-package",
            Self::Version(_) => "version",
            Self::Truncated => "truncated",
            Self::Extended => "extended",
            Self::Metadata(_) => "metadata",
            Self::Malformed(_) => "malformed",
            Self::Reheaded(_) => "reheaded",
            Self::WrongProvider { .. } => "wrong-provider",
            Self::Unexpected { .. } => "unexpected",
            Self::WrongKey => "wrong-key",
            Self::Swapped => "swapped",
            Self::Reordered { .. } => "reordered",
            Self::Altered { .. } => "altered",
            Self::Resealed => "resealed",
            Self::TooLarge => "too-large",
            Self::Read(_) => "read",
            Self::Write(_) => "write",
        }
    }

    /// A failed read of bytes that the package's length promises.
    fn read(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Truncated
        } else {
            Self::Read(error)
        }
    }
}

/// Checks the texts of metadata against their bounds.
fn check_texts(management: &str, media_type: &str) -> Result<(), PackageError> {
    if management.len() > MANAGEMENT_BYTES_MAX || management.contains(char::is_control) {
        return Err(PackageError::Malformed(
            "the management URL is longer than 2048 bytes or not plain text",
        ));
    }
    let media_type_ok = (1..=MEDIA_TYPE_BYTES_MAX).contains(&media_type.len())
        && media_type.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if media_type_ok {
        Ok(())
    } else {
        Err(PackageError::Malformed("the media type is not 1 to 255 printable ASCII characters"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use std::io::{self, Read};

    use super::*;
    use crate::id::{KeyId, PackageId};
    use crate::jws::Signer;

    fn sealed(size: u64) -> (DataKey, Result<Vec<u8>, PackageError>) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        let identity = Identity { realm: "clinic".to_owned(), subject: "CN=provider".to_owned() };
        let chain = vec![certificate.der().clone()];
        let signer = Signer::new(pair.serialized_der(), chain, identity).unwrap();
        let spec = SealSpec {
            package: PackageId([1; 16]),
            key: KeyId([2; 16]),
            management: String::new(),
            share: None,
            media_type: "text/plain".to_owned(),
        };
        let (key, mut bytes) = (DataKey::random(), Vec::new());
        let made = seal(
            &mut io::repeat(b'x').take(size),
            &mut bytes,
            &key,
            &spec,
            &signer,
            0,
            &mut |_| {},
        );
        (key, made.map(|_| bytes))
    }

    #[test]
    fn uw_5_packages_with_larger_groups_open_and_are_verified() {
        let mib = 1024 * 1024;
        let kib = 1024;
        for (size, group) in [
            (mib - 2 * kib, 256 * kib),
            (mib, 512 * kib),
            (3 * mib, mib),
            (7 * mib, 2 * mib),
            (9 * mib, 4 * mib),
            (31 * mib, 8 * mib),
        ] {
            let (key, bytes) = sealed(size);
            let mut bytes = bytes.unwrap();
            let package =
                PackageReader::open(&bytes).unwrap().unlock(&key, &Expected::default()).unwrap();
            let mut out = Vec::new();
            package.decrypt_to(&mut out, &mut |_| {}).unwrap();
            assert!(out.len() as u64 == size && out.iter().all(|&byte| byte == b'x'));
            let at = size / 2;
            *bytes.get_mut(at as usize).unwrap() ^= 1;
            let package =
                PackageReader::open(&bytes).unwrap().unlock(&key, &Expected::default()).unwrap();
            out.clear();
            let error = package.decrypt_to(&mut out, &mut |_| {}).unwrap_err();
            let start = at / group * group;
            let found = matches!(error, PackageError::Altered { offset, .. } if offset == start);
            assert!(found, "{error}");
            assert!(out.len() as u64 <= at / group * group);
            assert!(out.iter().all(|&byte| byte == b'x'));
        }
    }

    #[test]
    fn data_beyond_the_limit_are_refused() {
        let (_, bytes) = sealed(CONTENT_BYTES_MAX);
        assert_eq!(bytes.unwrap_err().name(), "too-large");
        let fits = CONTENT_BYTES_MAX / 16_400 * 16_384 - 16_384;
        assert!(sealed(fits).1.is_ok());
    }
}
