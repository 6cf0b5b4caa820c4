//! Changing the key-encryption key of a configured key server (KS-2), which may be running.

use datapact_store::Location;

use super::custody::rekey::{Rekeyed, rekey};
use super::database::{DATABASE_FILE, connect};
use super::failure::OpenError;
use crate::config::KeyServerConfig;

/// Held while the key-encryption key is changed, in the data folder.
const LOCK: &str = "rekey.lock";

/// Changes the key-encryption key of the key server of `config`, or finishes a change that was
/// interrupted. The server may be running.
///
/// # Errors
/// When the file or the database cannot be used, or the file is not this database's; everything is
/// then as one of the steps has left it, and both versions are in the file as long as either is
/// needed.
pub async fn rotate_kek(config: &KeyServerConfig) -> Result<Rekeyed, OpenError> {
    let data = &config.server.data;
    let lock =
        std::fs::OpenOptions::new().create(true).write(true).truncate(false).open(data.join(LOCK));
    let lock = lock.map_err(OpenError::Data)?;
    lock.try_lock().map_err(|_| OpenError::Rekeying)?;

    let name = config.server.name().map_err(OpenError::Configuration)?;
    if let Location::Sqlite(path) = config.server.database(DATABASE_FILE)?
        && !path.exists()
    {
        return Err(OpenError::Unused);
    }
    rekey(&connect(config, &name).await?, &config.kek).await
}
