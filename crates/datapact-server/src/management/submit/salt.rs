//! The salts of commitments. A share and an identity have one salt; who deletes it erases the link
//! between the ledger and the person.

use datapact_api::problem::Problem;
use datapact_core::commitment::Opening;
use datapact_core::id::{Salt, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::SharingPolicy;
use datapact_store::{Db, Store, Tx, text};

use crate::management::access::table as access_table;
use crate::management::failure::Result;
use crate::management::policy::table as policy_table;
use crate::management::stored::signed;
use crate::users::Marker;

/// The opening of the commitment to `identity` on `share`, if a salt was drawn.
pub(crate) fn opening(db: &Db, share: &ShareId, identity: &Identity) -> Result<Option<Opening>> {
    let sql = "SELECT salt FROM salt WHERE share = $1 AND identity = $2";
    let Some(row) = db.row(sql, [text(share), text(identity)])? else { return Ok(None) };
    Ok(Some(Opening { identity: identity.clone(), salt: row.parse(0)? }))
}

/// The openings of the commitments to `identities` on `share`, in their order. Missing salts are
/// drawn and stored.
pub(crate) async fn openings(
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

/// Deletes what opened the commitments to `identity`. On a live share a tombstone stays, so that
/// the user gets no second count by coming again. Where a live policy names the user, the salt
/// stays until the policy ends, since its provider has signed the name.
pub(crate) fn erase(tx: &Tx, identity: &Identity, marker: &Marker, now: Timestamp) -> Result<()> {
    let sql = "SELECT t.share, p.document, s.state, s.expires FROM salt t \
               LEFT JOIN share s ON s.id = t.share LEFT JOIN policy p ON p.id = s.policy \
               WHERE t.identity = $1";
    for row in tx.rows(sql, [text(identity)])? {
        let share: ShareId = row.parse(0)?;
        let is_live = row.optional_text(2)?.is_some_and(|state| policy_table::is_live(&state))
            && row.optional_number(3)?.is_some_and(|expires| expires > now);
        if is_live {
            let policy = signed::<SharingPolicy>(&row, 1)?;
            if policy.body().terms.users.contains(identity) {
                let sql = "INSERT INTO salt_later (share, identity) VALUES ($1, $2) \
                           ON CONFLICT DO NOTHING";
                tx.run(sql, [text(share), text(identity)])?;
                continue;
            }
            access_table::add_tombstone(tx, &share, &marker.on_share(identity, &share))?;
        }
        let sql = "DELETE FROM salt WHERE share = $1 AND identity = $2";
        tx.run(sql, [text(share), text(identity)])?;
    }
    Ok(())
}

/// Deletes the salts that [`erase`] has left on shares that have ended since.
pub(crate) fn erase_ended(tx: &Tx, now: Timestamp) -> Result<()> {
    let ended = policy_table::ENDED;
    let sql = format!(
        "DELETE FROM salt WHERE EXISTS (SELECT 1 FROM salt_later l WHERE l.share = salt.share \
         AND l.identity = salt.identity AND l.share IN ({ended}))"
    );
    tx.run(sql, policy_table::ended_values(now))?;
    let sql = format!("DELETE FROM salt_later WHERE share IN ({ended})");
    tx.run(sql, policy_table::ended_values(now))?;
    Ok(())
}

/// Leaves the salts of a user who has come again, which [`erase_ended`] would delete.
pub(crate) fn keep(tx: &Tx, identity: &Identity) -> Result<()> {
    tx.run("DELETE FROM salt_later WHERE identity = $1", [text(identity)])?;
    Ok(())
}
