//! The key server's database.

use datapact_store::{Migration, Store};

use super::custody::table as custody;
use super::failure::OpenError;
use super::policy::table as policy;
use super::release::table as release;
use crate::config::KeyServerConfig;

/// The key server's database, in its data folder.
pub const DATABASE_FILE: &str = "key.sqlite";

/// Opens the database of the key server `name`.
pub(super) async fn connect(config: &KeyServerConfig, name: &str) -> Result<Store, OpenError> {
    let location = config.server.database(DATABASE_FILE)?;
    Ok(Store::connect(&location, Some(&format!("key server {name}")), &schema()).await?)
}

/// All tables in the key server's database.
pub(crate) fn schema() -> Vec<Migration> {
    let erasures = crate::erasures::SCHEMA;
    let own = [custody::SCHEMA, policy::SCHEMA, release::SCHEMA, erasures];
    [datapact_ledger::tables::MIGRATIONS, &own, crate::users::MIGRATIONS].concat()
}
