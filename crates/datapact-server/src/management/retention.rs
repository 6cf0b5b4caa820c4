//! Packages that nobody can be granted access to any more: deleted at their storage servers a
//! configured time after the share has ended or has replaced them. Key servers destroy the keys by
//! their own copies of the ledger.

use std::collections::BTreeSet;

use datapact_api::management::CatalogEntry;
use datapact_api::problem::Kind;
use datapact_core::id::{PackageId, Timestamp};
use datapact_core::policy::ShareState;
use sea_orm::ConnectionTrait;

use super::failure::{Failure, Result};
use super::projector::state_name;
use super::schema::{number, row, rows, run, text};
use super::{Server, policies};

/// How many packages are deleted at a time.
const BATCH: u64 = 200;

/// Remembers the package of the version before `entry`, if this one names another.
pub(super) async fn replaced(
    on: &impl ConnectionTrait,
    entry: &CatalogEntry,
    time: Timestamp,
) -> Result<()> {
    // A version may come back to the package of an earlier one.
    run(on, "DELETE FROM replaced WHERE package = $1", [text(entry.information.package.id)])
        .await?;
    let sql = "SELECT entry FROM share WHERE id = $1";
    let Some(row) = row(on, sql, [text(entry.share)]).await? else { return Ok(()) };
    let before = row.json::<CatalogEntry>(0)?.information.package;
    if before.id == entry.information.package.id {
        return Ok(());
    }
    let sql = "INSERT INTO replaced (package, address, time) VALUES ($1, $2, $3) ON CONFLICT (package) DO NOTHING";
    run(on, sql, [text(before.id), text(before.address), number(time)]).await?;
    Ok(())
}

impl Server {
    /// Deletes the packages whose retention is over.
    pub(super) async fn delete_packages(&self) -> Result<()> {
        // A server that is away holds up no other.
        let mut away = BTreeSet::new();
        let cutoff = self.now().saturating_sub(self.package_retention_seconds);
        let sql = "SELECT entry FROM share WHERE package_gone = 0 AND \
                   (expires <= $1 OR (state = $2 AND changed <= $1)) LIMIT $3";
        let values = [number(cutoff), text(state_name(ShareState::Revoked)), number(BATCH)];
        for row in rows(self.store.read(), sql, values).await? {
            let entry: CatalogEntry = row.json(0)?;
            let package = &entry.information.package;
            if !self.delete_package(&package.id, &package.address, &mut away).await {
                continue;
            }
            // A version that was set meanwhile is not touched.
            let values = [text(entry.share), number(entry.event)];
            self.execute_one(
                "UPDATE share SET package_gone = 1 WHERE id = $1 AND event = $2",
                values,
            )
            .await?;
        }
        let sql = "SELECT package, address FROM replaced WHERE time <= $1 LIMIT $2";
        for row in rows(self.store.read(), sql, [number(cutoff), number(BATCH)]).await? {
            let package: PackageId = row.parse(0)?;
            if !self.delete_package(&package, &row.text(1)?, &mut away).await {
                continue;
            }
            self.execute_one("DELETE FROM replaced WHERE package = $1", [text(package)]).await?;
        }
        Ok(())
    }

    /// Whether the package is done with. A server that does not do it is put to those that are
    /// `away`.
    async fn delete_package(
        &self,
        id: &PackageId,
        address: &str,
        away: &mut BTreeSet<String>,
    ) -> bool {
        let Some(server) = policies::find(&self.storage_servers, address) else {
            tracing::warn!(package = %id, "a package is on a server that is no longer configured, and is left there");
            return true;
        };
        if away.contains(&server.name) {
            return false;
        }
        match server.client.delete_package(id).await {
            Ok(()) => true,
            Err(problem) if problem.kind == Kind::NotFound => true,
            Err(problem) => {
                tracing::warn!(package = %id, %problem, "a package could not be deleted yet; trying again");
                away.insert(server.name.clone());
                false
            }
        }
    }

    async fn execute_one<const N: usize>(
        &self,
        sql: &'static str,
        values: [sea_orm::Value; N],
    ) -> Result<()> {
        self.store
            .write(move |tx| {
                Box::pin(async move { run(tx, sql, values).await.map(drop).map_err(Failure::from) })
            })
            .await
    }
}
