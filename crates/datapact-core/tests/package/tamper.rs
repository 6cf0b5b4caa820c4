//! Packages that were tampered with are refused, by the right name.

use datapact_core::document::{ANYBODY, PackageMetadata};
use datapact_core::id::{Digest, KeyId, PackageId};
use datapact_core::package::{
    CONTENT_BYTES_MAX, DataKey, Expected, GROUP_MIN, HEADER_BYTES, PackageError, SealSpec,
};

use crate::support;
use crate::support::packages::{
    FIRST_CHUNK, SEALED_CHUNK, TIME, content, make, signer, spec, unwrap,
};

/// The refusal of `bytes`, whatever the reader expects.
pub(crate) fn refused(bytes: &[u8], key: &DataKey, plaintext: &[u8]) -> PackageError {
    refused_as(bytes, key, &Expected::default(), plaintext)
}

/// The refusal of `bytes`, after at most a correct beginning of `plaintext` was given out.
fn refused_as(bytes: &[u8], key: &DataKey, expected: &Expected, plaintext: &[u8]) -> PackageError {
    let (out, result) = unwrap(bytes, key, expected);
    assert!(plaintext.starts_with(&out), "{} wrong bytes were given out", out.len());
    result.unwrap_err()
}

/// Metadata changed by `change`, signed by `signer`, in place of those of `package`.
fn resign(
    package: &support::packages::Made,
    signer: &datapact_core::jws::Signer,
    change: impl FnOnce(&mut PackageMetadata),
) -> Vec<u8> {
    let mut body = package.metadata.body().clone();
    change(&mut body);
    let signed = signer.sign(ANYBODY, TIME, body);
    let mut bytes =
        package.bytes[..package.bytes.len() - package.metadata.as_str().len() - 16].to_vec();
    bytes.extend(signed.as_str().as_bytes());
    bytes.extend((signed.as_str().len() as u32).to_be_bytes());
    bytes.extend(b"datapact-end");
    bytes
}

#[test]
fn a_truncated_package_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    for size in [0, 20_000, 600_000] {
        let plaintext = content(size);
        let made = make(&plaintext, &key, &spec(), &signer);
        let len = made.bytes.len();
        for keep in [12, 50, 79, 80, 100, 136, len / 2, len - 17, len - 16, len - 1] {
            assert_eq!(
                refused(&made.bytes[..keep], &key, &plaintext).name(),
                "truncated",
                "{size} {keep}"
            );
        }
    }
    // Whole chunks are missing, and the end is intact.
    let plaintext = content(60_000);
    let mut bytes = make(&plaintext, &key, &spec(), &signer).bytes;
    bytes.drain(FIRST_CHUNK..FIRST_CHUNK + SEALED_CHUNK);
    assert_eq!(refused(&bytes, &key, &plaintext).name(), "truncated");
}

#[test]
fn an_extended_package_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(60_000);
    let made = make(&plaintext, &key, &spec(), &signer);
    for more in [1, 16, 40_000] {
        let bytes = [&made.bytes[..], &vec![7; more]].concat();
        assert_eq!(refused(&bytes, &key, &plaintext).name(), "extended");
    }
    let mut bytes = made.bytes.clone();
    let chunk = bytes[FIRST_CHUNK..FIRST_CHUNK + SEALED_CHUNK].to_vec();
    bytes.splice(FIRST_CHUNK..FIRST_CHUNK, chunk);
    assert_eq!(refused(&bytes, &key, &plaintext).name(), "extended");
}

#[test]
fn reordered_chunks_are_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(900_000);
    let made = make(&plaintext, &key, &spec(), &signer);
    // Within the first group, across groups, at a group's border, and within the last groups.
    for (a, b) in [(0, 1), (2, 20), (15, 16), (40, 50)] {
        let mut bytes = made.bytes.clone();
        let at = |chunk: usize| FIRST_CHUNK + chunk * SEALED_CHUNK;
        let (left, right) = bytes.split_at_mut(at(b));
        left[at(a)..at(a) + SEALED_CHUNK].swap_with_slice(&mut right[..SEALED_CHUNK]);
        let error = refused(&bytes, &key, &plaintext);
        let PackageError::Reordered { expected, found } = error else { unreachable!("{error}") };
        assert_eq!((expected, found), (a as u64, b as u64));
    }
}

#[test]
fn an_altered_payload_is_refused_where_it_was_altered() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(900_000);
    let made = make(&plaintext, &key, &spec(), &signer);
    for at in [FIRST_CHUNK, 200_000, 300_000, 900_000] {
        let mut bytes = made.bytes.clone();
        bytes[at] ^= 0x40;
        let (out, result) = unwrap(&bytes, &key, &Expected::default());
        let start = at as u64 / GROUP_MIN * GROUP_MIN;
        assert!(
            matches!(result.unwrap_err(), PackageError::Altered { offset, .. } if offset == start)
        );
        // Everything before the group with the wrong byte was given out: whole chunks that end
        // before it.
        assert_eq!(out.len(), (start as usize).saturating_sub(FIRST_CHUNK) / SEALED_CHUNK * 16_384);
        assert!(plaintext.starts_with(&out));
    }
}

#[test]
fn a_payload_swapped_for_another_packages_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    for size in [5_000, 700_000] {
        let plaintext = content(size);
        let made = make(&plaintext, &key, &spec(), &signer);
        let tail = made.metadata.as_str().len() + 16;
        let end = made.bytes.len() - tail;
        for (other_key, other_id) in [(key.clone(), [9; 16]), (DataKey::random(), [1; 16])] {
            let other = SealSpec { package: PackageId(other_id), ..spec() };
            let other = make(&vec![0; size], &other_key, &other, &signer);
            // With the other's list of hashes, and with its own.
            let content_len = FIRST_CHUNK + size + 16 * (size / 16_384 + 1);
            for swapped in [end, content_len] {
                let bytes = [
                    &made.bytes[..HEADER_BYTES],
                    &other.bytes[HEADER_BYTES..swapped],
                    &made.bytes[swapped..],
                ]
                .concat();
                assert_eq!(refused(&bytes, &key, &plaintext).name(), "swapped");
            }
        }
    }
}

#[test]
fn a_reheaded_package_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(5_000);
    let made = make(&plaintext, &key, &spec(), &signer);
    for (at, field) in [(16, "package id"), (32, "key id"), (48, "provider's key")] {
        let mut bytes = made.bytes.clone();
        bytes[at] ^= 1;
        let error = refused(&bytes, &key, &plaintext);
        assert!(matches!(error, PackageError::Reheaded(found) if found == field), "{error}");
    }
    let mut bytes = made.bytes.clone();
    bytes[0] ^= 1;
    assert_eq!(refused(&bytes, &key, &plaintext).name(), "not-a-package");
    bytes = made.bytes.clone();
    bytes[15] = 2;
    assert!(matches!(refused(&bytes, &key, &plaintext), PackageError::Version(2)));
    assert_eq!(refused(b"", &key, b"").name(), "not-a-package");
    assert_eq!(refused(b"PK\x03\x04 something else entirely", &key, b"").name(), "not-a-package");
}

#[test]
fn uw_4_a_package_reheaded_and_signed_by_somebody_else_is_refused() {
    let (key, signer, thief) = (DataKey::random(), signer("provider"), signer("thief"));
    let plaintext = content(300_000);
    let made = make(&plaintext, &key, &spec(), &signer);
    // The thief's signature over the provider's statement.
    let bytes = resign(&made, &thief, |_| {});
    assert_eq!(refused(&bytes, &key, &plaintext).name(), "wrong-provider");
    // The thief's own name in metadata and header: the payload's key was derived with the
    // provider's.
    let thiefs_key = make(b"", &key, &spec(), &thief).metadata.key_digest();
    let mut bytes = resign(&made, &thief, |body| body.provider_key = thiefs_key);
    assert_eq!(refused(&bytes, &key, &plaintext).name(), "reheaded");
    bytes[48..80].copy_from_slice(&thiefs_key.0);
    assert_eq!(refused(&bytes, &key, &plaintext).name(), "swapped");
}

#[test]
fn uw_4_a_wrong_provider_is_refused() {
    let (key, signer, other) = (DataKey::random(), signer("provider"), signer("other"));
    let made = make(b"data", &key, &spec(), &signer);
    let right = Expected {
        metadata: Some(made.metadata.id()),
        provider: Some(signer.identity().clone()),
        provider_key: Some(made.metadata.key_digest()),
    };
    assert_eq!(unwrap(&made.bytes, &key, &right).0, b"data");
    let theirs = make(b"data", &key, &spec(), &other);
    for expected in [
        Expected { metadata: None, provider_key: None, ..right.clone() },
        Expected { metadata: None, provider: None, ..right.clone() },
        right,
    ] {
        assert_eq!(refused_as(&theirs.bytes, &key, &expected, b"").name(), "wrong-provider");
    }
}

#[test]
fn a_wrong_key_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    for size in [0, 700_000] {
        let made = make(&content(size), &key, &spec(), &signer);
        assert_eq!(refused(&made.bytes, &DataKey::random(), b"").name(), "wrong-key");
    }
}

#[test]
fn data_resealed_by_a_consumer_who_holds_the_key_are_refused() {
    let (key, provider, consumer) = (DataKey::random(), signer("provider"), signer("consumer"));
    for size in [5_000, 700_000] {
        let plaintext = content(size);
        let made = make(&plaintext, &key, &spec(), &provider);
        // Other data under the provider's header, which the provider's own signer signs,
        // with the provider's metadata.
        let forged = make(&vec![b'!'; size], &key, &spec(), &provider);
        let forged_end = forged.bytes.len() - forged.metadata.as_str().len() - 16;
        let made_end = made.bytes.len() - made.metadata.as_str().len() - 16;
        let bytes = [&forged.bytes[..forged_end], &made.bytes[made_end..]].concat();
        assert_eq!(refused(&bytes, &key, b"").name(), "resealed");
        // The same with the provider's list of hashes.
        let content_len = FIRST_CHUNK + size + 16 * (size / 16_384 + 1);
        let bytes = [&forged.bytes[..content_len], &made.bytes[content_len..]].concat();
        assert_eq!(refused(&bytes, &key, b"").name(), "resealed");
        // A whole package of the consumer's own: only what the policy names tells it from the
        // provider's.
        let own = make(&vec![b'!'; size], &key, &spec(), &consumer);
        let policy = Expected { metadata: Some(made.metadata.id()), ..Expected::default() };
        assert_eq!(refused_as(&own.bytes, &key, &policy, b"").name(), "unexpected");
    }
}

#[test]
fn a_damaged_list_of_hashes_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let made = make(&content(700_000), &key, &spec(), &signer);
    let end = made.bytes.len() - made.metadata.as_str().len() - 16;
    for at in [end - 1, end - 32, end - 3 * 32] {
        let mut bytes = made.bytes.clone();
        bytes[at] ^= 1;
        assert_eq!(refused(&bytes, &key, b"").name(), "resealed");
    }
}

#[test]
fn a_package_under_another_policys_digest_is_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let made = make(b"data", &key, &spec(), &signer);
    let expected = Expected { metadata: Some(Digest([0; 32])), ..Expected::default() };
    let error = refused_as(&made.bytes, &key, &expected, b"");
    assert!(matches!(error, PackageError::Unexpected { found, .. } if found == made.metadata.id()));
}

#[test]
fn metadata_that_break_a_rule_are_refused() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let made = make(b"data", &key, &spec(), &signer);
    type Change = fn(&mut PackageMetadata);
    let cases: [(&str, Change); 8] = [
        ("too-large", |body| body.size = CONTENT_BYTES_MAX),
        ("too-large", |body| body.size = u64::MAX),
        ("truncated", |body| body.size = 1 << 40),
        ("truncated", |body| body.size += 1),
        ("extended", |body| body.size -= 1),
        ("malformed", |body| body.media_type.clear()),
        ("malformed", |body| body.management = "x".repeat(2049)),
        ("reheaded", |body| body.key = KeyId([7; 16])),
    ];
    for (name, change) in cases {
        assert_eq!(refused(&resign(&made, &signer, change), &key, b"data").name(), name);
    }
    let end = made.bytes.len() - made.metadata.as_str().len() - 16;
    for text in [&b""[..], b"a.b.c", &[0xff; 100], &vec![b'a'; 300_000]] {
        let len = (text.len() as u32).to_be_bytes();
        let bytes = [&made.bytes[..end], text, &len, b"datapact-end"].concat();
        assert!(["metadata", "malformed"].contains(&refused(&bytes, &key, b"").name()));
    }
    let bytes = [&made.bytes[..], &[0xff; 4], b"datapact-end"].concat();
    assert_eq!(refused(&bytes, &key, b"").name(), "metadata");
    let bytes = [&made.bytes[..200], &10_000_u32.to_be_bytes(), b"datapact-end"].concat();
    assert_eq!(refused(&bytes, &key, b"").name(), "truncated");
}
