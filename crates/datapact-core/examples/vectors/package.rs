//! The packages of `docs/spec/package.md`.

use std::fs;

use datapact_core::document::{ANYBODY, PackageMetadata, UsageAction, UsageReport};
use datapact_core::id::{Digest, PackageId, ShareId};
use datapact_core::jws::Signer;
use datapact_core::package::{CONTENT_BYTES_MAX, DataKey, SealSpec};

use crate::format::{self, PackageVector, testdata};
use crate::support::packages::{
    FIRST_CHUNK, Made, SEALED_CHUNK, TIME, content, make, signer, spec,
};

/// Packages that open, and packages that are refused, each in one way.
pub(crate) fn write() {
    let mut maker = Maker { key: DataKey::from_bytes([0x42; 32]), vectors: Vec::new() };
    fs::write(testdata("package").join("key.txt"), maker.key.to_file().as_bytes()).unwrap();
    let other_key = DataKey::from_bytes([0x24; 32]);
    fs::write(testdata("package").join("other-key.txt"), other_key.to_file().as_bytes()).unwrap();
    let (provider, other) = (signer("provider"), signer("other"));

    for (name, size, comment) in [
        ("empty", 0, "no data: one empty chunk"),
        ("byte", 1, "one byte"),
        ("chunk", 16_384, "one whole chunk, and an empty one that ends it"),
        ("groups", 300_000, "two groups: the hashes part has two entries"),
    ] {
        let made = maker.seal(size, &provider);
        let vector = maker.add(name, comment, &made.bytes, size, None);
        vector.metadata = Some(made.metadata.id());
        vector.provider = Some("clinic:CN=provider".to_owned());
        vector.provider_key = Some(made.metadata.key_digest());
    }
    let mut offline = spec();
    (offline.management, offline.share) = (String::new(), Some(ShareId([3; 16])));
    let made = make(&content(100), &maker.key, &offline, &provider);
    maker.add("share", "no management, but a share", &made.bytes, 100, None);

    let small = maker.seal(100, &provider);
    let large = maker.seal(33_000, &provider);
    let groups = maker.seal(300_000, &provider);
    maker.ends(&small, &large);
    maker.metadata(&small, &provider, &other);
    maker.payload(&small, &large, &groups, &provider, &other, &other_key);
    format::write("package/index.json", &maker.vectors);
}

struct Maker {
    key: DataKey,
    vectors: Vec<PackageVector>,
}

impl Maker {
    fn seal(&self, size: usize, signer: &Signer) -> Made {
        make(&content(size), &self.key, &spec(), signer)
    }

    fn add(
        &mut self,
        name: &str,
        comment: &str,
        bytes: &[u8],
        size: usize,
        error: Option<&str>,
    ) -> &mut PackageVector {
        let file = format!("{name}.pkg");
        fs::write(testdata("package").join(&file), bytes).unwrap();
        self.vectors.push(PackageVector {
            file,
            comment: comment.to_owned(),
            key: "key.txt".to_owned(),
            metadata: None,
            provider: None,
            provider_key: None,
            error: error.map(str::to_owned),
            data: Digest::of(&content(size)),
            size: size as u64,
        });
        self.vectors.last_mut().unwrap()
    }

    /// Header, trailer and length.
    fn ends(&mut self, small: &Made, large: &Made) {
        let len = small.bytes.len();
        let mut bad = |name: &str, comment: &str, bytes: &[u8], error: &str| {
            self.add(name, comment, bytes, 100, Some(error));
        };
        bad("no-bytes", "nothing at all", b"", "not-a-package");
        bad("foreign", "some other file", b"PK\x03\x04 this is some other file", "not-a-package");
        let changed = |at: usize, to: u8| {
            let mut bytes = small.bytes.clone();
            bytes[at] = to;
            bytes
        };
        bad("version-2", "a later version", &changed(15, 2), "version");
        bad("header-cut", "cut within the header", &small.bytes[..60], "truncated");
        bad("payload-cut", "cut within the payload", &small.bytes[..200], "truncated");
        bad("trailer-cut", "without its last byte", &small.bytes[..len - 1], "truncated");
        bad(
            "byte-after",
            "one more byte after the trailer",
            &[&small.bytes[..], b"\0"].concat(),
            "extended",
        );
        bad("other-package-id", "another package id in the header", &changed(16, 0xff), "reheaded");
        bad("other-key-id", "another key id in the header", &changed(32, 0xff), "reheaded");
        bad(
            "other-provider-key",
            "another provider's key in the header",
            &changed(48, !small.bytes[48]),
            "reheaded",
        );
        let long = [&small.bytes[..len - 16], &[0x7f; 4], b"datapact-end"].concat();
        bad("metadata-too-long", "the trailer says that the metadata are 2 GiB", &long, "metadata");
        let past = [&small.bytes[..len - 16], &20_000_u32.to_be_bytes(), b"datapact-end"].concat();
        bad(
            "metadata-past-start",
            "the trailer says that the metadata start before the file",
            &past,
            "truncated",
        );

        let mut chunks = large.bytes.clone();
        let chunk: Vec<u8> = chunks.drain(FIRST_CHUNK..FIRST_CHUNK + SEALED_CHUNK).collect();
        self.add("chunk-cut", "its first chunk is missing", &chunks, 33_000, Some("truncated"));
        chunks = large.bytes.clone();
        chunks.splice(FIRST_CHUNK..FIRST_CHUNK, chunk);
        self.add(
            "chunk-twice",
            "its first chunk is there twice",
            &chunks,
            33_000,
            Some("extended"),
        );
    }

    /// Signed statements that are wrong.
    fn metadata(&mut self, small: &Made, provider: &Signer, other: &Signer) {
        let signed = |body: &dyn Fn(&mut PackageMetadata)| {
            let mut changed = small.metadata.body().clone();
            body(&mut changed);
            with_metadata(small, provider.sign(ANYBODY, TIME, changed).as_str())
        };
        let mut bad = |name: &str, comment: &str, bytes: &[u8], error: &str| {
            self.add(name, comment, bytes, 100, Some(error));
        };
        let body = || small.metadata.body().clone();
        let text = small.metadata.as_str();
        let mut forged = text.to_owned().into_bytes();
        let at = forged.len() - 20;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        bad(
            "signature",
            "a signature that does not fit",
            &with_metadata(small, &forged),
            "metadata",
        );
        bad(
            "no-signature",
            "metadata without a signature",
            &with_metadata(small, text.rsplit_once('.').unwrap().0),
            "metadata",
        );
        let usage = UsageReport {
            share: ShareId([3; 16]),
            request: Digest([4; 32]),
            action: UsageAction::Opened,
        };
        let usage = provider.sign(ANYBODY, TIME, usage);
        bad(
            "other-document",
            "another type of signed document",
            &with_metadata(small, usage.as_str()),
            "metadata",
        );
        let addressed = provider.sign("somebody", TIME, body());
        bad(
            "addressed",
            "metadata for one reader only",
            &with_metadata(small, addressed.as_str()),
            "metadata",
        );
        let stolen = other.sign(ANYBODY, TIME, body());
        bad(
            "stolen",
            "the provider's metadata signed by another user",
            &with_metadata(small, stolen.as_str()),
            "wrong-provider",
        );
        bad(
            "no-media-type",
            "an empty media type",
            &signed(&|body| body.media_type.clear()),
            "malformed",
        );
        bad(
            "too-large",
            "data of 2 TiB",
            &signed(&|body| body.size = CONTENT_BYTES_MAX),
            "too-large",
        );
        bad(
            "size-too-large",
            "one byte more than there is",
            &signed(&|body| body.size += 1),
            "truncated",
        );
        bad(
            "size-too-small",
            "one byte less than there is",
            &signed(&|body| body.size -= 1),
            "extended",
        );
        let mut binary = small.bytes[..small.bytes.len() - text.len() - 16].to_vec();
        binary.extend([0xff; 8]);
        binary.extend(8_u32.to_be_bytes());
        binary.extend(b"datapact-end");
        bad("not-text", "metadata that are not text", &binary, "malformed");
    }

    /// Payloads that are not the signed one, and readers who expect something else.
    fn payload(
        &mut self,
        small: &Made,
        large: &Made,
        groups: &Made,
        provider: &Signer,
        other: &Signer,
        other_key: &DataKey,
    ) {
        let tail = |made: &Made| made.bytes.len() - made.metadata.as_str().len() - 16;
        let mut bytes = large.bytes.clone();
        let (left, right) = bytes.split_at_mut(FIRST_CHUNK + SEALED_CHUNK);
        left[FIRST_CHUNK..].swap_with_slice(&mut right[..SEALED_CHUNK]);
        self.add("reordered", "chunks 0 and 1 exchanged", &bytes, 33_000, Some("reordered"));
        bytes = groups.bytes.clone();
        bytes[280_000] ^= 1;
        self.add(
            "altered",
            "one bit changed in the second group",
            &bytes,
            300_000,
            Some("altered"),
        );
        let foreign = SealSpec { package: PackageId([9; 16]), ..spec() };
        let foreign = make(&[b'!'; 100], &self.key, &foreign, provider);
        let swapped =
            [&small.bytes[..80], &foreign.bytes[80..tail(&foreign)], &small.bytes[tail(small)..]]
                .concat();
        self.add(
            "swapped",
            "the payload of another package under the same key",
            &swapped,
            100,
            Some("swapped"),
        );
        let forged = make(&[b'!'; 100], &self.key, &spec(), provider);
        let resealed = [&forged.bytes[..tail(&forged)], &small.bytes[tail(small)..]].concat();
        self.add(
            "resealed",
            "other data sealed by another holder of the key",
            &resealed,
            100,
            Some("resealed"),
        );
        let own = make(&[b'!'; 100], &self.key, &spec(), other);
        let comment = "a flawless package of another holder of the key; the policy names another";
        self.add("consumers-own", comment, &own.bytes, 100, Some("unexpected")).metadata =
            Some(small.metadata.id());
        self.add(
            "by-other",
            "a package of another provider",
            &own.bytes,
            100,
            Some("wrong-provider"),
        )
        .provider = Some("clinic:CN=provider".to_owned());
        self.add(
            "by-other-key",
            "a package signed with another key",
            &own.bytes,
            100,
            Some("wrong-provider"),
        )
        .provider_key = Some(small.metadata.key_digest());
        let other_keyed = make(&content(100), other_key, &spec(), provider);
        self.add(
            "wrong-key",
            "sealed with another key",
            &other_keyed.bytes,
            100,
            Some("wrong-key"),
        );
        self.add("other-key", "the same, with that key", &other_keyed.bytes, 100, None).key =
            "other-key.txt".to_owned();
    }
}

/// `made` with other metadata.
fn with_metadata(made: &Made, text: &str) -> Vec<u8> {
    let mut bytes = made.bytes[..made.bytes.len() - made.metadata.as_str().len() - 16].to_vec();
    bytes.extend(text.as_bytes());
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(b"datapact-end");
    bytes
}
