//! The sealed keys of `docs/spec/access-token-and-key-release.md`.

use datapact_core::id::Digest;
use datapact_core::release::{Recipient, SealedKey, seal};

use crate::format::{self, ReleaseVector};

/// Sealed keys that open, and sealed keys that are refused.
pub(crate) fn write() {
    let private = Digest::of(b"a recipient of the vectors");
    let other = Digest::of(b"another recipient of the vectors");
    let public = |private: &Digest| Recipient::from_private(private.as_bytes()).unwrap().public();
    let (request, key) = (Digest::of(b"a key request"), Digest::of(b"a data encryption key"));
    let good = seal(key.as_bytes(), &public(&private), &request).unwrap();
    let foreign = seal(key.as_bytes(), &public(&other), &request).unwrap();
    let bytes = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut sealed = good.clone();
        change(&mut sealed.ciphertext);
        sealed
    };
    let point = |encapsulated: Digest| SealedKey { encapsulated, ..good.clone() };
    let short = raw_seal(&key.as_bytes()[..31], &public(&private), &request, &[]);
    let long =
        raw_seal(&[key.as_bytes().as_slice(), &[0]].concat(), &public(&private), &request, &[]);
    let aad = raw_seal(key.as_bytes(), &public(&private), &request, b"aad");
    let mut altered = good.encapsulated;
    altered.0[5] ^= 1;
    let cases = vec![
        ("as it should be", "ok", private, request, good.clone()),
        ("for another recipient, opened by it", "ok", other, request, foreign.clone()),
        ("for another recipient", "open", private, request, foreign),
        (
            "for another key request",
            "open",
            private,
            Digest::of(b"another key request"),
            good.clone(),
        ),
        (
            "with one bit of the key's ciphertext flipped",
            "open",
            private,
            request,
            bytes(&|c| c[3] ^= 1),
        ),
        ("with one bit of the tag flipped", "open", private, request, bytes(&|c| c[47] ^= 128)),
        ("cut by one byte", "open", private, request, bytes(&|c| c.truncate(47))),
        ("longer by one byte", "open", private, request, bytes(&|c| c.push(0))),
        ("shorter than a tag", "open", private, request, bytes(&|c| c.truncate(15))),
        ("empty", "open", private, request, bytes(&Vec::clear)),
        ("with an altered encapsulated key", "open", private, request, point(altered)),
        (
            "with an encapsulated key of small order",
            "open",
            private,
            request,
            point(Digest([0; 32])),
        ),
        ("a key of 31 bytes", "open", private, request, short),
        ("a key of 33 bytes", "open", private, request, long),
        ("with additional data", "open", private, request, aad),
    ];
    let vectors: Vec<ReleaseVector> = cases
        .into_iter()
        .map(|(name, expect, private, key_request, sealed)| ReleaseVector {
            name: name.to_owned(),
            expect: expect.to_owned(),
            private,
            recipient: public(&private),
            key_request,
            digest: sealed.digest(),
            sealed,
            key: (expect == "ok").then_some(key),
        })
        .collect();
    format::write("release/vectors.json", &vectors);
}

fn raw_seal(plain: &[u8], recipient: &Digest, info: &Digest, aad: &[u8]) -> SealedKey {
    use hpke::{Deserializable as _, Serializable as _};
    type Kem = hpke::kem::X25519HkdfSha256;
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(recipient.as_bytes()).unwrap();
    let sealed = hpke::single_shot_seal::<hpke::aead::AesGcm256, hpke::kdf::HkdfSha256, Kem>(
        &hpke::OpModeS::Base,
        &public,
        info.as_bytes(),
        plain,
        aad,
    );
    let (encapsulated, ciphertext) = sealed.unwrap();
    SealedKey {
        encapsulated: Digest(encapsulated.to_bytes().as_slice().try_into().unwrap()),
        ciphertext,
    }
}
