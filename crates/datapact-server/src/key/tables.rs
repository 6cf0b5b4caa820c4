//! The key server's own tables, beside those of its copy of the ledger.

use std::collections::{HashMap, HashSet};

use datapact_core::contract::SetPolicy;
use datapact_core::id::{Commitment, Digest, KeyId, PackageId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_ledger::store::{Migration, StoreError, padded, placeholders, statement};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::recording::New;

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { module: "key", version: 1, statements: FIRST },
    Migration {
        module: "key",
        version: 2,
        statements: &[
            // Whose signed request it is, so that it can be erased with its signer.
            "ALTER TABLE key_release ADD COLUMN consumer TEXT",
            "CREATE INDEX key_release_consumer ON key_release (consumer)",
            "CREATE INDEX key_consumer_identity ON key_consumer (identity)",
            // Shares that erased users have accessed, by their marks: they get no second count
            // there.
            "CREATE TABLE key_tombstone (share TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (share, mark))",
        ],
    },
    Migration {
        module: "key",
        version: 3,
        // The releases of a share, page by page.
        statements: &[
            "DROP INDEX key_release_share",
            "CREATE INDEX key_release_share ON key_release (share, owner, key_request)",
        ],
    },
    Migration {
        module: "key_token",
        version: 1,
        // Accesses whose tokens were revoked, until none can live any more.
        statements: &[
            "CREATE TABLE key_revocation (request TEXT NOT NULL PRIMARY KEY, until BIGINT NOT NULL)",
        ],
    },
];

const FIRST: &[&str] = &[
    "CREATE TABLE key_kek (version BIGINT NOT NULL PRIMARY KEY, sealed TEXT NOT NULL)",
    "CREATE TABLE key_entry (id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, registered BIGINT NOT NULL, \
         share TEXT, package TEXT, kek BIGINT, sealed TEXT)",
    "CREATE INDEX key_entry_owner ON key_entry (owner, share)",
    "CREATE TABLE key_policy (policy TEXT NOT NULL PRIMARY KEY, share TEXT NOT NULL, owner TEXT NOT NULL, \
         version BIGINT NOT NULL, state TEXT NOT NULL, expires BIGINT NOT NULL, signed BIGINT NOT NULL, \
         key TEXT NOT NULL, package TEXT NOT NULL, package_id TEXT NOT NULL, call TEXT, withheld BIGINT NOT NULL)",
    "CREATE INDEX key_policy_share ON key_policy (share, owner, version)",
    "CREATE INDEX key_policy_key ON key_policy (key)",
    "CREATE TABLE key_consumer (share TEXT NOT NULL, identity TEXT NOT NULL, commitment TEXT NOT NULL, \
         PRIMARY KEY (share, identity))",
    "CREATE TABLE key_release (key_request TEXT NOT NULL PRIMARY KEY, request TEXT NOT NULL, \
         share TEXT NOT NULL, owner TEXT NOT NULL, time BIGINT NOT NULL, sealed TEXT, signed_release TEXT NOT NULL, \
         signed_request TEXT NOT NULL)",
    "CREATE INDEX key_release_request ON key_release (request)",
    "CREATE INDEX key_release_share ON key_release (share, owner, time)",
    "CREATE INDEX key_release_time ON key_release (time)",
];

/// A registered key, filled or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyEntry {
    pub(super) id: KeyId,
    pub(super) owner: String,
    pub(super) registered: Timestamp,
    pub(super) stored: Option<StoredKey>,
}

/// What fills a key's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredKey {
    pub(super) share: ShareId,
    pub(super) package: Digest,
    /// The version of the KEK.
    pub(super) kek: u32,
    /// Under that.
    pub(super) sealed: String,
}

impl StoredKey {
    /// Whether both are one key, be it under two versions of the KEK: what fills an entry is never
    /// replaced.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.share, self.package) == (other.share, other.package)
    }
}

/// A policy version that the provider signed: shown by management, or brought by the provider to
/// withhold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PolicyRow {
    pub(super) policy: Digest,
    pub(super) share: ShareId,
    pub(super) owner: String,
    pub(super) version: u32,
    pub(super) state: ShareState,
    pub(super) expires: Timestamp,
    /// The document's own time.
    pub(super) signed: Timestamp,
    pub(super) key: KeyId,
    pub(super) package: Digest,
    pub(super) package_id: PackageId,
    /// What the ledger must say of it; none until management has shown it.
    pub(super) call: Option<SetPolicy>,
    /// Whether the provider brought it to withhold the key.
    pub(super) withheld: bool,
}

impl PolicyRow {
    pub(super) fn new(
        policy: &SharingPolicy,
        id: Digest,
        owner: &Identity,
        signed: Timestamp,
    ) -> Self {
        Self {
            policy: id,
            share: policy.share,
            owner: owner.to_string(),
            version: policy.version,
            state: policy.state,
            expires: policy.permission.expires,
            signed,
            key: policy.information.key.id,
            package: policy.information.package.digest,
            package_id: policy.information.package.id,
            call: None,
            withheld: false,
        }
    }
}

pub(super) async fn key(
    on: &impl ConnectionTrait,
    id: &KeyId,
) -> Result<Option<KeyEntry>, Failure> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM key_entry e WHERE e.id = $1");
    let row = on.query_one_raw(statement(on, sql, [text(id)])).await?;
    row.as_ref().map(key_row).transpose()
}

const KEY_COLUMNS: &str = "e.id, e.owner, e.registered, e.share, e.package, e.sealed, e.kek";

fn key_row(row: &QueryResult) -> Result<KeyEntry, Failure> {
    let share: Option<String> = row.try_get_by_index(3)?;
    let package: Option<String> = row.try_get_by_index(4)?;
    let sealed: Option<String> = row.try_get_by_index(5)?;
    let stored = match (share, package, sealed) {
        (Some(share), Some(package), Some(sealed)) => {
            let kek = version(row, 6)?;
            Some(StoredKey { share: parse(&share)?, package: parse(&package)?, kek, sealed })
        }
        (None, None, None) => None,
        _ => return Err(damaged("a key is half stored")),
    };
    Ok(KeyEntry {
        id: parse(&row.try_get_by_index::<String>(0)?)?,
        owner: row.try_get_by_index(1)?,
        registered: number(row, 2)?,
        stored,
    })
}

/// Keys, each with the policies that its owner has signed for its share.
pub(super) async fn keys_and_policies(
    on: &impl ConnectionTrait,
    ids: HashSet<KeyId>,
) -> Result<HashMap<KeyId, (KeyEntry, Vec<PolicyRow>)>, Failure> {
    let ids = padded(ids.into_iter().collect());
    let sql = format!(
        "SELECT {KEY_COLUMNS}, {POLICY_COLUMNS} FROM key_entry e LEFT JOIN key_policy p \
         ON p.share = e.share AND p.owner = e.owner WHERE e.id IN {}",
        placeholders(on, 1, ids.len())
    );
    let mut found = HashMap::new();
    for row in on.query_all_raw(statement(on, sql, ids.iter().map(text))).await? {
        let entry = key_row(&row)?;
        let (_, policies) = found.entry(entry.id).or_insert_with(|| (entry, Vec::new()));
        if row.try_get_by_index::<Option<String>>(KEY_WIDTH)?.is_some() {
            policies.push(policy_row(&row, KEY_WIDTH)?);
        }
    }
    Ok(found)
}

/// How many columns a key has.
const KEY_WIDTH: usize = 7;

/// Whether `owner` keeps a key of `share` here.
pub(super) async fn owns_key(
    on: &impl ConnectionTrait,
    owner: &str,
    share: &ShareId,
) -> Result<bool, Failure> {
    let sql = "SELECT COUNT(*) FROM key_entry WHERE owner = $1 AND share = $2";
    Ok(count(on, sql, [owner.into(), text(share)]).await? > 0)
}

pub(super) async fn insert_key(
    on: &impl ConnectionTrait,
    id: &KeyId,
    owner: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "INSERT INTO key_entry (id, owner, registered) VALUES ($1, $2, $3)";
    on.execute_raw(statement(on, sql, [text(id), owner.into(), int(now)])).await?;
    Ok(())
}

pub(super) async fn fill_key(
    on: &impl ConnectionTrait,
    id: &KeyId,
    stored: &StoredKey,
) -> Result<(), Failure> {
    let sql = "UPDATE key_entry SET share = $2, package = $3, kek = $4, sealed = $5 WHERE id = $1";
    let values = [
        text(id),
        text(&stored.share),
        text(&stored.package),
        int(stored.kek.into()),
        stored.sealed.as_str().into(),
    ];
    on.execute_raw(statement(on, sql, values)).await?;
    Ok(())
}

pub(super) async fn delete_key(on: &impl ConnectionTrait, id: &KeyId) -> Result<(), Failure> {
    on.execute_raw(statement(on, "DELETE FROM key_entry WHERE id = $1", [text(id)])).await?;
    Ok(())
}

/// How many keys `owner` has registered, filled ones or unfilled ones.
pub(super) async fn keys_of(
    on: &impl ConnectionTrait,
    owner: &str,
    filled: bool,
) -> Result<u64, Failure> {
    let not = if filled { "NOT" } else { "" };
    let sql = format!("SELECT COUNT(*) FROM key_entry WHERE owner = $1 AND share IS {not} NULL");
    count(on, &sql, [owner.into()]).await
}

/// How many keys are registered, and how many of them stored.
pub(super) async fn totals(on: &impl ConnectionTrait) -> Result<(u64, u64), Failure> {
    let sql = "SELECT COUNT(*), COUNT(sealed) FROM key_entry";
    let row = on.query_one_raw(statement(on, sql, [])).await?;
    row.map_or(Ok((0, 0)), |row| Ok((number(&row, 0)?, number(&row, 1)?)))
}

/// Forgets registrations made before `before` that no policy was shown for: the share was not made.
pub(super) async fn forget_unpublished(
    on: &impl ConnectionTrait,
    before: Timestamp,
) -> Result<(), Failure> {
    let sql =
        "DELETE FROM key_entry WHERE registered < $1 AND id NOT IN (SELECT key FROM key_policy)";
    on.execute_raw(statement(on, sql, [int(before)])).await?;
    Ok(())
}

/// How many keys a page holds.
const PAGE: u64 = 200;

/// The registrations of `owner` behind `after`, by identifier.
pub(super) async fn entries_of(
    on: &impl ConnectionTrait,
    owner: &str,
    after: Option<&KeyId>,
) -> Result<Vec<KeyEntry>, Failure> {
    let sql = "SELECT id FROM key_entry WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3";
    let after = after.map(ToString::to_string).unwrap_or_default();
    let rows =
        on.query_all_raw(statement(on, sql, [owner.into(), after.into(), int(PAGE)])).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.extend(key(on, &parse(&row.try_get_by_index::<String>(0)?)?).await?);
    }
    Ok(entries)
}

/// The filled keys of `owner` on `share`.
pub(super) async fn keys_of_share(
    on: &impl ConnectionTrait,
    share: &ShareId,
    owner: &str,
) -> Result<Vec<KeyId>, Failure> {
    let sql = "SELECT id FROM key_entry WHERE share = $1 AND owner = $2";
    let rows = on.query_all_raw(statement(on, sql, [text(share), owner.into()])).await?;
    rows.iter().map(|row| parse(&row.try_get_by_index::<String>(0)?)).collect()
}

/// Shares, with their owners, that keep a key here and may have ended, or replaced a key, before
/// `before`.
pub(super) async fn maybe_ended(
    on: &impl ConnectionTrait,
    before: Timestamp,
) -> Result<Vec<(ShareId, String)>, Failure> {
    let sql = "SELECT DISTINCT p.share, p.owner FROM key_policy p \
               WHERE (p.expires <= $1 OR p.version > 1) AND EXISTS \
               (SELECT 1 FROM key_entry e WHERE e.share = p.share AND e.owner = p.owner)";
    let rows = on.query_all_raw(statement(on, sql, [int(before)])).await?;
    let pair = |row: &QueryResult| {
        Ok((parse(&row.try_get_by_index::<String>(0)?)?, row.try_get_by_index::<String>(1)?))
    };
    rows.iter().map(pair).collect()
}

const POLICY_COLUMNS: &str = "p.policy, p.share, p.owner, p.version, p.state, p.expires, p.signed, p.key, p.package, \
                              p.package_id, p.call, p.withheld";

/// All that `owner` has signed for `share`, oldest version first.
pub(super) async fn policies(
    on: &impl ConnectionTrait,
    share: &ShareId,
    owner: &str,
) -> Result<Vec<PolicyRow>, Failure> {
    let sql = format!(
        "SELECT {POLICY_COLUMNS} FROM key_policy p WHERE p.share = $1 AND p.owner = $2 ORDER BY p.version, p.policy"
    );
    let rows = on.query_all_raw(statement(on, sql, [text(share), owner.into()])).await?;
    rows.iter().map(|row| policy_row(row, 0)).collect()
}

/// Writes a policy; one that is there keeps what it had.
pub(super) async fn put_policy(on: &impl ConnectionTrait, row: &PolicyRow) -> Result<(), Failure> {
    let sql = "INSERT INTO key_policy (policy, share, owner, version, state, expires, signed, key, package, \
               package_id, call, withheld) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (policy) DO UPDATE SET call = COALESCE(key_policy.call, excluded.call), \
               withheld = CASE WHEN key_policy.withheld > excluded.withheld \
               THEN key_policy.withheld ELSE excluded.withheld END";
    let values: [Value; 12] = [
        text(&row.policy),
        text(&row.share),
        row.owner.as_str().into(),
        int(row.version.into()),
        json(&row.state).into(),
        int(row.expires),
        int(row.signed),
        text(&row.key),
        text(&row.package),
        text(&row.package_id),
        row.call.as_ref().map(json).into(),
        int(row.withheld.into()),
    ];
    on.execute_raw(statement(on, sql, values)).await?;
    Ok(())
}

/// A policy whose columns begin at `at`.
fn policy_row(row: &QueryResult, at: usize) -> Result<PolicyRow, Failure> {
    let string = |index| row.try_get_by_index::<String>(at + index);
    Ok(PolicyRow {
        policy: parse(&string(0)?)?,
        share: parse(&string(1)?)?,
        owner: string(2)?,
        version: u32::try_from(number(row, at + 3)?).map_err(|_| damaged("a policy's version"))?,
        state: from_json(&string(4)?)?,
        expires: number(row, at + 5)?,
        signed: number(row, at + 6)?,
        key: parse(&string(7)?)?,
        package: parse(&string(8)?)?,
        package_id: parse(&string(9)?)?,
        call: row
            .try_get_by_index::<Option<String>>(at + 10)?
            .as_deref()
            .map(from_json)
            .transpose()?,
        withheld: number(row, at + 11)? != 0,
    })
}

pub(super) async fn insert_commitments(
    on: &impl ConnectionTrait,
    new: Vec<(ShareId, String, Commitment)>,
) -> Result<(), Failure> {
    let row = |(share, identity, commitment): (ShareId, String, Commitment)| {
        [text(&share), identity.into(), text(&commitment)]
    };
    insert(on, "key_consumer (share, identity, commitment)", new.into_iter().map(row).collect())
        .await
}

/// Revokes the tokens of an access.
pub(super) async fn revoke(
    on: &impl ConnectionTrait,
    request: &Digest,
    until: Timestamp,
) -> Result<(), Failure> {
    let sql = "INSERT INTO key_revocation (request, until) VALUES ($1, $2) ON CONFLICT (request) DO NOTHING";
    on.execute_raw(statement(on, sql, [text(request), int(until)])).await?;
    Ok(())
}

/// Forgets the revocations of tokens that are dead anyway.
pub(super) async fn forget_revocations(
    on: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<(), Failure> {
    on.execute_raw(statement(on, "DELETE FROM key_revocation WHERE until <= $1", [int(now)]))
        .await?;
    Ok(())
}

/// Destroys what names `identity`: its keys, policies and requests. `mark` makes what stands for it
/// on a share.
pub(super) async fn erase(
    on: &impl ConnectionTrait,
    identity: &Identity,
    mark: impl Fn(&ShareId) -> String + Send,
) -> Result<(), Failure> {
    let name = identity.to_string();
    let sql = "SELECT share FROM key_consumer WHERE identity = $1";
    for row in on.query_all_raw(statement(on, sql, [name.as_str().into()])).await? {
        let share: ShareId = parse(&row.try_get_by_index::<String>(0)?)?;
        let sql = "INSERT INTO key_tombstone (share, mark) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        on.execute_raw(statement(on, sql, [text(&share), mark(&share).into()])).await?;
    }
    for sql in [
        "DELETE FROM key_consumer WHERE identity = $1",
        "DELETE FROM key_release WHERE consumer = $1 OR owner = $1",
        "DELETE FROM key_policy WHERE owner = $1",
        "DELETE FROM key_entry WHERE owner = $1",
    ] {
        on.execute_raw(statement(on, sql, [name.as_str().into()])).await?;
    }
    Ok(())
}

/// A release that has been made durable.
#[derive(Debug, Clone)]
pub(super) struct ReleaseRow {
    pub(super) key_request: Digest,
    pub(super) request: Digest,
    pub(super) share: ShareId,
    pub(super) owner: String,
    /// Whose key request it is; none of releases before this was kept.
    pub(super) consumer: Option<String>,
    pub(super) time: Timestamp,
    /// The sealed key as JSON; none when a token for it can no longer live.
    pub(super) sealed: Option<String>,
    pub(super) signed_release: String,
    pub(super) signed_request: String,
}

const RELEASE_COLUMNS: &str =
    "key_request, request, share, owner, time, sealed, signed_release, signed_request, consumer";

/// What stands before a release that is to be recorded.
pub(super) struct Before {
    /// The access's tokens were revoked.
    pub(super) revoked: bool,
    /// The consumer has accessed the share by an account that was erased.
    pub(super) erased: bool,
    /// The one commitment by which the consumer has been known on the share.
    pub(super) commitment: Option<Commitment>,
    /// How often keys were released for the access.
    pub(super) count: u64,
    /// The release that answered the same key request.
    pub(super) release: Option<ReleaseRow>,
}

/// What stands before each of `new`, in their order.
pub(super) async fn before(on: &impl ConnectionTrait, new: &[New]) -> Result<Vec<Before>, Failure> {
    let asked = padded(new.iter().zip(0..).collect());
    let sql = format!(
        "WITH asked (n, request, key_request, share, consumer, mark) AS (VALUES {}) SELECT n, \
         (SELECT COUNT(*) FROM key_revocation r WHERE r.request = asked.request), \
         (SELECT COUNT(*) FROM key_tombstone t WHERE t.share = asked.share AND t.mark = asked.mark), \
         (SELECT commitment FROM key_consumer c WHERE c.share = asked.share AND c.identity = asked.consumer), \
         (SELECT COUNT(*) FROM key_release r WHERE r.request = asked.request), \
         (SELECT COUNT(*) FROM key_release r WHERE r.key_request = asked.key_request) FROM asked",
        placeholders(on, asked.len(), 6)
    );
    let values = asked.into_iter().flat_map(|(new, n)| {
        let row = &new.row;
        let consumer = text(&new.decision.consumer);
        [
            int(n),
            text(&row.request),
            text(&row.key_request),
            text(&row.share),
            consumer,
            text(&new.mark),
        ]
    });
    let mut found: Vec<Option<Before>> = new.iter().map(|_| None).collect();
    for row in on.query_all_raw(statement(on, sql, values)).await? {
        let n = usize::try_from(number(&row, 0)?).ok();
        let Some((place, new)) = n.and_then(|n| found.get_mut(n).zip(new.get(n))) else { continue };
        let commitment: Option<String> = row.try_get_by_index(3)?;
        let release = match number(&row, 5)? {
            0 => None,
            _ => release(on, &new.row.key_request).await?,
        };
        *place = Some(Before {
            revoked: number(&row, 1)? > 0,
            erased: number(&row, 2)? > 0,
            commitment: commitment.as_deref().map(parse).transpose()?,
            count: number(&row, 4)?,
            release,
        });
    }
    found
        .into_iter()
        .map(|before| before.ok_or_else(|| damaged("what stands before a release")))
        .collect()
}

/// The release that answered a key request.
async fn release(
    on: &impl ConnectionTrait,
    key_request: &Digest,
) -> Result<Option<ReleaseRow>, Failure> {
    let sql = format!("SELECT {RELEASE_COLUMNS} FROM key_release WHERE key_request = $1");
    let row = on.query_one_raw(statement(on, sql, [text(key_request)])).await?;
    row.as_ref().map(release_row).transpose()
}

/// The releases of `owner`'s keys on `share`, by key request behind `after`, a page of them.
pub(super) async fn releases_of(
    on: &impl ConnectionTrait,
    share: &ShareId,
    owner: &str,
    after: Option<&Digest>,
) -> Result<Vec<ReleaseRow>, Failure> {
    let sql = format!(
        "SELECT {RELEASE_COLUMNS} FROM key_release WHERE share = $1 AND owner = $2 AND key_request > $3 \
         ORDER BY key_request LIMIT {PAGE}"
    );
    let after = after.map(ToString::to_string).unwrap_or_default();
    let rows =
        on.query_all_raw(statement(on, sql, [text(share), owner.into(), after.into()])).await?;
    rows.iter().map(release_row).collect()
}

pub(super) async fn insert_releases(
    on: &impl ConnectionTrait,
    rows: Vec<ReleaseRow>,
) -> Result<(), Failure> {
    let values = |row: ReleaseRow| -> [Value; 9] {
        [
            text(&row.key_request),
            text(&row.request),
            text(&row.share),
            row.owner.into(),
            int(row.time),
            row.sealed.into(),
            row.signed_release.into(),
            row.signed_request.into(),
            row.consumer.into(),
        ]
    };
    let rows = rows.into_iter().map(values).collect();
    insert(on, &format!("key_release ({RELEASE_COLUMNS})"), rows).await
}

/// Forgets the sealed keys of releases before `before`; that they were released stays.
pub(super) async fn forget_sealed(
    on: &impl ConnectionTrait,
    before: Timestamp,
) -> Result<(), Failure> {
    let sql = "UPDATE key_release SET sealed = NULL WHERE time < $1 AND sealed IS NOT NULL";
    on.execute_raw(statement(on, sql, [int(before)])).await?;
    Ok(())
}

fn release_row(row: &QueryResult) -> Result<ReleaseRow, Failure> {
    let string = |index| row.try_get_by_index::<String>(index);
    Ok(ReleaseRow {
        key_request: parse(&string(0)?)?,
        request: parse(&string(1)?)?,
        share: parse(&string(2)?)?,
        owner: string(3)?,
        time: number(row, 4)?,
        sealed: row.try_get_by_index(5)?,
        signed_release: string(6)?,
        signed_request: string(7)?,
        consumer: row.try_get_by_index(8)?,
    })
}

/// What proves each version of the KEK that this database is encrypted with. The greatest is the
/// one in use.
pub(super) async fn kek_proofs(on: &impl ConnectionTrait) -> Result<Vec<(u32, String)>, Failure> {
    let rows = on
        .query_all_raw(statement(on, "SELECT version, sealed FROM key_kek ORDER BY version", []))
        .await?;
    rows.iter().map(|row| Ok((version(row, 0)?, row.try_get_by_index(1)?))).collect()
}

/// The version of the KEK in use; 0 in a new database.
pub(super) async fn kek_in_use(on: &impl ConnectionTrait) -> Result<u32, Failure> {
    let sql = "SELECT COALESCE(MAX(version), 0) FROM key_kek";
    let number = count(on, sql, []).await?;
    u32::try_from(number).map_err(|_| damaged("the version of the key-encryption key"))
}

pub(super) async fn write_kek_proof(
    on: &impl ConnectionTrait,
    version: u32,
    sealed: &str,
) -> Result<(), Failure> {
    let sql = "INSERT INTO key_kek (version, sealed) VALUES ($1, $2)";
    on.execute_raw(statement(on, sql, [int(version.into()), sealed.into()])).await?;
    Ok(())
}

/// Up to `max` keys under versions of the KEK before `version`.
pub(super) async fn keys_before_kek(
    on: &impl ConnectionTrait,
    version: u32,
    max: u64,
) -> Result<Vec<(KeyId, StoredKey)>, Failure> {
    let sql = "SELECT id FROM key_entry WHERE kek < $1 LIMIT $2";
    let rows = on.query_all_raw(statement(on, sql, [int(version.into()), int(max)])).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let id = parse(&row.try_get_by_index::<String>(0)?)?;
        keys.extend(key(on, &id).await?.and_then(|entry| Some((id, entry.stored?))));
    }
    Ok(keys)
}

/// Puts a key that was encrypted anew in its place.
pub(super) async fn rekey(
    on: &impl ConnectionTrait,
    id: &KeyId,
    kek: u32,
    sealed: &str,
) -> Result<(), Failure> {
    let sql = "UPDATE key_entry SET kek = $2, sealed = $3 WHERE id = $1";
    on.execute_raw(statement(on, sql, [text(id), int(kek.into()), sealed.into()])).await?;
    Ok(())
}

/// Forgets the versions of the KEK before `version`, which nothing is encrypted with any more.
pub(super) async fn forget_keks(on: &impl ConnectionTrait, version: u32) -> Result<(), Failure> {
    on.execute_raw(statement(on, "DELETE FROM key_kek WHERE version < $1", [int(version.into())]))
        .await?;
    Ok(())
}

/// Inserts rows; `into` is a table's name and its columns.
async fn insert<const N: usize>(
    on: &impl ConnectionTrait,
    into: &str,
    rows: Vec<[Value; N]>,
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!("INSERT INTO {into} VALUES {}", placeholders(on, rows.len(), N));
    on.execute_raw(statement(on, sql, rows.into_iter().flatten())).await?;
    Ok(())
}

async fn count(
    on: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, Failure> {
    match on.query_one_raw(statement(on, sql, values)).await? {
        Some(row) => number(&row, 0),
        None => Err(DbErr::RecordNotFound("a count".to_owned()).into()),
    }
}

fn text(id: &impl ToString) -> Value {
    id.to_string().into()
}

/// Numbers here are far below 2^63.
fn int(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn number(row: &QueryResult, index: usize) -> Result<u64, Failure> {
    u64::try_from(row.try_get_by_index::<i64>(index)?).map_err(|_| damaged("a number is negative"))
}

fn version(row: &QueryResult, index: usize) -> Result<u32, Failure> {
    u32::try_from(number(row, index)?).map_err(|_| damaged("a version of the key-encryption key"))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what is stored has only string keys")
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|_| damaged("a value is not what was stored"))
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| damaged("an identifier is not what was stored"))
}

fn damaged(what: &str) -> Failure {
    StoreError::Damaged(what.to_owned()).into()
}
