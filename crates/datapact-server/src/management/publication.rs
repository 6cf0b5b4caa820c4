//! Information publication and subscription (MG-14, MG-15, SH-10 to SH-12), and notifications
//! (US-5).

use std::sync::Arc;
use std::time::Duration;

use datapact_api::management::{
    CatalogDetail, CatalogEntry, Notification, NotificationEvent, NotificationQuery,
};
use datapact_api::problem::{self, Kind, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{Refusal, eligible};
use datapact_core::id::{Salt, ShareId, SubscriptionId};
use datapact_core::terms::Name;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::Session;
use super::failure::Result;
use super::schema::{number, row, rows, run, text};
use super::search::Matcher;
use super::subscriptions::filter_of;

/// How many notifications an answer holds.
const NOTIFICATIONS_PAGE: u64 = 200;
/// How many publications a subscriber is read ahead.
const READ_AHEAD: u64 = 32;
/// How often a silent subscription is checked: a disabled account hears nothing more.
const SUBSCRIPTION_CHECK: Duration = Duration::from_secs(15);

/// A notification without its number and time, as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct NotificationBody {
    pub(super) share: ShareId,
    pub(super) event: NotificationEvent,
}

impl Session {
    pub(super) async fn detail(
        &self,
        share: &ShareId,
        purpose: Option<&Name>,
    ) -> Result<CatalogDetail> {
        let account = self.active_account().await?;
        let (server, caller) = (&self.service, &account.identity);
        let sql = "SELECT entry FROM share WHERE id = $1";
        let row =
            row(server.store.read(), sql, [text(share)]).await?.ok_or(Refusal::UnknownShare)?;
        let entry: CatalogEntry = row.json(0)?;
        let missing = || Problem::internal(format!("the share {share} is not whole"));
        let policy = server.policy(&entry.policy).await?.ok_or_else(missing)?;
        let record = server.ledger.share(share).await?.ok_or_else(missing)?;
        // Somebody without a salt has had no access and is not named: any commitment will do.
        let opening = server.opening(share, caller).await?;
        let commitment = opening
            .unwrap_or_else(|| Opening { identity: caller.clone(), salt: Salt::random() })
            .commitment(share);
        let granted = server.ledger.counter(share, &commitment).await?.granted;
        let attributes = &account.attributes;
        let refusal =
            eligible(&record.policy, &commitment, attributes, purpose, granted, server.now()).err();
        let users = &policy.body().terms.users;
        let told = users.is_empty() || users.contains(caller) || policy.signer() == caller;
        Ok(CatalogDetail { entry, policy: told.then_some(policy), granted, refusal })
    }

    /// Each subscriber reads the publications at its own pace from the database, so that none is
    /// lost, none holds up another, and a slow one costs no memory.
    pub(super) async fn publications_from(
        &self,
        after: Option<u64>,
        of: Option<SubscriptionId>,
    ) -> Result<BoxStream<'static, problem::Result<CatalogEntry>>> {
        self.active_account().await?;
        let permit = Arc::clone(&self.service.subscribers).try_acquire_owned().map_err(|_| {
            Problem::new(Kind::Busy, "too many subscribers")
                .hint("search the catalog, or try again later")
        })?;
        let next = after.unwrap_or_else(|| *self.service.published.borrow());
        let subscription = Reader { session: self.clone(), after: next, of, _permit: permit };
        let batches = stream::unfold(Some(subscription), |subscription| async move {
            let mut subscription = subscription?;
            match subscription.next().await {
                Ok(entries) => Some((entries.into_iter().map(Ok).collect(), Some(subscription))),
                Err(failure) => Some((vec![Err(Problem::from(failure))], None)),
            }
        });
        Ok(batches.flat_map(stream::iter).boxed())
    }

    pub(super) async fn own_notifications(
        &self,
        query: &NotificationQuery,
    ) -> Result<Vec<Notification>> {
        let account = self.active_account().await?;
        let open = if query.all { "" } else { "AND acknowledged = 0" };
        let sql = format!(
            "SELECT sequence, time, body FROM notification WHERE holder = $1 AND sequence > $2 {open} \
             ORDER BY sequence LIMIT $3"
        );
        let values = [
            text(&account.identity),
            number(query.after.unwrap_or_default()),
            number(NOTIFICATIONS_PAGE),
        ];
        let found = rows(self.service.store.read(), sql, values).await?;
        found
            .iter()
            .map(|row| {
                let NotificationBody { share, event } = row.json(2)?;
                Ok(Notification { sequence: row.number(0)?, time: row.number(1)?, share, event })
            })
            .collect()
    }
}

impl Session {
    pub(super) async fn acknowledge_notifications(&self, sequence: u64) -> Result<()> {
        let account = self.active_account().await?;
        let values = [text(&account.identity), number(sequence)];
        self.service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE notification SET acknowledged = 1 \
                               WHERE holder = $1 AND sequence <= $2 AND acknowledged = 0";
                    run(tx, sql, values).await?;
                    Ok(())
                })
            })
            .await
    }
}

struct Reader {
    session: Session,
    after: u64,
    /// The subscription that says what to read; all if none.
    of: Option<SubscriptionId>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next publications, waiting for them.
    async fn next(&mut self) -> Result<Vec<CatalogEntry>> {
        let mut published = self.session.service.published.subscribe();
        loop {
            self.session.active_account().await?;
            let matcher = match &self.of {
                Some(id) => {
                    Some(Matcher::of(&filter_of(self.session.service.store.read(), id).await?)?)
                }
                None => None,
            };
            let sql = "SELECT entry FROM publication WHERE event > $1 ORDER BY event LIMIT $2";
            let values = [number(self.after), number(READ_AHEAD)];
            let found = rows(self.session.service.store.read(), sql, values).await?;
            let entries: Vec<CatalogEntry> =
                found.iter().map(|row| row.json(0)).collect::<std::result::Result<_, _>>()?;
            if let Some(last) = entries.last() {
                self.after = last.event;
                let entries = match &matcher {
                    Some(matcher) => self.matching(matcher, entries).await?,
                    None => entries,
                };
                if entries.is_empty() {
                    continue;
                }
                return Ok(entries);
            }
            let after = self.after;
            let more = published.wait_for(|event| *event > after);
            // An early end only means looking again.
            let _ = tokio::time::timeout(SUBSCRIPTION_CHECK, more)
                .await
                .map(|newest| newest.map(|_| ()));
        }
    }

    async fn matching(
        &self,
        matcher: &Matcher,
        entries: Vec<CatalogEntry>,
    ) -> Result<Vec<CatalogEntry>> {
        let mut found = Vec::new();
        for entry in entries {
            // What a provider who was erased since has published is gone with it.
            let policy = self.session.service.kept_policy(&entry.policy).await?;
            if policy.is_some_and(|policy| matcher.matches(&entry, policy.body())) {
                found.push(entry);
            }
        }
        Ok(found)
    }
}
