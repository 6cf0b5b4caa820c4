//! Access management (MG-8 to MG-13, AX-3 to AX-11) and usage records (UR-2).

use datapact_api::management::{
    AccessEntry, AccessGrant, Account, RecordQuery, UsageEntry, UsageReceipt,
};
use datapact_api::problem::{Kind, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{
    Call, Counter, Documents, Receipt, Refusal, ShareRecord, Value, Values, check, counter_key,
    decide, share_key,
};
use datapact_core::document::{AccessRequest, Body, UsageReport};
use datapact_core::id::{Digest, Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_ledger::store::{Group, padded, placeholders};
use datapact_ledger::{LedgerReceipt, Store};
use sea_orm::{ConnectionTrait, Value as Parameter};

use super::failure::{Failure, Result};
use super::intents::Submitted;
use super::schema::{Row, number, row, rows, text};
use super::{Server, Session, accounts};

/// How many records a page holds.
const PAGE: u64 = 200;

/// A request for access, as management asks for what it knows of it.
pub(super) struct Asked {
    consumer: Identity,
    request: Digest,
    share: ShareId,
    /// What stands for the consumer on the share if it was erased.
    mark: String,
}

/// Gives what is known of requests for access.
pub(super) type Knowing = Group<Asked, Known, Failure>;

/// What management knows of a request for access, besides what the ledger says.
#[derive(Clone)]
pub(super) struct Known {
    /// Of the consumer.
    account: Option<Account>,
    /// It was recorded before.
    recorded: bool,
    /// The share's provider was not erased.
    offered: bool,
    /// The consumer has accessed the share by an account that was erased.
    erased: bool,
    /// The consumer's salt on the share, if one was drawn.
    salt: Option<Salt>,
}

/// What is known of requests for access, read for all that wait together.
pub(super) fn knowing(store: Store) -> Knowing {
    Group::reading(store, |on, asked| Box::pin(async move { known_of_all(&on, asked).await }))
}

async fn known_of_all(on: &impl ConnectionTrait, asked: Vec<Asked>) -> Result<Vec<Result<Known>>> {
    let columns = accounts::COLUMNS
        .split(", ")
        .map(|column| format!("c.{column}"))
        .collect::<Vec<_>>()
        .join(", ");
    let listed = padded(asked.iter().zip(0..).collect());
    let sql = format!(
        "WITH asked (n, consumer, request, share, mark) AS (VALUES {}) SELECT {columns}, \
         (SELECT COUNT(*) FROM access WHERE access.request = asked.request), \
         (SELECT COUNT(*) FROM share WHERE share.id = asked.share), \
         (SELECT COUNT(*) FROM tombstone t WHERE t.share = asked.share AND t.mark = asked.mark), \
         (SELECT salt FROM salt WHERE salt.share = asked.share AND salt.identity = asked.consumer), asked.n \
         FROM asked JOIN account c ON c.identity = asked.consumer",
        placeholders(on, listed.len(), 5)
    );
    let values = listed.into_iter().flat_map(|(asked, n)| {
        [
            number(n),
            text(&asked.consumer),
            text(asked.request),
            text(asked.share),
            text(&asked.mark),
        ]
    });
    let nothing =
        Known { account: None, recorded: false, offered: false, erased: false, salt: None };
    let mut known: Vec<Result<Known>> = asked.iter().map(|_| Ok(nothing.clone())).collect();
    for row in rows(on, sql, values.collect::<Vec<_>>()).await? {
        let n = usize::try_from(row.number(11)?).ok();
        if let Some(known) = n.and_then(|n| known.get_mut(n)) {
            *known = known_row(&row);
        }
    }
    Ok(known)
}

fn known_row(row: &Row) -> Result<Known> {
    let any = |index| row.number(index).map(|count| count > 0);
    let salt = row.optional(10)?.map(|salt| salt.parse()).transpose();
    let salt = salt.map_err(|_| Problem::internal("a salt is not what was stored"))?;
    let account = Some(accounts::read(row)?);
    Ok(Known { account, recorded: any(7)?, offered: any(8)?, erased: any(9)?, salt })
}

impl Session {
    pub(super) async fn access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant> {
        let identity = self.caller.require_user()?;
        let server = &self.service;
        of_caller(request, identity)?;
        let share = request.body().share;
        // Two tries: a salt is drawn at most once for each share and identity.
        for _ in 0..2 {
            let known = server.known_of(request, identity).await?;
            let account = accounts::accessing(known.account, identity)?;
            if known.recorded {
                break;
            }
            let drawn = known.salt.is_none();
            let salt = known.salt.unwrap_or_else(Salt::random);
            let consumer = Opening { identity: identity.clone(), salt };
            let (record, counter) =
                server.ledger.standing(&share, &consumer.commitment(&share)).await?;
            let record = record.filter(|_| known.offered).ok_or(Refusal::UnknownShare)?;
            if known.erased {
                let problem =
                    Problem::forbidden("an erased account of yours has accessed this share");
                return Err(problem.hint("ask its provider for a new share").into());
            }
            if server.kept_policy(&record.policy.policy).await?.is_none() {
                let detail = "management does not have this share's policy";
                let problem = Problem::new(Kind::Unavailable, detail);
                return Err(problem
                    .hint(
                        "try again in a moment; if it stays so, ask the provider to share it anew",
                    )
                    .into());
            }
            let now = server.now();
            let call =
                Call::of_request(request, &consumer, &account.attributes, &record.policy.terms)?;
            let attributes = account.attributes.clone();
            let documents = Documents::Access {
                request: request.clone(),
                consumer: consumer.clone(),
                attributes,
            };
            check(&call, &documents, &(server.trust)(), &server.ledger_id, now)?;
            server.would_grant(&call, record, counter, now).await?;
            let kept = drawn.then(|| consumer.clone());
            if let Submitted::Applied(Some(receipt)) =
                server.submit(request.id(), call, documents, kept).await?
                && let LedgerReceipt { position, receipt: Receipt::Access(record), .. } = *receipt
            {
                let policy = server.kept_policy(&record.request.policy).await?;
                return self.grant(&account, position, record, consumer, policy);
            }
        }
        let account = self.active_account().await?;
        // Recorded before: perhaps long ago, so that anything may have happened since.
        let access = server.recorded_access(&request.id()).await?;
        let access = access.ok_or_else(|| Problem::internal("an applied access is not there"))?;
        if server.is_revoked(&request.id()).await? {
            let problem = Problem::forbidden("the access token of this access was revoked");
            return Err(problem.hint("ask for access anew, by a new request").into());
        }
        let policy = server.policy(&access.record.request.policy).await?;
        self.grant(&account, access.position, access.record, access.consumer, policy)
    }

    pub(super) async fn access_records(&self, query: &RecordQuery) -> Result<Vec<AccessEntry>> {
        let columns = "t.position, t.record, t.document, s.salt, t.consumer";
        let found = self.records("access", columns, query).await?;
        found.iter().map(access_entry).collect()
    }

    pub(super) async fn usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt> {
        let account = self.active_account().await?;
        let server = &self.service;
        of_caller(report, &account.identity)?;
        if let Some(receipt) = server.recorded_usage(&report.id()).await? {
            return Ok(receipt);
        }
        // Whoever has had an access has a salt.
        let consumer = server.opening(&report.body().share, &account.identity).await?;
        let consumer = consumer.ok_or(Refusal::UnknownAccess)?;
        let call = Call::of_report(report, &consumer)?;
        let documents = Documents::Usage { report: report.clone(), consumer };
        check(&call, &documents, &(server.trust)(), &server.ledger_id, server.now())?;
        server.submit(report.id(), call, documents, None).await?;
        let receipt = server.recorded_usage(&report.id()).await?;
        receipt.ok_or_else(|| Problem::internal("an applied usage report is not there").into())
    }

    pub(super) async fn usage_records(&self, query: &RecordQuery) -> Result<Vec<UsageEntry>> {
        let found = self.records("usage", "t.position, t.record, t.document", query).await?;
        found
            .iter()
            .map(|row| {
                Ok(UsageEntry {
                    position: row.number(0)?,
                    record: row.json(1)?,
                    report: row.signed(2)?,
                })
            })
            .collect()
    }

    /// The records of `table` that are the caller's own or of its shares (MG-13), oldest first.
    async fn records(&self, table: &str, columns: &str, query: &RecordQuery) -> Result<Vec<Row>> {
        let account = self.active_account().await?;
        let from = match query.after {
            Some(after) => after
                .checked_add(1)
                .filter(|from| i64::try_from(*from).is_ok())
                .ok_or_else(|| Problem::malformed("`after` is larger than any position"))?,
            None => 0,
        };
        let mut values: Vec<Parameter> = vec![text(&account.identity), number(from), number(PAGE)];
        let mut of_share = "";
        if let Some(share) = &query.share {
            values.push(text(share));
            of_share = "AND t.share = $4";
        }
        let sql = format!(
            "SELECT {columns} FROM {table} t \
             JOIN salt s ON s.share = t.share AND s.identity = t.consumer \
             WHERE (t.consumer = $1 OR t.provider = $1) AND t.position >= $2 {of_share} \
             ORDER BY t.position LIMIT $3"
        );
        Ok(rows(self.service.store.read(), sql, values).await?)
    }
}

impl Server {
    /// The access that the document `id` was granted, once it is applied.
    async fn recorded_access(&self, id: &Digest) -> Result<Option<AccessEntry>> {
        let sql = "SELECT t.position, t.record, t.document, s.salt, t.consumer FROM access t \
                   JOIN salt s ON s.share = t.share AND s.identity = t.consumer WHERE t.request = $1";
        row(self.store.read(), sql, [text(id)]).await?.map(|row| access_entry(&row)).transpose()
    }

    async fn recorded_usage(&self, id: &Digest) -> Result<Option<UsageReceipt>> {
        let sql = "SELECT position, record FROM usage WHERE report = $1";
        let row = row(self.store.read(), sql, [text(id)]).await?;
        row.map(|row| Ok(UsageReceipt { position: row.number(0)?, record: row.json(1)? }))
            .transpose()
    }

    /// What management knows of `request` by `consumer`.
    async fn known_of(
        &self,
        request: &Signed<AccessRequest>,
        consumer: &Identity,
    ) -> Result<Known> {
        let share = request.body().share;
        let mark = self.marker.on_share(consumer, &share);
        self.known
            .ask(Asked { consumer: consumer.clone(), request: request.id(), share, mark })
            .await
    }

    /// The contract's judgement by what the ledger says now, so that what it refuses leaves no
    /// trace; the ledger's own judgement counts.
    async fn would_grant(
        &self,
        call: &Call,
        share: ShareRecord,
        counter: Counter,
        now: u64,
    ) -> Result<()> {
        let Call::RequestAccess(request) = call else { return Ok(()) };
        let values = Values::from([
            (share_key(&request.share), Value::Share(share)),
            (counter_key(&request.share, &request.consumer), Value::Counter(counter)),
        ]);
        match decide(call, &values, now) {
            Ok(_) => Ok(()),
            // Granted already, perhaps a moment ago under another salt than the one just drawn:
            // `submit` tells.
            Err(_) if self.ledger.access(&request.request).await?.is_some() => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Refuses a document that somebody else signed: nobody can use another's request.
fn of_caller<B: Body>(document: &Signed<B>, caller: &Identity) -> Result<()> {
    if document.signer() == caller {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "somebody else has signed the document").into())
}

/// From a row of position, record, document, salt and consumer.
fn access_entry(row: &Row) -> Result<AccessEntry> {
    Ok(AccessEntry {
        position: row.number(0)?,
        record: row.json(1)?,
        request: row.signed(2)?,
        consumer: Opening { salt: row.parse(3)?, identity: row.parse(4)? },
    })
}
