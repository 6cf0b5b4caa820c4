//! Backups of what a server keeps on its machine, and their restoration.
//!
//! A backup is a folder: a consistent copy of the database, made while the server runs; the
//! server's own keys, but not the key server's KEK, which is kept apart; the packages; and, written
//! last, `backup.json` with the digest of each file. What names a person, each key and each package
//! is in it encrypted (`sealed`, `packages`); what opens it is in a file apart. A server on
//! PostgreSQL or S3 is backed up by these stores' own means.

mod files;
mod packages;
mod sealed;
pub mod tail;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use datapact_core::id::Timestamp;
use datapact_ledger::LedgerError;
use datapact_store::{Location, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::config::{Common, KeyServerConfig, ManagementConfig, StorageServerConfig};
use crate::erasures::{JournalError, journal};
use crate::key;
use crate::management::{self, Keys};
use crate::secret_file::SecretFileError;
use crate::storage;
use files::{
    at, copy_file, file_name, hash, is_missing, is_plain, lock, make_folder, remove_database,
    sync_folder, write_new,
};
use sealed::Tables;
use sealed::file::SecretFile;
pub use sealed::restore::Unsealed;

const MANIFEST: &str = "backup.json";
const FORMAT: u32 = 1;
const PACKAGES: &str = "packages";
/// What a database under restoration is called.
const STAGED: &str = "restoring.sqlite";

/// Why a backup could not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error("`{path}`: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] management::KeysError),
    /// An erasure journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// What is to be written is there already.
    #[error("`{path}` exists; move it away first", path = .0.display())]
    Occupied(PathBuf),
    /// The folder is not a complete backup of this server.
    #[error("`{path}` is not a backup to restore here: {detail}", path = .0.display(), detail = .1)]
    NotThis(PathBuf, String),
    /// The server keeps its state elsewhere.
    #[error("this server keeps its state in PostgreSQL, which has its own tools for backups")]
    Elsewhere,
    /// Another process works on the data.
    #[error("the data folder `{path}` is in use; stop the server first", path = .0.display())]
    InUse(PathBuf),
}

type Result<T> = std::result::Result<T, BackupError>;

/// What there is to keep of a server.
pub struct Plan {
    role: &'static str,
    /// Which server it is.
    owner: String,
    data: PathBuf,
    database: PathBuf,
    /// Files in the data folder.
    secrets: &'static [&'static str],
    packages: bool,
    tables: Tables,
}

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The layout's version, 1.
    pub format: u32,
    /// `management`, `key` or `storage`.
    pub role: String,
    /// Which server it is of.
    pub owner: String,
    /// When it was begun.
    pub time: Timestamp,
    /// SHA-256 of each file, by its path in the backup, in hexadecimal digits.
    pub files: BTreeMap<String, String>,
}

impl Plan {
    /// Management's database with the ledger, and its keys.
    pub fn management(config: &ManagementConfig) -> Result<Self> {
        let owner = config.ledger.id.clone();
        let tables = Tables { schema: management::schema(), personal: management::PERSONAL };
        let kept = (management::DATABASE_FILE, management::SECRET_FILES, tables);
        Self::new("management", owner, &config.server, kept)
    }

    /// The key server's database and its witness key. The KEK is not in it.
    pub fn key(config: &KeyServerConfig) -> Result<Self> {
        let owner = config.server.url.clone();
        let tables = Tables { schema: key::schema(), personal: key::PERSONAL };
        let kept = (key::DATABASE_FILE, &[key::WITNESS_FILE][..], tables);
        Self::new("key", owner, &config.server, kept)
    }

    /// The storage server's database and its packages, if they are files.
    pub fn storage(config: &StorageServerConfig) -> Result<Self> {
        let owner = config.server.url.clone();
        let tables = Tables { schema: storage::schema(), personal: storage::PERSONAL };
        let kept = (storage::DATABASE_FILE, &[][..], tables);
        let plan = Self::new("storage", owner, &config.server, kept)?;
        Ok(Self { packages: config.objects.is_none(), ..plan })
    }

    fn new(
        role: &'static str,
        owner: String,
        common: &Common,
        (database, secrets, tables): (&str, &'static [&'static str], Tables),
    ) -> Result<Self> {
        match common.database(database)? {
            Location::Sqlite(path) => Ok(Self {
                role,
                owner,
                data: common.data.clone(),
                database: path,
                secrets,
                packages: false,
                tables,
            }),
            Location::Postgres(_) => Err(BackupError::Elsewhere),
        }
    }

    /// Writes a backup to `folder`, which must not exist, while the server runs or not, and what
    /// opens it to the file `secrets`, in the place of what the backups before have written there.
    pub async fn back_up(
        &self,
        folder: &Path,
        secrets: &Path,
        time: Timestamp,
    ) -> Result<Manifest> {
        if folder.exists() {
            return Err(BackupError::Occupied(folder.to_owned()));
        }
        if !self.database.exists() {
            return Err(BackupError::File(self.database.clone(), io::ErrorKind::NotFound.into()));
        }
        make_folder(folder)?;
        let mut manifest = Manifest {
            format: FORMAT,
            role: self.role.to_owned(),
            owner: self.owner.clone(),
            time,
            files: BTreeMap::new(),
        };
        let name = file_name(&self.database);
        let copy = folder.join(&name);
        let live = sealed::open(&self.database, &self.tables).await?;
        sealed::write(&live, &self.tables, &copy).await?;
        manifest.files.insert(name, hash(&copy)?);
        let journal = self.data.join(journal::FILE);
        if journal.exists() {
            let digest = copy_file(&journal, &folder.join(journal::FILE))?;
            manifest.files.insert(journal::FILE.to_owned(), digest);
        }
        for secret in self.secrets {
            let digest = copy_file(&self.data.join(secret), &folder.join(secret))?;
            manifest.files.insert((*secret).to_owned(), digest);
        }
        if self.packages {
            make_folder(&folder.join(PACKAGES))?;
            // Those of now: what was deleted since the copy is gone, and what came since does no
            // harm.
            for (object, secret) in packages::secrets(&live, self.tables.personal).await? {
                let (from, to) =
                    (self.data.join(PACKAGES).join(&object), folder.join(PACKAGES).join(&object));
                match packages::seal(&from, &to, &object, &secret) {
                    Ok(()) => {
                        manifest.files.insert(format!("{PACKAGES}/{object}"), hash(&to)?);
                    }
                    // Deleted since the database was copied.
                    Err(BackupError::File(path, error)) if path == from && is_missing(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            sync_folder(&folder.join(PACKAGES))?;
        }
        // As of now: without the secrets of who was erased meanwhile. Before the manifest, without
        // which it is not a backup.
        SecretFile::of(&live, self.role, &self.owner, time).await?.write(secrets)?;
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| at(folder)(e.into()))?;
        write_new(&folder.join(MANIFEST), &text)?;
        sync_folder(folder)?;
        Ok(manifest)
    }

    /// Checks the backup in `folder` and copies it to the data folder, where the server has kept
    /// nothing yet, as far as the file `secrets` opens it. The database comes under another name,
    /// until [`Staged::finish`]. The erasure journals `erasures` are added to the server's own.
    pub fn stage(
        &self,
        folder: &Path,
        secrets: &Path,
        erasures: &[PathBuf],
    ) -> Result<(Staged, Manifest)> {
        let not_this = |detail: String| BackupError::NotThis(folder.to_owned(), detail);
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(at(&path))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|e| not_this(e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(not_this(format!(
                "its format is {}, this program knows {FORMAT}",
                manifest.format
            )));
        }
        if manifest.role != self.role || manifest.owner != self.owner {
            return Err(not_this(format!(
                "it is of the {} server `{}`",
                manifest.role, manifest.owner
            )));
        }
        if self.database.exists() {
            return Err(BackupError::Occupied(self.database.clone()));
        }
        make_folder(&self.data)?;
        let lock = lock(&self.data)?;
        let database = file_name(&self.database);
        let staged = Staged {
            tables: self.tables.clone(),
            secrets: SecretFile::read(secrets, self.role, &self.owner)?,
            file: self.data.join(STAGED),
            database: self.database.clone(),
            _lock: lock,
        };
        remove_database(&staged.file)?;
        journal::merge(&self.data.join(journal::FILE), erasures)?;
        let by_number = staged.secrets.by_number();
        let by_number = by_number.ok_or_else(|| not_this("its secrets are damaged".to_owned()))?;
        // The database first: while it is there no server starts, so none begins a new database
        // with the secrets restored.
        let mut files: Vec<_> = manifest.files.iter().collect();
        files.sort_by_key(|(name, _)| **name != database);
        for (name, digest) in files {
            let target = match name.strip_prefix(&format!("{PACKAGES}/")) {
                Some(object) if self.packages && is_plain(object) => {
                    make_folder(&self.data.join(PACKAGES))?;
                    let from = folder.join(name);
                    if hash(&from)? != *digest {
                        return Err(not_this(format!("`{name}` is not what was backed up")));
                    }
                    packages::unseal(&from, &self.data.join(name), object, &by_number)?;
                    continue;
                }
                None if *name == database => staged.file.clone(),
                None if name == journal::FILE => {
                    journal::merge(&self.data.join(name), &[folder.join(name)])?;
                    continue;
                }
                None if self.secrets.contains(&name.as_str()) => self.data.join(name),
                _ => return Err(not_this(format!("it holds `{name}`"))),
            };
            let same = target.exists() && hash(&target)? == *digest;
            if !same && copy_file(&folder.join(name), &target)? != *digest {
                let _ = fs::remove_file(&target);
                return Err(not_this(format!("`{name}` is not what was backed up")));
            }
        }
        if !staged.file.exists() {
            return Err(not_this("it holds no database".to_owned()));
        }
        Ok((staged, manifest))
    }
}

/// Refuses a data folder in which a restoration was begun and not finished. A server that began a
/// new database there would sign what contradicts its own log, or tidy away the packages that were
/// restored.
pub(crate) fn check_finished(data: &Path, role: &str) -> std::result::Result<(), &'static str> {
    let database = match role {
        "management" => management::DATABASE_FILE,
        "key" => key::DATABASE_FILE,
        _ => storage::DATABASE_FILE,
    };
    if data.join(STAGED).exists() && !data.join(database).exists() {
        return Err("a backup was only partly restored here; run `datapact restore` again");
    }
    Ok(())
}

/// A restored database that is not yet in its place.
pub struct Staged {
    tables: Tables,
    secrets: SecretFile,
    file: PathBuf,
    database: PathBuf,
    _lock: File,
}

impl Staged {
    /// Opens it, to complete it.
    pub async fn open(&self, config: &ManagementConfig) -> Result<(Store, Keys)> {
        let keys = Keys::open(&config.server.data, &config.ledger.id)?;
        Ok((Store::open(&self.file, &management::schema()).await?, keys))
    }

    /// Puts it in its place.
    pub async fn finish(self) -> Result<()> {
        let whole = self.file.with_extension("whole");
        match fs::remove_file(&whole) {
            Err(error) if !is_missing(&error) => return Err(at(&whole)(error)),
            _ => {}
        }
        // One file, whatever was written to it since it was staged.
        Store::snapshot(&self.file, &whole).await?;
        fs::rename(&whole, &self.database).map_err(at(&self.database))?;
        sync_folder(self.database.parent().unwrap_or(Path::new(".")))?;
        remove_database(&self.file)
    }

    /// Puts back the rows that name people, as far as the secrets open them.
    ///
    /// # Errors
    /// The database's; [`Self::finish`] must not be called then.
    pub async fn unseal(&self, now: Timestamp) -> Result<Unsealed> {
        sealed::restore::unseal(&self.file, &self.tables, &self.secrets, now).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_server_begins_where_a_restoration_was_begun() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let files = [management::DATABASE_FILE, key::DATABASE_FILE, storage::DATABASE_FILE];
        for (role, database) in ["management", "key", "storage"].into_iter().zip(files) {
            assert!(check_finished(data, role).is_ok());
            fs::write(data.join(STAGED), "").unwrap();
            assert!(check_finished(data, role).is_err());
            // Ended, but for the tidying.
            fs::write(data.join(database), "").unwrap();
            assert!(check_finished(data, role).is_ok());
            fs::remove_file(data.join(STAGED)).unwrap();
            fs::remove_file(data.join(database)).unwrap();
        }
    }
}
