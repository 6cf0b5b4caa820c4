//! What is sealed opens, as a whole and by ranges.

use std::io::{self, Cursor, Write};
use std::sync::Mutex;

use datapact_core::package::{
    DataKey, Expected, GROUP_MIN, HEADER_BYTES, PackageError, PackageReader, ReadAt, SealSpec, seal,
};

use crate::support::packages::{FIRST_CHUNK, TIME, content, make, signer, spec, unwrap};
use crate::tamper::refused;

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
    let (mut bytes, mut reported) = (Vec::new(), Vec::new());
    seal(&mut &plaintext[..], &mut bytes, &key, &spec(), &signer, TIME, &mut |done| {
        reported.push(done)
    })
    .unwrap();
    assert!(reported.is_sorted() && reported.len() > 3 && reported.last() == Some(&2_000_000));
    reported.clear();
    let package = PackageReader::open(bytes).unwrap().unlock(&key, &Expected::default()).unwrap();
    package.decrypt_to(&mut io::sink(), &mut |done| reported.push(done)).unwrap();
    assert!(reported.is_sorted() && reported.len() > 3 && reported.last() == Some(&2_000_000));
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
