//! What is left of the releases to an erased user: for each the key server's own statement, which
//! names no consumer, and the statement by which the erasure was asked for.

use datapact_api::key_server::ErasedRelease;
use datapact_api::problem::Problem;
use datapact_core::document::{ReleaseErasure, Statement};
use datapact_core::id::{Digest, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_store::{Db, StoreError, Tx, text};

use crate::key::failure::Result;

/// How many a page holds.
const PAGE: u64 = 200;

/// Keeps the statement by which `erased` is erased. It is good for one erasure.
///
/// # Errors
/// [`Problem::forbidden`] when it was used before.
pub(in crate::key) fn take_statement(
    tx: &Tx,
    statement: &Signed<Statement>,
    erased: &Identity,
) -> Result<()> {
    // What an erased user has signed goes with the user.
    let own = statement.signer() == erased;
    let named = |value: &dyn ToString| (!own).then(|| value.to_string());
    let sql = "INSERT INTO key_erasure (statement, signer, document) VALUES ($1, $2, $3) \
               ON CONFLICT (statement) DO NOTHING";
    let (signer, document) = (named(statement.signer()), named(&statement.as_str()));
    match tx.run(sql, [text(statement.id()), signer.into(), document.into()])? {
        1 => Ok(()),
        _ => Err(Problem::forbidden("the statement of the erasure was used before").into()),
    }
}

/// Puts in the place of each release to `consumer` what `sign` states of its erasure. Those of the
/// user's own keys leave nothing.
pub(in crate::key) fn replace(
    tx: &Tx,
    consumer: &Identity,
    statement: &Digest,
    sign: impl Fn(ReleaseErasure) -> Signed<ReleaseErasure>,
) -> std::result::Result<(), StoreError> {
    let sql = "SELECT key_request, request, share, owner, time FROM key_release \
               WHERE consumer = $1 AND owner <> $1";
    let mut rows = Vec::new();
    for row in tx.rows(sql, [text(consumer)])? {
        let erasure = ReleaseErasure {
            share: row.parse(2)?,
            request: row.parse(1)?,
            key_request: row.parse(0)?,
            released: row.number(4)?,
            statement: *statement,
        };
        let signed = sign(erasure);
        let (body, owner) = (signed.body(), row.text(3)?);
        rows.push([
            text(body.key_request),
            text(body.share),
            owner.into(),
            text(statement),
            text(signed.as_str()),
        ]);
    }
    tx.insert("key_release_erasure (key_request, share, owner, statement, document)", rows)
}

/// Destroys what an erased user leaves here as provider and as administrator.
pub(in crate::key) fn erase(tx: &Tx, identity: &Identity) -> std::result::Result<(), StoreError> {
    tx.run("DELETE FROM key_release_erasure WHERE owner = $1", [text(identity)])?;
    let sql = "UPDATE key_erasure SET signer = NULL, document = NULL WHERE signer = $1";
    tx.run(sql, [text(identity)]).map(drop)
}

/// The erased releases of `owner`'s keys on `share`, by key request behind `after`, a page of them.
pub(super) fn page(
    db: &Db,
    share: &ShareId,
    owner: &str,
    after: Option<&Digest>,
) -> std::result::Result<Vec<ErasedRelease>, StoreError> {
    let sql = format!(
        "SELECT r.document, e.document FROM key_release_erasure r \
         LEFT JOIN key_erasure e ON e.statement = r.statement \
         WHERE r.share = $1 AND r.owner = $2 AND r.key_request > $3 \
         ORDER BY r.key_request LIMIT {PAGE}"
    );
    let after = after.map(ToString::to_string).unwrap_or_default();
    let damaged = |e| StoreError::Damaged(format!("a stored document: {e}"));
    let mut found = Vec::new();
    for row in db.rows(&*sql, [text(share), text(owner), text(after)])? {
        let statement = row.optional_text(1)?;
        found.push(ErasedRelease {
            erasure: Signed::parse(&row.text(0)?).map_err(damaged)?,
            statement: statement.map(|text| Signed::parse(&text)).transpose().map_err(damaged)?,
        });
    }
    Ok(found)
}
