//! The sealed keys of `docs/spec/access-token-and-key-release.md`.

use datapact_core::id::Digest;
use datapact_core::release::{Recipient, ReleaseError, seal};

use crate::format::{ReleaseVector, read};

#[test]
fn ax_14_released_keys_open_as_the_vectors_say() {
    let vectors: Vec<ReleaseVector> = read("release/vectors.json");
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
