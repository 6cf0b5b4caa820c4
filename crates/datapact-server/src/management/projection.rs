//! What follows from the ledger's events: for which tables that users read, and for what they are
//! told. What is written belongs to the nouns; here is decided what follows from which event.

use std::collections::{BTreeMap, HashMap, HashSet};

use datapact_api::management::{CatalogEntry, NotificationEvent};
use datapact_core::contract::{AccessRecord, Documents, Receipt, ShareRecord, UsageRecord};
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_ledger::port::Event;
use datapact_store::{Db, Tx, text};

use super::access::table::{self as access_table, NewRecord};
use super::account::table as account_table;
use super::catalog;
use super::failure::Result;
use super::notification::table::{self as notification_table, NewNotification};
use super::policy::{retention, table as policy_table};
use super::submit::{Cursor, DocumentedEvent, Projection, Submission};

/// The tables that users read.
pub(super) struct Tables;

impl Projection for Tables {
    fn apply(
        &self,
        tx: &Tx,
        cursor: &mut Cursor,
        events: Vec<DocumentedEvent>,
        now: Timestamp,
    ) -> Result<()> {
        let mut consequences = Consequences { cursor: *cursor, ..Consequences::default() };
        for documented in events {
            consequences.apply(tx, documented)?;
        }
        *cursor = consequences.write(tx)?;
        notification_table::forget_acknowledged(tx, now)?;
        Ok(())
    }

    fn applied(&self, db: &Db, submissions: &[Submission]) -> Result<HashSet<Digest>> {
        let (mut policies, mut accesses, mut usages) = (Vec::new(), Vec::new(), Vec::new());
        for Submission { id, documents, .. } in submissions {
            match **documents {
                Documents::Policy { .. } => policies.push(text(id)),
                Documents::Access { .. } => accesses.push(text(id)),
                Documents::Usage { .. } => usages.push(text(id)),
            }
        }
        let mut applied = HashSet::new();
        for (sql, ids) in [
            ("SELECT id FROM policy WHERE id IN", policies),
            ("SELECT request FROM access WHERE request IN", accesses),
            ("SELECT report FROM usage WHERE report IN", usages),
        ] {
            for row in db.rows_of(sql, ids)? {
                applied.insert(row.parse(0)?);
            }
        }
        Ok(applied)
    }

    fn inactive(&self, db: &Db, submissions: &[Submission]) -> Result<HashSet<Identity>> {
        let signers: HashSet<_> = submissions.iter().map(Submission::signer).collect();
        let active = account_table::active_of(db, signers.iter().copied())?;
        Ok(signers.into_iter().filter(|signer| !active.contains(*signer)).cloned().collect())
    }
}

/// What follows from a batch of events, gathered to be written with few statements.
#[derive(Default)]
struct Consequences {
    cursor: Cursor,
    /// Providers of shares, as far as they were looked up.
    providers: HashMap<ShareId, Option<Identity>>,
    accesses: Vec<NewRecord>,
    usages: Vec<NewRecord>,
    notifications: Vec<NewNotification>,
    /// New accesses of each share.
    access_counts: BTreeMap<ShareId, u64>,
}

impl Consequences {
    fn apply(&mut self, tx: &Tx, documented: DocumentedEvent) -> Result<()> {
        let DocumentedEvent { event, contract, documents } = documented;
        match (&event.receipt, documents.as_deref()) {
            (Receipt::Policy(record), Some(Documents::Policy { policy, .. })) => {
                self.set_policy(tx, &event, record, policy, contract)
            }
            (Receipt::Access(record), Some(Documents::Access { request, .. })) => {
                self.add_access(tx, event.position, record, request)
            }
            (Receipt::Usage(record), Some(Documents::Usage { report, .. })) => {
                self.add_usage(tx, event.position, record, report)
            }
            // Another program writes to the ledger with this management's key. Users go on, and
            // the operator is told.
            _ => {
                let position = event.position;
                tracing::error!(position, "this management has no documents of a ledger entry");
                Ok(())
            }
        }
    }

    fn set_policy(
        &mut self,
        tx: &Tx,
        event: &Event,
        record: &ShareRecord,
        policy: &Signed<SharingPolicy>,
        contract: String,
    ) -> Result<()> {
        let (body, provider) = (policy.body(), policy.signer());
        let (share, version, state) = (body.share, body.version, record.policy.state);
        self.providers.remove(&share);
        self.cursor.event += 1;
        let entry = CatalogEntry {
            event: self.cursor.event,
            share,
            version,
            policy: policy.id(),
            contract: contract.clone(),
            state,
            provider: provider.clone(),
            information: body.information.clone(),
            expires: body.permission.expires,
        };
        policy_table::insert(tx, policy, event.position)?;
        // Before the share's row is replaced, which still names the package of the version before.
        retention::note_replaced(tx, &entry, event.time)?;
        policy_table::set_share(tx, &entry, event.time)?;
        catalog::index::index(tx, &entry, body)?;
        catalog::publications::add(tx, &entry)?;
        let event_time = event.time;
        let event = NotificationEvent::PolicySet { version, state, contract };
        self.notify(provider, None, event_time, share, event);
        Ok(())
    }

    fn add_access(
        &mut self,
        db: &Db,
        position: u64,
        record: &AccessRecord,
        request: &Signed<AccessRequest>,
    ) -> Result<()> {
        let (share, consumer) = (record.request.share, request.signer());
        let Some(provider) = self.provider_of(db, &share)? else { return Ok(()) };
        self.accesses.push(NewRecord::of(request, share, &provider, position, record)?);
        *self.access_counts.entry(share).or_default() += 1;
        let event = NotificationEvent::AccessGranted {
            request: request.id(),
            consumer: consumer.clone(),
            access: record.access,
        };
        if provider != *consumer {
            self.notify(consumer, None, record.time, share, event.clone());
        }
        self.notify(&provider, Some(consumer), record.time, share, event);
        Ok(())
    }

    fn add_usage(
        &mut self,
        db: &Db,
        position: u64,
        record: &UsageRecord,
        report: &Signed<UsageReport>,
    ) -> Result<()> {
        let (share, consumer) = (record.usage.share, report.signer());
        let Some(provider) = self.provider_of(db, &share)? else { return Ok(()) };
        self.usages.push(NewRecord::of(report, share, &provider, position, record)?);
        let event = NotificationEvent::UsageReported {
            request: record.usage.request,
            consumer: consumer.clone(),
            action: report.body().action,
        };
        self.notify(&provider, Some(consumer), record.time, share, event);
        Ok(())
    }

    /// A share's provider. None where its policies were lost with a disk, so that only the ledger
    /// knows of it.
    fn provider_of(&mut self, db: &Db, share: &ShareId) -> Result<Option<Identity>> {
        if let Some(provider) = self.providers.get(share) {
            return Ok(provider.clone());
        }
        let provider = policy_table::provider(db, share)?;
        if provider.is_none() {
            tracing::error!(%share, "this management has no policy of a share on the ledger");
        }
        self.providers.insert(*share, provider.clone());
        Ok(provider)
    }

    /// Tells `holder` of an event; `subject` is the other user whom it names.
    fn notify(
        &mut self,
        holder: &Identity,
        subject: Option<&Identity>,
        time: Timestamp,
        share: ShareId,
        event: NotificationEvent,
    ) {
        self.cursor.sequence += 1;
        let (sequence, holder) = (self.cursor.sequence, holder.clone());
        let subject = subject.cloned();
        self.notifications.push(NewNotification { sequence, holder, subject, time, share, event });
    }

    fn write(self, tx: &Tx) -> Result<Cursor> {
        access_table::insert_accesses(tx, self.accesses)?;
        access_table::insert_usages(tx, self.usages)?;
        policy_table::count_accesses(tx, &self.access_counts)?;
        notification_table::insert(tx, self.notifications)?;
        Ok(self.cursor)
    }
}
