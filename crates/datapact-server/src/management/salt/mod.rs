//! The salts of commitments. A share and an identity have one salt; who deletes it erases the link
//! between the ledger and the person.

use datapact_api::problem::Problem;
use datapact_core::commitment::Opening;
use datapact_core::id::{Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Store, Tx, text};

use super::failure::Result;

/// The table of salts, and that of those to be erased later.
pub(super) const SCHEMA: Migration =
    Migration { module: "salt", version: 1, sql: include_str!("schema_1.sql") };

/// The opening of the commitment to `identity` on `share`, if a salt was drawn.
pub(super) fn opening(db: &Db, share: &ShareId, identity: &Identity) -> Result<Option<Opening>> {
    let sql = "SELECT salt FROM salt WHERE share = $1 AND identity = $2";
    let Some(row) = db.row(sql, [text(share), text(identity)])? else { return Ok(None) };
    Ok(Some(Opening { identity: identity.clone(), salt: row.parse(0)? }))
}

/// The openings of the commitments to `identities` on `share`, in their order. Missing salts are
/// drawn and stored.
pub(super) async fn openings(
    store: &Store,
    share: ShareId,
    identities: Vec<Identity>,
) -> Result<Vec<Opening>> {
    // A repeat finds all of them and needs no write.
    let (read, identities) = store
        .read(move |db| {
            let found: Option<Vec<Opening>> = identities
                .iter()
                .map(|identity| opening(db, &share, identity))
                .collect::<Result<_>>()?;
            Result::Ok((found, identities))
        })
        .await?;
    if let Some(openings) = read {
        return Ok(openings);
    }
    store
        .write(move |tx| {
            let draw = |identity| {
                let drawn = Opening { identity, salt: Salt::random() };
                Ok(Opening { salt: settle(tx, &share, &drawn)?, ..drawn })
            };
            identities.into_iter().map(draw).collect()
        })
        .await
}

/// The one salt of an identity on a share: the stored one, or else the drawn one, which is stored.
pub(super) fn settle(tx: &Tx, share: &ShareId, drawn: &Opening) -> Result<Salt> {
    let sql = "INSERT INTO salt (share, identity, salt) VALUES ($1, $2, $3) \
               ON CONFLICT (share, identity) DO NOTHING";
    if tx.run(sql, [text(share), text(&drawn.identity), text(drawn.salt)])? == 1 {
        return Ok(drawn.salt);
    }
    let stored = opening(tx, share, &drawn.identity)?;
    let stored = stored.ok_or_else(|| Problem::internal("a salt conflicts with none"))?;
    Ok(stored.salt)
}

/// Leaves the salts of a user who has come again, which were to be erased with a share.
pub(super) fn keep(tx: &Tx, identity: &Identity) -> Result<()> {
    tx.run("DELETE FROM salt_later WHERE identity = $1", [text(identity)])?;
    Ok(())
}
