//! Whatever is read, reading ends in a value or a refusal, never in a panic, and what was read is
//! written back alike.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use datapact_core::contract::{Call, Outcome, Value, decide, keys};
use datapact_core::document::{
    AccessRequest, KeyRelease, KeyRequest, PackageMetadata, Statement, UsageReport,
};
use datapact_core::id::{Commitment, Digest, KeyId, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::package::{DataKey, PackageReader};
use datapact_core::policy::SharingPolicy;
use datapact_core::release::{Recipient, SealedKey, seal};
use datapact_core::terms::{Country, Industry, Name, Terms};
use datapact_core::token::Jwks;
use datapact_core::trust::{public_key, server_name, subject};
use proptest::prelude::*;

/// Text that comes close to what is expected, more often than random bytes do.
fn near() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[A-Za-z0-9_.=-]{0,200}",
        r#"\{("[a-z_]{1,12}":("[a-z0-9:]{0,70}"|[0-9]{1,20}|\[\]|\{\}|null|true),?){0,6}\}"#,
        "[a-z0-9.-]{0,10}:[ -~]{0,30}",
        "(isic4|nace2|isic5):[A-Z0-9.]{0,6}",
        "[0-9a-fA-F]{30,70}",
    ]
}

fn documents(text: &str) {
    let _ = Signed::<SharingPolicy>::parse(text);
    let _ = Signed::<AccessRequest>::parse(text);
    let _ = Signed::<KeyRequest>::parse(text);
    let _ = Signed::<KeyRelease>::parse(text);
    let _ = Signed::<PackageMetadata>::parse(text);
    let _ = Signed::<UsageReport>::parse(text);
    let _ = Signed::<Statement>::parse(text);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in near()) {
        documents(&text);
        prop_assert!(Jwks::default().verify(&text, "m", "k", 0, 0).is_err());
        let _ = serde_json::from_str::<Call>(&text);
        let _ = serde_json::from_str::<Value>(&text);
        let _ = serde_json::from_str::<Outcome>(&text);
        let _ = serde_json::from_str::<Terms>(&text);
        let _ = serde_json::from_str::<SealedKey>(&text);
        let _ = serde_json::from_str::<Jwks>(&text);
        macro_rules! written_back {
            ($($type:ty),*) => {
                $(if let Ok(read) = text.parse::<$type>() {
                    prop_assert_eq!(read.to_string(), text.clone());
                })*
            };
        }
        written_back!(Identity, Country, Industry, Name, Digest, Commitment, ShareId, KeyId);
    }

    #[test]
    fn any_jws_of_plausible_parts_is_refused(
        header in any::<Vec<u8>>(),
        payload in any::<Vec<u8>>(),
        rest in any::<[u8; 64]>(),
    ) {
        use base64::Engine as _;
        let part = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        documents(&format!("{}.{}.{}", part(&header), part(&payload), part(&rest)));
    }

    #[test]
    fn any_bytes_are_no_certificate_key_or_package(bytes in any::<Vec<u8>>()) {
        let certificate = bytes.clone().into();
        prop_assert!(public_key(&certificate).is_err());
        prop_assert!(subject(&certificate).is_err());
        prop_assert!(server_name(&certificate).is_err());
        prop_assert!(DataKey::from_file(&bytes).is_err());
        prop_assert!(PackageReader::open(bytes).is_err());
    }

    #[test]
    fn ax_14_any_sealed_key_but_the_right_one_stays_closed(
        key in any::<[u8; 32]>(), request in any::<[u8; 32]>(), at in 0_usize..48, bit in 0_u8..8,
    ) {
        let (recipient, request) = (Recipient::generate(), Digest(request));
        let mut sealed = seal(&key, &recipient.public(), &request).unwrap();
        prop_assert_eq!(*recipient.open(&request, &sealed).unwrap(), key);
        prop_assert!(Recipient::generate().open(&request, &sealed).is_err());
        prop_assert!(recipient.open(&Digest::of(request.as_bytes()), &sealed).is_err());
        if let Some(byte) = sealed.ciphertext.get_mut(at) {
            *byte ^= 1 << bit;
        }
        prop_assert!(recipient.open(&request, &sealed).is_err());
    }

    #[test]
    fn a_call_without_state_touches_nothing(
        share in any::<[u8; 16]>(),
        request in any::<[u8; 32]>(),
        time in any::<u64>(),
    ) {
        let share = ShareId(share);
        let call = serde_json::json!({
            "call": "request-access", "share": share,
            "policy": Digest(request), "request": Digest(request),
            "consumer": Commitment(request),
        });
        let call: Call = serde_json::from_value(call).unwrap();
        prop_assert!(keys(&call).iter().all(|key| key.contains('/')));
        prop_assert!(decide(&call, &Default::default(), time).is_err());
    }
}
