//! Packages whose share has ended or has replaced them: deleted at their storage servers a
//! configured time later. Key servers destroy the keys by their own copies of the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use datapact_api::management::CatalogEntry;
use datapact_api::problem::Kind;
use datapact_core::id::{PackageId, Timestamp};
use datapact_core::policy::ShareState;
use datapact_log::clock::Clock;
use datapact_store::{Row, Store, Tx, Value, number, text};

use super::table::state_name;
use crate::management::base::Base;
use crate::management::failure::{Failure, Result};
use crate::management::peers::Peers;

/// How many packages are deleted at a time.
const BATCH: u64 = 200;

/// Notes the package of the version before `entry`, if `entry` names another.
pub(crate) fn note_replaced(tx: &Tx, entry: &CatalogEntry, time: Timestamp) -> Result<()> {
    // A version may return to the package of an earlier one.
    tx.run("DELETE FROM replaced WHERE package = $1", [text(entry.information.package.id)])?;
    let row = tx.row("SELECT entry FROM share WHERE id = $1", [text(entry.share)])?;
    let Some(row) = row else { return Ok(()) };
    let before = row.json::<CatalogEntry>(0)?.information.package;
    if before.id == entry.information.package.id {
        return Ok(());
    }
    let sql = "INSERT INTO replaced (package, address, time) VALUES ($1, $2, $3) \
               ON CONFLICT (package) DO NOTHING";
    tx.run(sql, [text(before.id), text(before.address), number(time)])?;
    Ok(())
}

/// Deletes packages whose retention is over.
pub(crate) struct Retention {
    store: Store,
    peers: Arc<Peers>,
    clock: Clock,
    seconds: u64,
}

impl Retention {
    /// Packages stay for `days` after their share has ended or has replaced them.
    pub(crate) fn new(base: &Base, days: u32) -> Self {
        let Base { store, peers, clock, .. } = base.clone();
        Self { store, peers, clock, seconds: u64::from(days) * 24 * 60 * 60 }
    }

    /// Deletes the packages whose time is over. Those at a storage server that is away are left
    /// for the next call.
    pub(crate) async fn delete_packages(&self) -> Result<()> {
        // Once a server was found to be away it is left alone, so that it does not hold up others.
        let mut away = BTreeSet::new();
        let cutoff = (self.clock)().saturating_sub(self.seconds);
        for row in self.ended(cutoff).await? {
            let entry: CatalogEntry = row.json(0)?;
            let package = &entry.information.package;
            if !self.delete_package(&package.id, &package.address, &mut away).await {
                continue;
            }
            // A version that was set since is not touched.
            let sql = "UPDATE share SET package_gone = 1 WHERE id = $1 AND event = $2";
            self.write(sql, [text(entry.share), number(entry.event)]).await?;
        }
        for row in self.replaced(cutoff).await? {
            let package: PackageId = row.parse(0)?;
            if !self.delete_package(&package, &row.text(1)?, &mut away).await {
                continue;
            }
            self.write("DELETE FROM replaced WHERE package = $1", [text(package)]).await?;
        }
        Ok(())
    }

    /// The catalog's entries of shares that ended by `cutoff` and whose package is not deleted.
    async fn ended(&self, cutoff: Timestamp) -> Result<Vec<Row>> {
        let sql = "SELECT entry FROM share WHERE package_gone = 0 AND \
                   (expires <= $1 OR (state = $2 AND changed <= $1)) LIMIT $3";
        let values = [number(cutoff), text(state_name(ShareState::Revoked)), number(BATCH)];
        self.store.read(move |db| db.rows(sql, values).map_err(Failure::from)).await
    }

    /// Package and address of those that were replaced by `cutoff`.
    async fn replaced(&self, cutoff: Timestamp) -> Result<Vec<Row>> {
        let sql = "SELECT package, address FROM replaced WHERE time <= $1 LIMIT $2";
        let values = [number(cutoff), number(BATCH)];
        self.store.read(move |db| db.rows(sql, values).map_err(Failure::from)).await
    }

    /// Whether the package is done with. A server that does not delete it is added to `away`.
    async fn delete_package(
        &self,
        id: &PackageId,
        address: &str,
        away: &mut BTreeSet<String>,
    ) -> bool {
        let Some(server) = self.peers.storage_server(address) else {
            tracing::warn!(package = %id, "a package's server is no longer configured; it stays");
            return true;
        };
        if away.contains(&server.name) {
            return false;
        }
        match server.client.delete_package(id).await {
            Ok(()) => true,
            Err(problem) if problem.kind == Kind::NotFound => true,
            Err(problem) => {
                tracing::warn!(package = %id, %problem, "cannot delete a package; trying again");
                away.insert(server.name.clone());
                false
            }
        }
    }

    async fn write<const N: usize>(&self, sql: &'static str, values: [Value; N]) -> Result<()> {
        self.store.write(move |tx| Ok(tx.run(sql, values).map(drop)?)).await
    }
}
