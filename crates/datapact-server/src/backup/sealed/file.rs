//! The file of secrets: what opens the rows in a server's backups that name people. It is kept
//! apart from them, and each backup replaces it: a copy of before an erasure would undo it.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use datapact_core::id::Timestamp;
use datapact_store::{Store, StoreError, Tx, text};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::backup::files::at;
use crate::backup::{BackupError, FORMAT, Result};
use crate::erasures::secret::{self, Secret, SecretRow};
use crate::secret_file;

/// The longest file, in bytes: a million secrets.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Secrets by their numbers.
pub(in crate::backup) type ByNumber = HashMap<String, Secret>;

/// What the file holds.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::backup) struct SecretFile {
    format: u32,
    role: String,
    owner: String,
    time: Timestamp,
    /// The secret of the marks in the database.
    marks: Zeroizing<String>,
    secrets: Vec<SecretRow>,
}

impl SecretFile {
    /// Reads the secrets of the running server's database, as of now.
    pub(in crate::backup) async fn of(
        store: &Store,
        role: &str,
        owner: &str,
        time: Timestamp,
    ) -> Result<Self> {
        let (marks, secrets) = store
            .read(|db| {
                let row = db.row("SELECT secret FROM user_secret WHERE id = 1", [])?;
                let missing = || StoreError::Damaged("the secret of the marks".to_owned());
                Ok::<_, StoreError>((row.ok_or_else(missing)?.text(0)?, secret::rows(db)?))
            })
            .await?;
        let (role, owner) = (role.to_owned(), owner.to_owned());
        Ok(Self { format: FORMAT, role, owner, time, marks: Zeroizing::new(marks), secrets })
    }

    /// Puts it in the place of what is at `path`.
    pub(in crate::backup) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map(Zeroizing::new);
        let text = text.map_err(|error| at(path)(error.into()))?;
        Ok(secret_file::replace(path, &text)?)
    }

    /// Reads that of a server.
    pub(in crate::backup) fn read(path: &Path, role: &str, owner: &str) -> Result<Self> {
        let not_this = |detail: &str| BackupError::NotThis(path.to_owned(), detail.to_owned());
        let mut text = Zeroizing::new(Vec::new());
        let file = std::fs::File::open(path).map_err(at(path))?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(at(path))?;
        let file: Self = serde_json::from_slice(&text)
            .map_err(|_| not_this("it is no file of secrets that `backup` has written"))?;
        if (file.format, file.role.as_str(), file.owner.as_str()) != (FORMAT, role, owner) {
            return Err(not_this("its secrets are of another server"));
        }
        Ok(file)
    }

    /// The secrets by their numbers; none where one is damaged.
    pub(in crate::backup) fn by_number(&self) -> Option<ByNumber> {
        self.secrets.iter().map(|row| Some((row.number.clone(), row.secret()?))).collect()
    }

    /// Puts the secrets into the restored database.
    pub(super) fn put(self, tx: &Tx) -> std::result::Result<(), StoreError> {
        let sql = "INSERT INTO user_secret (id, secret) VALUES (1, $1) \
                   ON CONFLICT (id) DO UPDATE SET secret = excluded.secret";
        tx.run(sql, [text(self.marks.as_str())])?;
        secret::insert(tx, self.secrets.into_iter())
    }
}
