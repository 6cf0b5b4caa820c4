//! The access tokens of `docs/spec/access-token-and-key-release.md`.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaSigningAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use datapact_core::token::{Jwks, TokenKey};
use serde_json::{Value, json};

use crate::format::{self, TokenFile, TokenVector};
use crate::jws;
use crate::support::pki;

/// A key and the `kid` that its tokens claim.
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
        jws::sign(algorithm, &self.pkcs8, header, claims)
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

/// Tokens that verify, tokens that are refused, and the key to sign more with.
#[expect(clippy::too_many_lines, reason = "a flat table of cases")]
pub(crate) fn write() {
    let (pkcs8, other) = (pki::key().serialize_der(), pki::key().serialize_der());
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
    format::write("token/vectors.json", &file);
}
