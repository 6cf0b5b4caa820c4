//! Commitments: how the ledger names a person without identifying one (PR-1).

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::id::{Commitment, Salt, ShareId};
use crate::identity::Identity;

/// What opens a commitment: with it, one can check whose the commitment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The person or server committed to.
    pub identity: Identity,
    /// The salt, one per share and identity.
    pub salt: Salt,
}

impl Opening {
    /// The commitment for `share`: HMAC-SHA-256 keyed by the salt, over the 16 bytes of the share
    /// id, the realm, a colon and the subject. A realm has no colon, so the two parts cannot be
    /// confused.
    pub fn commitment(&self, share: &ShareId) -> Commitment {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.salt.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(share.as_bytes());
        context.update(self.identity.realm.as_bytes());
        context.update(b":");
        context.update(self.identity.subject.as_bytes());
        let mut commitment = [0; 32];
        commitment.copy_from_slice(context.sign().as_ref());
        Commitment(commitment)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        share: ShareId,
        opening: Opening,
        commitment: Commitment,
    }

    #[test]
    fn pr_1_commitments_are_as_the_vectors_say() {
        let file: File =
            serde_json::from_str(include_str!("../../../testdata/commitment.json")).unwrap();
        assert!(file.vectors.len() >= 6);
        for vector in file.vectors {
            vector.opening.identity.validate().unwrap();
            assert_eq!(
                vector.opening.commitment(&vector.share),
                vector.commitment,
                "{}",
                vector.name
            );
        }
    }
}
