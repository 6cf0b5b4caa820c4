//! The vectors of `docs/spec/access-token-and-key-release.md`: tokens to verify and sealed keys to
//! open, most of them to be refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use datapact_core::id::Digest;
use datapact_core::release::{Recipient, ReleaseError, SealedKey, seal};
use datapact_core::token::{AccessToken, Jwks, TokenError, TokenKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const TOKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/token/vectors.json");
const RELEASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/release/vectors.json");

#[derive(Serialize, Deserialize)]
struct TokenFile {
    /// What management publishes.
    jwks: Jwks,
    /// The private key behind it (PKCS#8, base64), for whoever writes more vectors.
    pkcs8: String,
    vectors: Vec<TokenVector>,
}

#[derive(Serialize, Deserialize)]
struct TokenVector {
    name: String,
    /// `ok`, or why the token is refused.
    expect: String,
    token: String,
    issuer: String,
    audience: String,
    now: u64,
    skew: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims: Option<AccessToken>,
}

fn token_rule(error: &TokenError) -> &'static str {
    match error {
        TokenError::Malformed(_) => "malformed",
        TokenError::Algorithm => "algorithm",
        TokenError::UnknownKey => "unknown-key",
        TokenError::Signature => "signature",
        TokenError::Audience => "audience",
        TokenError::Expired => "expired",
        TokenError::NotYet => "not-yet",
    }
}

#[test]
fn ax_13_tokens_verify_as_the_vectors_say() {
    let file: TokenFile = serde_json::from_slice(&std::fs::read(TOKEN).unwrap()).unwrap();
    let refused = file.vectors.iter().filter(|vector| vector.expect != "ok").count();
    assert!(file.vectors.len() >= 30 && refused >= 25, "{refused} of {}", file.vectors.len());
    for vector in file.vectors {
        let verified = file.jwks.verify(
            &vector.token,
            &vector.issuer,
            &vector.audience,
            vector.now,
            vector.skew,
        );
        match &verified {
            Ok(_) => assert_eq!(vector.expect, "ok", "{}", vector.name),
            Err(error) => assert_eq!(vector.expect, token_rule(error), "{}: {error}", vector.name),
        }
        assert_eq!(verified.ok(), vector.claims, "{}", vector.name);
    }
}

#[derive(Serialize, Deserialize)]
struct ReleaseVector {
    name: String,
    /// `ok`, or why the sealed key is refused.
    expect: String,
    /// The recipient's X25519 private key.
    private: Digest,
    /// The public key that belongs to it, as the key request carries it.
    recipient: Digest,
    /// The key request's document id, HPKE's `info`.
    key_request: Digest,
    sealed: SealedKey,
    /// What a key release says of it.
    digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Digest>,
}

#[test]
fn ax_14_released_keys_open_as_the_vectors_say() {
    let vectors: Vec<ReleaseVector> =
        serde_json::from_slice(&std::fs::read(RELEASE).unwrap()).unwrap();
    assert!(
        vectors.len() >= 12 && vectors.iter().filter(|vector| vector.expect != "ok").count() >= 10
    );
    for vector in vectors {
        let recipient = Recipient::from_private(vector.private.as_bytes()).unwrap();
        assert_eq!(recipient.public(), vector.recipient, "{}", vector.name);
        assert_eq!(vector.sealed.digest(), vector.digest, "{}", vector.name);
        match recipient.open(&vector.key_request, &vector.sealed) {
            Ok(key) => {
                assert_eq!(vector.expect, "ok", "{}", vector.name);
                assert_eq!(Some(Digest(*key)), vector.key, "{}", vector.name);
            }
            Err(error) => {
                assert_eq!(
                    (vector.expect.as_str(), error),
                    ("open", ReleaseError::Open),
                    "{}",
                    vector.name
                );
                assert_eq!(vector.key, None, "{}", vector.name);
            }
        }
    }
}

#[test]
fn what_is_sealed_opens_for_its_request_only() {
    let (recipient, request, key) = (Recipient::generate(), Digest([1; 32]), [7; 32]);
    let sealed = seal(&key, &recipient.public(), &request).unwrap();
    assert_eq!(*recipient.open(&request, &sealed).unwrap(), key);
    assert_ne!(seal(&key, &recipient.public(), &request).unwrap(), sealed, "each seal is fresh");
    assert_eq!(recipient.open(&Digest([2; 32]), &sealed).unwrap_err(), ReleaseError::Open);
    assert_eq!(Recipient::generate().open(&request, &sealed).unwrap_err(), ReleaseError::Open);
    assert_eq!(seal(&key, &Digest([0; 32]), &request).unwrap_err(), ReleaseError::Recipient);
}

/// Signs anything as a JWS, right or wrong.
struct Forge {
    pkcs8: Vec<u8>,
    kid: String,
}

impl Forge {
    fn sign_with(
        &self,
        algorithm: &'static EcdsaSigningAlgorithm,
        header: &str,
        claims: &str,
    ) -> String {
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &self.pkcs8).unwrap();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn sign(&self, header: Value, claims: &Value) -> String {
        self.sign_with(&ECDSA_P256_SHA256_FIXED_SIGNING, &header.to_string(), &claims.to_string())
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.kid })
    }
}

fn with(value: &Value, changes: Value) -> Value {
    let mut value = value.clone();
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => value.as_object_mut().unwrap().remove(name),
            change => value.as_object_mut().unwrap().insert(name.clone(), change.clone()),
        };
    }
    value
}

#[test]
#[ignore = "writes the vectors anew; run it only when the format changes"]
fn write_token_vectors() {
    let pkcs8 =
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_der();
    let other =
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_der();
    let key = TokenKey::new(&pkcs8).unwrap();
    let forge = Forge { pkcs8: pkcs8.clone(), kid: key.jwk().kid.clone() };
    let stranger = Forge { pkcs8: other.clone(), kid: key.jwk().kid.clone() };
    let now = 1_800_000_000_u64;
    let id = |byte: u8| hex::encode([byte; 16]);
    let digest = |byte: u8| hex::encode([byte; 32]);
    let claims = json!({
        "iss": "management.example", "sub": id(1), "aud": "keys.example", "client_id": id(1),
        "iat": now, "exp": now + 300, "jti": digest(2),
        "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode([3; 32]) },
        "share": id(4), "key": id(5), "package": id(6),
        "contract": format!("datapact:management.example/ledger/{}", id(4)),
        "request": digest(7), "position": 8, "salt": digest(9),
    });
    let header = forge.header();
    let good = forge.sign(header.clone(), &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[40] ^= 1;
    let doubled = claims.to_string().replacen('{', r#"{"aud":"keys.example","#, 1);
    let claimed = |changes| forge.sign(header.clone(), &with(&claims, changes));
    let headed = |changes| forge.sign(with(&header, changes), &claims);
    let raw = |algorithm, header: &str, claims: &str| forge.sign_with(algorithm, header, claims);
    let fixed = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let cases: Vec<(&str, &str, String, u64)> = vec![
        ("as it should be", "ok", good.clone(), now),
        ("in its last second", "ok", good.clone(), now + 299),
        ("management's clock is ahead by the skew", "ok", good.clone(), now - 60),
        ("of the longest life", "ok", claimed(json!({ "exp": now + 600 })), now),
        ("management's clock is ahead by more", "not-yet", good.clone(), now - 61),
        ("at its end", "expired", good.clone(), now + 300),
        ("long after", "expired", good.clone(), u64::MAX),
        ("with a longer life than allowed", "expired", claimed(json!({ "exp": now + 601 })), now),
        ("ending before it begins", "expired", claimed(json!({ "exp": now - 1 })), now),
        ("of another issuer", "audience", claimed(json!({ "iss": "other.example" })), now),
        ("for another key server", "audience", claimed(json!({ "aud": "other.example" })), now),
        ("for a list of audiences", "malformed", claimed(json!({ "aud": ["keys.example"] })), now),
        (
            "unsigned (alg none)",
            "algorithm",
            format!(
                "{}.{}.",
                URL_SAFE_NO_PAD.encode(with(&header, json!({ "alg": "none" })).to_string()),
                parts[1]
            ),
            now,
        ),
        ("alg in another case", "algorithm", headed(json!({ "alg": "es256" })), now),
        ("alg HS256", "algorithm", headed(json!({ "alg": "HS256" })), now),
        ("typ JWT", "algorithm", headed(json!({ "typ": "JWT" })), now),
        (
            "typ application/at+jwt",
            "algorithm",
            headed(json!({ "typ": "application/at+jwt" })),
            now,
        ),
        ("without kid", "malformed", headed(json!({ "kid": null })), now),
        ("with a critical extension", "malformed", headed(json!({ "crit": ["exp"] })), now),
        ("with a key of its own", "malformed", headed(json!({ "jwk": key.jwk() })), now),
        ("of a key that is not published", "unknown-key", headed(json!({ "kid": "x" })), now),
        (
            "of a stranger under a published kid",
            "signature",
            stranger.sign(header.clone(), &claims),
            now,
        ),
        (
            "with one bit of the signature flipped",
            "signature",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(flipped)),
            now,
        ),
        ("with an empty signature", "signature", format!("{signed}."), now),
        (
            "with a DER signature",
            "signature",
            raw(&ECDSA_P256_SHA256_ASN1_SIGNING, &header.to_string(), &claims.to_string()),
            now,
        ),
        (
            "with another token's signature",
            "signature",
            format!(
                "{}.{signature}",
                claimed(json!({ "position": 9 })).rsplit_once('.').unwrap().0
            ),
            now,
        ),
        ("in two parts", "malformed", signed.to_owned(), now),
        ("in four parts", "malformed", format!("{good}.{signature}"), now),
        ("with padding", "malformed", format!("{good}=="), now),
        ("in standard base64", "malformed", format!("{signed}.+/{}", &signature[2..]), now),
        ("empty", "malformed", String::new(), now),
        (
            "with claims that are no JSON",
            "malformed",
            raw(fixed, &header.to_string(), "claims"),
            now,
        ),
        ("with a claim twice", "malformed", raw(fixed, &header.to_string(), &doubled), now),
        ("with an unknown claim", "malformed", claimed(json!({ "scope": "all" })), now),
        ("without a confirmation", "malformed", claimed(json!({ "cnf": null })), now),
        (
            "confirmed by a key instead of a certificate",
            "malformed",
            claimed(json!({ "cnf": { "jkt": "x" } })),
            now,
        ),
        ("without a salt", "malformed", claimed(json!({ "salt": null })), now),
        (
            "with a share id in upper case",
            "malformed",
            claimed(json!({ "share": "AB".repeat(16) })),
            now,
        ),
        (
            "with a time that is a fraction",
            "malformed",
            claimed(json!({ "exp": 1_800_000_300.5 })),
            now,
        ),
        ("with a negative position", "malformed", claimed(json!({ "position": -1 })), now),
    ];
    let vectors = cases.into_iter().map(|(name, expect, token, at)| {
        let claims = (expect == "ok").then(|| {
            serde_json::from_slice(
                &URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap(),
            )
            .unwrap()
        });
        let (issuer, audience) = ("management.example".to_owned(), "keys.example".to_owned());
        TokenVector {
            name: name.to_owned(),
            expect: expect.to_owned(),
            token,
            issuer,
            audience,
            now: at,
            skew: 60,
            claims,
        }
    });
    let jwks = Jwks { keys: vec![key.jwk().clone()] };
    let file = TokenFile { jwks, pkcs8: STANDARD.encode(&pkcs8), vectors: vectors.collect() };
    std::fs::write(TOKEN, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
}

#[test]
#[ignore = "writes the vectors anew; run it only when the format changes"]
fn write_release_vectors() {
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
    std::fs::write(RELEASE, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
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
