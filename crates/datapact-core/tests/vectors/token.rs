//! The access tokens of `docs/spec/access-token-and-key-release.md`.

use datapact_core::token::TokenError;

use crate::format::{TokenFile, read};

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
    let file: TokenFile = read("token/vectors.json");
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
