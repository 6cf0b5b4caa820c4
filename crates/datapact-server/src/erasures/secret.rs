//! A secret of its own for each person and each key, by which backups are erased
//! (crypto-shredding): a backup holds what names a person, and each key, encrypted under it.
//! Backups do not hold the secrets; an erasure deletes them.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use datapact_core::id::{Digest, KeyId, random};
use datapact_store::{Db, StoreError, Tx, Value, text};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Whose a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Subject {
    /// A user, by the mark in the server's database.
    User(Digest),
    /// A key.
    Key(KeyId),
}

/// The subject as the database and files name it.
impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(mark) => write!(f, "user:{mark}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

/// A secret. Backups name it by its number, which tells nothing of its subject.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) number: String,
    pub(crate) bytes: Zeroizing<[u8; 32]>,
}

/// Secrets by their subjects' texts.
pub(crate) type Secrets = BTreeMap<String, Secret>;

/// A secret as a row, and in the file that is kept apart from backups.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretRow {
    pub(crate) subject: String,
    pub(crate) number: String,
    pub(crate) secret: Zeroizing<String>,
}

impl SecretRow {
    pub(crate) fn secret(&self) -> Option<Secret> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(self.secret.as_str(), bytes.as_mut_slice()).ok()?;
        Some(Secret { number: self.number.clone(), bytes })
    }
}

/// All secrets.
pub(crate) fn rows(db: &Db) -> Result<Vec<SecretRow>, StoreError> {
    let rows = db.rows("SELECT subject, number, secret FROM backup_secret", [])?;
    let read = |row: &datapact_store::Row| {
        Ok(SecretRow {
            subject: row.text(0)?,
            number: row.text(1)?,
            secret: Zeroizing::new(row.text(2)?),
        })
    };
    rows.iter().map(read).collect()
}

/// All secrets, by subject.
pub(crate) fn all(db: &Db) -> Result<Secrets, StoreError> {
    let damaged = || StoreError::Damaged("a backup's secret".to_owned());
    let secret = |row: SecretRow| {
        let secret = row.secret().ok_or_else(damaged)?;
        Ok((row.subject, secret))
    };
    rows(db)?.into_iter().map(secret).collect()
}

/// Draws secrets for those of `subjects` that have none.
pub(crate) fn ensure(tx: &Tx, subjects: &BTreeSet<Subject>) -> Result<(), StoreError> {
    let row = |subject: &Subject| SecretRow {
        subject: subject.to_string(),
        number: hex::encode(random::<16>()),
        secret: Zeroizing::new(hex::encode(Zeroizing::new(random::<32>()).as_slice())),
    };
    insert(tx, subjects.iter().map(row))
}

/// Adds secrets whose subjects have none.
pub(crate) fn insert(tx: &Tx, rows: impl Iterator<Item = SecretRow>) -> Result<(), StoreError> {
    let values = |row: SecretRow| -> [Value; 3] {
        [text(row.subject), text(row.number), text(row.secret.as_str())]
    };
    let into = "backup_secret (subject, number, secret)";
    tx.insert_or(into, rows.map(values).collect(), "ON CONFLICT (subject) DO NOTHING")
}

/// Destroys a secret, and with it what backups hold of its subject.
pub(super) fn destroy(tx: &Tx, subject: &Subject) -> Result<(), StoreError> {
    tx.run("DELETE FROM backup_secret WHERE subject = $1", [text(subject)]).map(drop)
}

/// Encrypts `plain`, bound to `about`, so that it takes every one of `secrets` to open it: nonce,
/// ciphertext, tag. AES-256-GCM under an HMAC-SHA-256 of the secrets in a chain.
pub(crate) fn seal(secrets: &[&Secret], about: &str, plain: Vec<u8>) -> Option<Vec<u8>> {
    let mut text = Zeroizing::new(plain);
    // Room for the tag, so that the plaintext is not left behind by a reallocation.
    text.reserve_exact(AES_256_GCM.tag_len());
    let nonce =
        key(secrets)?.seal_in_place_append_tag(Aad::from(about.as_bytes()), &mut *text).ok()?;
    Some([nonce.as_ref().as_slice(), text.as_slice()].concat())
}

/// Decrypts what [`seal`] made of the same secrets about the same.
pub(crate) fn open(secrets: &[&Secret], about: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key(secrets)?.open_in_place(nonce, Aad::from(about.as_bytes()), text).ok()?;
    Some(Zeroizing::new(plain.to_vec()))
}

fn key(secrets: &[&Secret]) -> Option<RandomizedNonceKey> {
    let mut key = Zeroizing::new([0_u8; 32]);
    for secret in secrets {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        key.copy_from_slice(hmac::sign(&mac, secret.bytes.as_slice()).as_ref());
    }
    RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn secret() -> Secret {
        Secret { number: String::new(), bytes: Zeroizing::new(random()) }
    }

    #[test]
    fn what_is_sealed_takes_every_secret() {
        let (first, second, other) = (secret(), secret(), secret());
        let sealed = seal(&[&first, &second], "row", b"Leaving".to_vec()).unwrap();
        assert_eq!(open(&[&first, &second], "row", &sealed).unwrap().as_slice(), b"Leaving");
        for (secrets, about) in [
            (&[&first, &second][..], "another"),
            (&[&second, &first], "row"),
            (&[&first], "row"),
            (&[&first, &other], "row"),
            (&[], "row"),
        ] {
            assert!(open(secrets, about, &sealed).is_none());
        }
        assert!(open(&[&first, &second], "row", sealed.get(1..).unwrap()).is_none());
        assert!(open(&[&first, &second], "row", b"").is_none());
    }
}
