//! Identifiers and digests: fixed-length byte strings, written as lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Why a hexadecimal identifier was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {digits} lower-case hexadecimal digits")]
pub struct ParseIdError {
    what: &'static str,
    digits: usize,
}

macro_rules! hex_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Calls `use_digits` with the digits, without an allocation: servers write many ids in
            /// each call.
            fn with_digits<T>(&self, use_digits: impl FnOnce(&str) -> T) -> T {
                let mut digits = [0; $len * 2];
                hex::encode_to_slice(self.0, &mut digits).expect("two digits fit for each byte");
                use_digits(std::str::from_utf8(&digits).expect("digits are ASCII"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.with_digits(|digits| f.write_str(digits))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let refused = ParseIdError { what: $what, digits: $len * 2 };
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(refused);
                }
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| refused)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.with_digits(|digits| serializer.serialize_str(digits))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

macro_rules! debug {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        })*
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        hex_type!($(#[$doc])* $name, 16, $what);

        impl $name {
            /// A fresh identifier from the operating system's random source.
            pub fn random() -> Self {
                Self(random())
            }
        }
    };
}

hex_type!(
    /// A SHA-256 digest (FIPS 180-4).
    Digest, 32, "a digest"
);
hex_type!(
    /// A salted commitment to an identity: without its salt it says nothing about a person (PR-1).
    Commitment, 32, "a commitment"
);
hex_type!(
    /// The salt of a [`Commitment`]. With it, a guess whose commitment it is can be checked.
    Salt, 32, "a salt"
);
random_id!(
    /// A share: one dataset under one line of policy versions.
    ShareId, "a share id"
);
random_id!(
    /// A data-sharing package (WR-3).
    PackageId, "a package id"
);
random_id!(
    /// A data encryption key at a key server (WR-2).
    KeyId, "a key id"
);
random_id!(
    /// A user's account; never reused.
    AccountId, "an account id"
);

random_id!(
    /// A subscription that management keeps (MG-15).
    SubscriptionId, "a subscription id"
);

debug!(Digest, Commitment, ShareId, PackageId, KeyId, AccountId, SubscriptionId);

impl fmt::Debug for Salt {
    /// Leaves out the bytes: in a log they would link a person to the ledger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest
            .copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Self(digest)
    }
}

impl Salt {
    /// A fresh salt from the operating system's random source.
    pub fn random() -> Self {
        Self(random())
    }
}

/// `N` bytes from the operating system's random source.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

/// A moment: whole seconds since 1970-01-01T00:00:00Z.
pub type Timestamp = u64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn identifiers_are_lower_case_hexadecimal() {
        let text = "00112233445566778899aabbccddeeff";
        let id: ShareId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(
            serde_json::from_str::<ShareId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
        for bad in [
            "",
            "00",
            &text.to_uppercase(),
            &text[1..],
            &format!("{text}0"),
            &text.replace('f', "g"),
        ] {
            assert!(bad.parse::<ShareId>().is_err(), "`{bad}` was accepted");
        }
        assert!(serde_json::from_str::<ShareId>("7").is_err());
        let error = "0".parse::<Digest>().unwrap_err();
        assert_eq!(error.to_string(), "a digest must be 64 lower-case hexadecimal digits");
    }

    #[test]
    fn digests_are_sha_256() {
        // FIPS 180-4's example.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), expected);
    }

    #[test]
    fn pr_1_a_salt_does_not_get_into_a_log() {
        let salt = Salt([0xab; 32]);
        assert!(!format!("{salt:?}").contains("ab"));
    }

    #[test]
    fn random_identifiers_differ() {
        assert_ne!(ShareId::random(), ShareId::random());
    }
}
