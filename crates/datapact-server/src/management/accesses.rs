//! Access management (MG-8 to MG-13, AX-3 to AX-11) and usage records (UR-2).

use datapact_api::management::{AccessEntry, AccessGrant, RecordQuery, UsageEntry, UsageReceipt};
use datapact_api::problem::{Kind, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{
    Call, Documents, Refusal, Value, Values, check, counter_key, decide, share_key,
};
use datapact_core::document::{AccessRequest, Body, UsageReport};
use datapact_core::id::{Digest, Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use sea_orm::Value as Parameter;

use super::failure::{Failure, Result};
use super::schema::{Row, number, row, rows, text};
use super::{Server, Session};

/// How many records a page holds.
const PAGE: u64 = 200;

impl Session {
    pub(super) async fn access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant> {
        let account = self.accessing_account().await?;
        let server = &self.server;
        of_caller(request, &account.identity)?;
        let share = request.body().share;
        // Two tries: a salt is drawn at most once for each share and identity.
        for _ in 0..2 {
            if let Some(access) = server.recorded_access(&request.id()).await? {
                return self.grant(&account, access.position, access.record, access.consumer).await;
            }
            let now = server.now();
            let record = server.ledger.share(&share).await?.ok_or(Refusal::UnknownShare)?;
            server.still_offered(&share, &account.identity).await?;
            if server.policy(&record.policy.policy).await?.is_none() {
                let detail = "management does not have this share's policy";
                let problem = Problem::new(Kind::Unavailable, detail);
                return Err(problem
                    .hint("try again in a moment; if it stays so, ask the provider to share it anew")
                    .into());
            }
            let kept = server.opening(&share, &account.identity).await?;
            let drawn = kept.is_none();
            let consumer =
                kept.unwrap_or_else(|| Opening { identity: account.identity.clone(), salt: Salt::random() });
            let call = Call::of_request(request, &consumer, &account.attributes, &record.policy.terms)?;
            let attributes = account.attributes.clone();
            let documents =
                Documents::Access { request: request.clone(), consumer: consumer.clone(), attributes };
            check(&call, &documents, &(server.trust)(), &server.ledger_id, now)?;
            server.would_grant(&call, now).await?;
            let drawn = drawn.then_some(consumer);
            server.submit(request.id(), call, documents, drawn).await?;
        }
        match server.recorded_access(&request.id()).await? {
            Some(access) => self.grant(&account, access.position, access.record, access.consumer).await,
            None => Err(Problem::internal("an applied access is not there").into()),
        }
    }

    pub(super) async fn access_records(&self, query: &RecordQuery) -> Result<Vec<AccessEntry>> {
        let columns = "t.position, t.record, t.document, s.salt, t.consumer";
        let found = self.records("access", columns, query).await?;
        found.iter().map(access_entry).collect()
    }

    pub(super) async fn usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt> {
        let account = self.active_account().await?;
        let server = &self.server;
        of_caller(report, &account.identity)?;
        if let Some(receipt) = server.recorded_usage(&report.id()).await? {
            return Ok(receipt);
        }
        // Whoever has had an access has a salt.
        let consumer = server.opening(&report.body().share, &account.identity).await?;
        let consumer = consumer.ok_or(Refusal::UnknownAccess)?;
        let call = Call::of_report(report, &consumer)?;
        let documents = Documents::Usage { report: report.clone(), consumer };
        server.submit(report.id(), call, documents, None).await?;
        let receipt = server.recorded_usage(&report.id()).await?;
        receipt.ok_or_else(|| Problem::internal("an applied usage report is not there").into())
    }

    pub(super) async fn usage_records(&self, query: &RecordQuery) -> Result<Vec<UsageEntry>> {
        let found = self.records("usage", "t.position, t.record, t.document", query).await?;
        found
            .iter()
            .map(|row| {
                Ok(UsageEntry { position: row.number(0)?, record: row.json(1)?, report: row.signed(2)? })
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
        Ok(rows(self.server.store.read(), sql, values).await?)
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
        row.map(|row| Ok(UsageReceipt { position: row.number(0)?, record: row.json(1)? })).transpose()
    }

    /// Refuses access to a share whose provider was erased, and a second count to a user who was.
    async fn still_offered(&self, share: &ShareId, consumer: &Identity) -> Result<()> {
        let sql = "SELECT (SELECT COUNT(*) FROM tombstone t WHERE t.share = s.id AND t.mark = $2) \
                   FROM share s WHERE s.id = $1";
        let values = [text(share), text(self.marker.on_share(consumer, share))];
        let row = row(self.store.read(), sql, values).await?.ok_or(Refusal::UnknownShare)?;
        if row.number(0)? == 0 {
            return Ok(());
        }
        let problem = Problem::forbidden("an erased account of yours has accessed this share");
        Err(problem.hint("ask its provider for a new share").into())
    }

    /// The contract's judgement by what the ledger says now, so that what it refuses leaves no trace; the ledger's
    /// own judgement counts.
    async fn would_grant(&self, call: &Call, now: u64) -> Result<()> {
        let Call::RequestAccess(request) = call else { return Ok(()) };
        if self.ledger.access(&request.request).await?.is_some() {
            // Granted already, perhaps a moment ago under another salt than the one just drawn: `submit` tells.
            return Ok(());
        }
        let mut values = Values::new();
        if let Some(record) = self.ledger.share(&request.share).await? {
            values.insert(share_key(&request.share), Value::Share(record));
        }
        let counter = self.ledger.counter(&request.share, &request.consumer).await?;
        values.insert(counter_key(&request.share, &request.consumer), Value::Counter(counter));
        decide(call, &values, now).map(drop).map_err(Failure::from)
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
