//! The consumer: finds shares, sees whether access would be granted, and keeps account of its own
//! accesses (DC-1 to DC-9). Opening a share is in [`crate::open`].

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use datapact_api::management::{
    AccessEntry, CatalogDetail, CatalogEntry, CatalogQuery, DeadLetter, Erasure, NewSubscription,
    Purpose, RecordQuery, Redelivery, Subscription, UsageEntry, UsageReceipt,
};
use datapact_api::operation::Page;
use datapact_core::contract::Refusal;
use datapact_core::document::UsageReport;
use datapact_core::id::{Digest, ShareId, SubscriptionId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::permission::AccessPermission;
use datapact_core::policy::SharingPolicy;
use datapact_core::terms::{Name, Terms};
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use serde::{Deserialize, Serialize};

use crate::error::{ClientError, Result};
use crate::home::{read_json, write_json};
use crate::session::{Session, retry};

/// A user who accesses.
#[derive(Clone)]
pub struct Consumer {
    pub(crate) session: Session,
}

/// A share as it is offered to this user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// What is published.
    #[serde(flatten)]
    pub entry: CatalogEntry,
    /// The provider's signature, if it was shown and is good; it is not shown to those whom the
    /// provider has not named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedOffer>,
    /// How many accesses this user was granted.
    pub granted: u32,
    /// Whether an access would be granted now.
    pub admitted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// What the provider's own signature says of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedOffer {
    /// When, by the provider's clock.
    pub time: Timestamp,
    /// SHA-256 of the provider's public key.
    pub provider_key: Digest,
    /// Who may access.
    pub terms: Terms,
    /// How often, how long and how.
    pub permission: AccessPermission,
}

const WATCH: &str = "watch.json";
/// The longest wait before a broken subscription is taken up again.
const WATCH_PAUSE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Watched {
    event: u64,
}

impl Consumer {
    /// The consumer of a session.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Published information, newest first (MG-14).
    pub async fn search(&self, query: &CatalogQuery) -> Result<Vec<CatalogEntry>> {
        retry(|| self.session.management.catalog(query)).await
    }

    /// One share: who offers it, on which terms, and whether this user would be granted access for
    /// `purpose`. It spends no access.
    pub async fn show(&self, share: &ShareId, purpose: Option<&Name>) -> Result<Offer> {
        self.offer(share, purpose).await.map(|(offer, _)| offer)
    }

    /// The offer and, where it is shown, the policy, verified.
    pub(crate) async fn offer(
        &self,
        share: &ShareId,
        purpose: Option<&Name>,
    ) -> Result<(Offer, Option<Signed<SharingPolicy>>)> {
        let detail = {
            let purpose = Purpose { purpose: purpose.cloned() };
            retry(|| self.session.management.catalog_entry(share, &purpose)).await?
        };
        if detail.entry.share != *share {
            return Err(ClientError::untrusted("management shows another share than asked for"));
        }
        let signed = match &detail.policy {
            Some(policy) => Some(self.check_policy(policy, &detail)?),
            None => None,
        };
        let CatalogDetail { entry, policy, granted, refusal } = detail;
        let offer = Offer { entry, signed, granted, admitted: refusal.is_none(), refusal };
        Ok((offer, policy))
    }

    /// The provider's signature is good, for this ledger, and says what management publishes.
    fn check_policy(
        &self,
        policy: &Signed<SharingPolicy>,
        detail: &CatalogDetail,
    ) -> Result<SignedOffer> {
        let (document, entry) = (policy.document(), &detail.entry);
        policy.verify(&self.session.profile().trust(), self.session.ledger(), document.time)?;
        let body = &document.body;
        body.validate().map_err(ClientError::untrusted)?;
        let same = policy.id() == entry.policy
            && *policy.signer() == entry.provider
            && (body.share, body.version, body.state) == (entry.share, entry.version, entry.state)
            && body.information == entry.information
            && body.permission.expires == entry.expires;
        if !same {
            return Err(ClientError::untrusted(
                "management publishes something else than the provider signed",
            ));
        }
        Ok(SignedOffer {
            time: document.time,
            provider_key: policy.key_digest(),
            terms: body.terms.clone(),
            permission: body.permission.clone(),
        })
    }

    /// What is published from now on, and what was since the last time (DC-1). Without `after`, it
    /// goes on behind the last event that this profile has seen; an event counts as seen once the
    /// next one is asked for. A broken connection is taken up again.
    pub fn watch(&self, after: Option<u64>) -> Result<BoxStream<'static, Result<CatalogEntry>>> {
        let path = self.session.state()?.join(WATCH);
        self.events(path, None, after)
    }

    /// What is published and fits a subscription, from its beginning on; for the rest as
    /// [`Self::watch`].
    pub fn follow(
        &self,
        id: &SubscriptionId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>> {
        let path = self.session.state()?.join(format!("watch-{id}.json"));
        self.events(path, Some(*id), after)
    }

    fn events(
        &self,
        path: PathBuf,
        of: Option<SubscriptionId>,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>> {
        let seen = match after {
            Some(event) => Some(event),
            None => read_json::<Watched>(&path)?.map(|watched| watched.event),
        };
        let start = (self.session.clone(), seen, None::<BoxStream<'static, _>>, None::<u64>, false);
        let stream = unfold(start, move |(session, mut seen, mut stream, given, ended)| {
            let path = path.clone();
            async move {
                if ended {
                    return None;
                }
                // What was given out last has been worked on, now that the next is asked for: only
                // then is it noted, so that a crash leaves none out.
                if let Some(event) = given {
                    if let Err(error) = write_json(&path, &Watched { event }) {
                        return Some((Err(error), (session, seen, None, None, true)));
                    }
                    seen = Some(event);
                }
                let mut pause = Duration::from_millis(500);
                loop {
                    let next = match &mut stream {
                        Some(open) => open.next().await,
                        None => match open(&session, of, &mut seen).await {
                            Ok(open) => stream.insert(open).next().await,
                            Err(problem) => Some(Err(problem)),
                        },
                    };
                    match next {
                        Some(Ok(entry)) => {
                            let event = entry.event;
                            return Some((Ok(entry), (session, seen, stream, Some(event), false)));
                        }
                        Some(Err(problem))
                            if !ClientError::from(problem.clone()).is_temporary() =>
                        {
                            return Some((Err(problem.into()), (session, seen, None, None, true)));
                        }
                        _ => {
                            stream = None;
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(WATCH_PAUSE_MAX);
                        }
                    }
                }
            }
        });
        Ok(stream.boxed())
    }

    /// The user's accesses, and those to its own shares, oldest first (DC-9, MG-13).
    pub async fn accesses(&self, share: Option<ShareId>) -> Result<Vec<AccessEntry>> {
        all_accesses(&self.session, share).await
    }

    /// The user's usage reports, and those on its own shares, oldest first.
    pub async fn usages(&self, share: Option<ShareId>) -> Result<Vec<UsageEntry>> {
        all_usages(&self.session, share).await
    }
}

impl Consumer {
    /// Keeps a subscription at management, under an id drawn for it (MG-15). A repeat makes no
    /// second one.
    pub async fn subscribe(
        &self,
        id: &SubscriptionId,
        new: &NewSubscription,
    ) -> Result<Subscription> {
        let kept = retry(|| self.session.management.set_subscription(id, new)).await?;
        if (kept.id, &kept.filter) != (*id, &new.filter) {
            return Err(ClientError::untrusted(
                "management keeps another subscription than asked for",
            ));
        }
        Ok(kept)
    }

    /// The user's subscriptions, oldest first.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        retry(|| self.session.management.subscriptions()).await
    }

    /// One of them.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Subscription> {
        retry(|| self.session.management.subscription(id)).await
    }

    /// Ends a subscription.
    pub async fn unsubscribe(&self, id: &SubscriptionId) -> Result<()> {
        retry(|| self.session.management.delete_subscription(id)).await
    }

    /// What could not be sent to a subscription's webhook.
    pub async fn dead_letters(&self, id: &SubscriptionId) -> Result<Vec<DeadLetter>> {
        let mut found: Vec<DeadLetter> = Vec::new();
        loop {
            let after = found.last().map_or(0, |letter| letter.event);
            let page =
                retry(|| self.session.management.dead_letters(id, Page::after(after))).await?;
            if page.first().is_none_or(|first| first.event <= after) {
                return Ok(found);
            }
            found.extend(page);
        }
    }

    /// Sends dead letters again; all of them if no event is given.
    pub async fn redeliver(&self, id: &SubscriptionId, events: &[u64]) -> Result<()> {
        let again = Redelivery { events: events.to_vec() };
        retry(|| self.session.management.redeliver(id, &again)).await
    }
}

async fn open(
    session: &Session,
    of: Option<SubscriptionId>,
    seen: &mut Option<u64>,
) -> datapact_api::problem::Result<BoxStream<'static, datapact_api::problem::Result<CatalogEntry>>>
{
    match of {
        Some(id) => session.management.follow_subscription(&id, *seen).await,
        None => {
            // Who follows for the first time begins here, also when the connection breaks before
            // anything has come.
            let after = match *seen {
                Some(event) => event,
                None => *seen.insert(session.management.info().await?.published),
            };
            session.management.publications(Some(after)).await
        }
    }
}

pub(crate) async fn all_accesses(
    session: &Session,
    share: Option<ShareId>,
) -> Result<Vec<AccessEntry>> {
    let mut pages = Pages::new(share);
    while let Some(query) = pages.next() {
        pages.add(retry(|| session.management.accesses(&query)).await?, |entry| entry.position)?;
    }
    Ok(pages.all.into())
}

pub(crate) async fn all_usages(
    session: &Session,
    share: Option<ShareId>,
) -> Result<Vec<UsageEntry>> {
    let mut pages = Pages::new(share);
    while let Some(query) = pages.next() {
        pages.add(retry(|| session.management.usages(&query)).await?, |entry| entry.position)?;
    }
    Ok(pages.all.into())
}

/// The entries about a share of the user's whose documents were erased.
pub(crate) async fn all_erasures(session: &Session, share: ShareId) -> Result<Vec<Erasure>> {
    let mut pages = Pages::new(Some(share));
    while let Some(query) = pages.next() {
        pages.add(retry(|| session.management.erasures(&query)).await?, |erasure| {
            erasure.position
        })?;
    }
    Ok(pages.all.into())
}

/// Reads page after page until one is empty.
struct Pages<T> {
    all: VecDeque<T>,
    query: Option<RecordQuery>,
}

impl<T> Pages<T> {
    fn new(share: Option<ShareId>) -> Self {
        Self { all: VecDeque::new(), query: Some(RecordQuery { share, after: None }) }
    }

    fn next(&self) -> Option<RecordQuery> {
        self.query.clone()
    }

    fn add(&mut self, page: Vec<T>, position: impl Fn(&T) -> u64) -> Result<()> {
        let Some(query) = &mut self.query else { return Ok(()) };
        let before = query.after;
        for entry in &page {
            if query.after.is_some_and(|after| position(entry) <= after) {
                return Err(ClientError::untrusted("management's records are out of order"));
            }
            query.after = Some(position(entry));
        }
        if query.after == before {
            self.query = None;
        }
        self.all.extend(page);
        Ok(())
    }
}

/// Hands in a usage report and checks what was recorded (UR-2).
pub(crate) async fn hand_in_report(
    session: &Session,
    report: &Signed<UsageReport>,
) -> Result<UsageReceipt> {
    let receipt = retry(|| session.management.report_usage(report)).await?;
    let usage = &receipt.record.usage;
    let body = report.body();
    if (usage.share, usage.request, usage.report) != (body.share, body.request, report.id()) {
        return Err(ClientError::untrusted("management recorded another usage than reported"));
    }
    Ok(receipt)
}
