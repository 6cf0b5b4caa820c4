//! Packages to try: a provider, a key and content of any length.

use datapact_core::document::PackageMetadata;
use datapact_core::id::{KeyId, PackageId};
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use datapact_core::package::{DataKey, Expected, PackageError, PackageReader, SealSpec, seal};

use super::pki::{Ca, key};

pub const TIME: u64 = 1_790_000_000;
/// Bytes of header and the payload's prefix before the first chunk.
pub const FIRST_CHUNK: usize = 80 + 56;
pub const SEALED_CHUNK: usize = 16_400;

/// A provider called `name` with a fresh key and certificate.
pub fn signer(name: &str) -> Signer {
    let key = key();
    let identity = Identity { realm: "clinic".to_owned(), subject: format!("CN={name}") };
    Signer::new(key.serialized_der(), vec![Ca::new("Clinic CA").user(name, &key)], identity)
        .unwrap()
}

/// `len` bytes that do not repeat.
pub fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_derive_key("datapact test content").finalize_xof().fill(&mut bytes);
    bytes
}

pub fn spec() -> SealSpec {
    SealSpec {
        package: PackageId([1; 16]),
        key: KeyId([2; 16]),
        management: "https://management.example/".to_owned(),
        share: None,
        media_type: "text/csv".to_owned(),
    }
}

pub struct Made {
    pub bytes: Vec<u8>,
    pub metadata: Signed<PackageMetadata>,
}

pub fn make(plaintext: &[u8], key: &DataKey, spec: &SealSpec, signer: &Signer) -> Made {
    let mut bytes = Vec::new();
    let sealed =
        seal(&mut &plaintext[..], &mut bytes, key, spec, signer, TIME, &mut |_| {}).unwrap();
    assert_eq!(sealed.size, bytes.len() as u64);
    Made { bytes, metadata: sealed.metadata }
}

/// Opens `bytes` in every step: what was given out before an error, and how it ended.
pub fn unwrap(
    bytes: &[u8],
    key: &DataKey,
    expected: &Expected,
) -> (Vec<u8>, Result<(), PackageError>) {
    let mut out = Vec::new();
    let result = PackageReader::open(bytes)
        .and_then(|reader| reader.unlock(key, expected))
        .and_then(|package| package.decrypt_to(&mut out, &mut |_| {}));
    (out, result)
}
