//! Sealing and opening packages, and every way to tamper with one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{self, Cursor, Write};
use std::sync::Mutex;

use datapact_core::document::{ANYBODY, PackageMetadata};
use datapact_core::id::{Digest, KeyId, PackageId};
use datapact_core::package::{
    CONTENT_BYTES_MAX, DataKey, Expected, GROUP_MIN, HEADER_BYTES, PackageError, PackageReader,
    ReadAt, SealSpec, seal,
};
use proptest::prelude::*;
use support::packages::{FIRST_CHUNK, SEALED_CHUNK, TIME, content, make, signer, spec, unwrap};

const SIZES: [usize; 12] = [
    0,
    1,
    16_383,
    16_384,
    16_385,
    32_768,
    GROUP_MIN as usize - 136 - 16 * 16, // Header and payload fill one group.
    GROUP_MIN as usize,
    400_000,
    786_432,
    3 * 16 * 16_384,
    2_000_003,
];

fn refused(bytes: &[u8], key: &DataKey, plaintext: &[u8]) -> PackageError {
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
fn uw_5_what_was_sealed_is_opened() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    for size in SIZES {
        let plaintext = content(size);
        let made = make(&plaintext, &key, &spec(), &signer);
        let (out, result) = unwrap(&made.bytes, &key, &Expected::default());
        result.unwrap();
        assert!(out == plaintext, "{size}");
        assert_eq!(made.metadata.body().size, size as u64);
        let content_len = FIRST_CHUNK + size + 16 * (size / 16_384 + 1);
        let root = blake3::hash(&made.bytes[..content_len]);
        assert_eq!(&made.metadata.body().root.0, root.as_bytes(), "the root is the plain hash");
    }
}

#[test]
fn wr_5_metadata_name_package_and_provider_and_are_signed() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let made = make(b"x", &key, &spec(), &signer);
    let reader = PackageReader::open(made.bytes.as_slice()).unwrap();
    let said = reader.inspect();
    assert_eq!((said.package, said.key), (spec().package, spec().key));
    assert_eq!(&said.provider, signer.identity());
    assert_eq!(said.provider_key, reader.metadata().key_digest());
    assert_eq!((said.size, said.package_size), (1, made.bytes.len() as u64));
    assert_eq!(said.metadata, made.metadata.id());
    let mut bytes = made.bytes.clone();
    let signature = bytes.len() - 16 - 40;
    bytes[signature] = if bytes[signature] == b'A' { b'B' } else { b'A' };
    assert_eq!(refused(&bytes, &key, b"x").name(), "metadata");
}

#[test]
fn wr_1_the_same_data_never_seal_alike() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let one = make(&content(100), &key, &spec(), &signer);
    let two = make(&content(100), &key, &spec(), &signer);
    assert_ne!(
        one.bytes[HEADER_BYTES..FIRST_CHUNK + 100],
        two.bytes[HEADER_BYTES..FIRST_CHUNK + 100]
    );
    assert_ne!(one.metadata.id(), two.metadata.id());
}

#[test]
fn uw_6_any_range_can_be_read() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(1_000_000);
    let made = make(&plaintext, &key, &spec(), &signer);
    let source = Mutex::new(Cursor::new(made.bytes));
    let package = PackageReader::open(source).unwrap().unlock(&key, &Expected::default()).unwrap();
    assert_eq!(package.size(), 1_000_000);
    for (offset, len) in [
        (0, 1),
        (0, 0),
        (16_383, 2),
        (262_000, 1_000),
        (262_008, 140_000),
        (999_999, 1),
        (999_999, 50),
        (0, 2_000_000),
        (1_000_000, 10),
        (u64::MAX, 10),
    ] {
        let mut buffer = vec![0xee; len];
        let read = package.read_at(offset, &mut buffer).unwrap();
        let start = plaintext.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let expected = &plaintext[start..plaintext.len().min(start + len)];
        assert!(buffer[..read] == *expected, "{offset} {len}");
        assert!(buffer[read..].iter().all(|&byte| byte == 0xee));
    }
}

#[test]
fn uw_6_a_range_is_given_out_only_if_its_groups_verify() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(1_000_000);
    let mut bytes = make(&plaintext, &key, &spec(), &signer).bytes;
    bytes[600_000] ^= 1;
    let package =
        PackageReader::open(bytes.as_slice()).unwrap().unlock(&key, &Expected::default()).unwrap();
    let mut buffer = vec![0; 100];
    package.read_at(10, &mut buffer).unwrap();
    assert!(buffer[..] == plaintext[10..110]);
    let error = package.read_at(580_000, &mut buffer).unwrap_err();
    assert!(
        matches!(error, PackageError::Altered { offset: 524_288, group_bytes: 262_144 }),
        "{error}"
    );
    assert!(buffer[..] == plaintext[10..110], "the buffer was written");
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
        // Other data under the provider's header, which the provider's own signer stands in for,
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

#[test]
fn a_spec_out_of_bounds_is_refused_before_anything_is_written() {
    let mut out = Vec::new();
    let spec = SealSpec { media_type: String::new(), ..spec() };
    let error =
        seal(&mut &b"x"[..], &mut out, &DataKey::random(), &spec, &signer("p"), TIME, &mut |_| {});
    assert_eq!(error.unwrap_err().name(), "malformed");
    assert!(out.is_empty());
}

#[test]
fn progress_reaches_the_end_and_never_goes_back() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(2_000_000);
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    seal(&mut &plaintext[..], &mut bytes, &key, &spec(), &signer, TIME, &mut |done| {
        told.push(done)
    })
    .unwrap();
    assert!(told.is_sorted() && told.len() > 3 && told.last() == Some(&2_000_000));
    told.clear();
    let package = PackageReader::open(bytes).unwrap().unlock(&key, &Expected::default()).unwrap();
    package.decrypt_to(&mut io::sink(), &mut |done| told.push(done)).unwrap();
    assert!(told.is_sorted() && told.len() > 3 && told.last() == Some(&2_000_000));
}

/// An output that breaks after some bytes.
struct Breaking(usize);

impl Write for Breaking {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.0 < buffer.len() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0 -= buffer.len();
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_broken_output_or_source_is_an_error() {
    let (key, signer) = (DataKey::random(), signer("provider"));
    let plaintext = content(4_000_000);
    for room in [0, 1_000_000, 3_999_999] {
        let made = seal(
            &mut &plaintext[..],
            &mut Breaking(room),
            &key,
            &spec(),
            &signer,
            TIME,
            &mut |_| {},
        );
        assert!(matches!(made, Err(PackageError::Write(_))), "{room}");
        let bytes = make(&plaintext, &key, &spec(), &signer).bytes;
        let package =
            PackageReader::open(bytes).unwrap().unlock(&key, &Expected::default()).unwrap();
        let opened = package.decrypt_to(&mut Breaking(room), &mut |_| {});
        assert!(matches!(opened, Err(PackageError::Write(_))), "{room}");
    }

    struct Bad;
    impl io::Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    impl ReadAt for Bad {
        fn len(&self) -> io::Result<u64> {
            Ok(1000)
        }
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let made = seal(&mut Bad, &mut io::sink(), &key, &spec(), &signer, TIME, &mut |_| {});
    assert!(matches!(made, Err(PackageError::Read(_))));
    assert!(matches!(PackageReader::open(Bad).err(), Some(PackageError::Read(_))));
}

/// A small package and one of several groups, made once.
fn samples() -> &'static [(Vec<u8>, Vec<u8>)] {
    static SAMPLES: std::sync::OnceLock<Vec<(Vec<u8>, Vec<u8>)>> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(|| {
        [700, 600_000]
            .map(|size| {
                let plaintext = content(size);
                let made =
                    make(&plaintext, &DataKey::from_bytes([5; 32]), &spec(), &signer("provider"));
                (plaintext, made.bytes)
            })
            .to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_changed_byte_is_noticed(which in 0..2_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (plaintext, bytes) = &samples()[which];
        let mut bytes = bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        refused(&bytes, &DataKey::from_bytes([5; 32]), plaintext);
    }

    #[test]
    fn any_truncation_is_noticed(which in 0..2_usize, keep in any::<prop::sample::Index>()) {
        let (plaintext, bytes) = &samples()[which];
        refused(&bytes[..keep.index(bytes.len())], &DataKey::from_bytes([5; 32]), plaintext);
    }

    #[test]
    fn any_overwritten_stretch_is_noticed(
        which in 0..2_usize,
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        len in 1..20_000_usize,
    ) {
        let (plaintext, good) = &samples()[which];
        let mut bytes = good.clone();
        let (from, to) = (from.index(good.len()), to.index(good.len()));
        let len = len.min(good.len() - from).min(good.len() - to);
        bytes.copy_within(from..from + len, to);
        if &bytes != good {
            refused(&bytes, &DataKey::from_bytes([5; 32]), plaintext);
        }
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut with_ends = b"datapact-pkg\0\0\0\x01".to_vec();
        with_ends.extend(&bytes);
        with_ends.extend(b"datapact-end");
        refused(&bytes, &DataKey::random(), b"");
        refused(&with_ends, &DataKey::random(), b"");
    }
}
