//! Management killed between intent, execution and projection, and started again on the same
//! folder.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::atomic::AtomicBool;

use crate::management::tests::*;
use datapact_core::contract::{AccessRecord, Call, Counter, Documents, ShareRecord};
use datapact_core::id::Commitment;
use datapact_ledger::port::{ContractState, Event, LedgerInfo};
use datapact_ledger::{LedgerError, LedgerReceipt};
use datapact_log::Position;

use super::{Submission, Submit};
use crate::management::projection::Tables;
use crate::management::salt;

/// How often the tests look for what they wait for.
const PAUSE: Duration = Duration::from_millis(10);

/// Where the process is killed.
#[derive(Clone, Copy, PartialEq)]
enum Kill {
    /// After the intent is stored, before the ledger is called.
    BeforeExecution,
    /// After the ledger has recorded, before the answer comes, and before anything is projected.
    AfterExecution,
    /// After the answer came, before anything is projected.
    BeforeProjection,
    /// Nothing is killed; the ledger is away for a while.
    Never,
}

/// Whether the ledger is away.
static AWAY: AtomicBool = AtomicBool::new(true);

/// The embedded ledger, as a process sees it that is killed at one step.
struct Killed(Arc<EmbeddedLedger>, Kill);

fn gone<T>() -> Result<T, LedgerError> {
    Err(LedgerError::Unavailable("killed".to_owned()))
}

#[async_trait]
impl ContractState for Killed {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        self.0.share(share).await
    }
    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        self.0.access(request).await
    }
    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        self.0.counter(share, consumer).await
    }
    fn address(&self, share: &ShareId) -> String {
        self.0.address(share)
    }
}

#[async_trait]
impl Ledger for Killed {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        if self.1 == Kill::BeforeExecution || self.1 == Kill::Never && AWAY.load(Ordering::Relaxed)
        {
            return gone();
        }
        let receipt = self.0.execute(call, documents).await?;
        if self.1 == Kill::AfterExecution { gone() } else { Ok(receipt) }
    }
    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        if self.1 == Kill::Never { self.0.events(from, max).await } else { gone() }
    }
    async fn wait(&self, position: Position, time: Duration) -> Result<bool, LedgerError> {
        if self.1 == Kill::Never { self.0.wait(position, time).await } else { gone() }
    }
    async fn head(&self) -> Result<Position, LedgerError> {
        self.0.head().await
    }
    async fn verify(&self, receipt: &LedgerReceipt) -> Result<bool, LedgerError> {
        self.0.verify(receipt).await
    }
    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        self.0.info().await
    }
    fn kind(&self) -> &str {
        self.0.kind()
    }
    fn origin(&self) -> String {
        self.0.origin()
    }
}

async fn killed_at(kill: Kill, wrap: Wrap) {
    let mut world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let existing = world.published(&provider, |_| {}).await;
    let policy = world.policy(&provider, |_| {});
    let request = world.request(&consumer, &existing);
    world.open(wrap).await;
    {
        let policies = world.as_user(&provider).policies();
        let accesses = world.as_user(&consumer).accesses();
        let tries =
            async { tokio::join!(policies.set_policy(&policy), accesses.request_access(&request)) };
        // Before the projection no call is answered.
        let recorded = async {
            while kill != Kill::BeforeProjection || world.size().await < 3 {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            (set, granted) = tries => {
                assert!(kill != Kill::BeforeProjection);
                assert_kind(set, Kind::Unavailable, "try again");
                assert_kind(granted, Kind::Unavailable, "try again");
            }
            () = recorded => {}
        }
    }
    let recorded = if kill == Kill::BeforeExecution { 1 } else { 3 };
    assert_eq!((world.size().await, world.count("intent").await), (recorded, 2));
    // Later than new documents of that time would be taken, for the steps after the record.
    if kill != Kill::BeforeExecution {
        world.pass(700);
    }
    world.open(|log| log).await;
    // Done before anyone repeats the calls, once.
    assert_eq!((world.size().await, world.count("intent").await), (3, 0));
    let publisher = world.as_user(&provider);
    assert_eq!(publisher.policies().shares(Page::first()).await.unwrap().len(), 2);
    let accesses = publisher.accesses().accesses(&RecordQuery::default()).await.unwrap();
    assert_eq!((accesses.len(), &accesses[0].request), (1, &request));
    let receipt = publisher.policies().set_policy(&policy).await.unwrap();
    let grant = world.as_user(&consumer).accesses().request_access(&request).await.unwrap();
    assert_eq!((grant.record.access, grant.position), (1, accesses[0].position));
    assert_eq!(receipt.policy, policy.id());
    assert_eq!(
        (world.size().await, world.count("intent").await, world.count("publication").await),
        (3, 0, 2)
    );
    assert_eq!(
        publisher.notifications().notifications(&NotificationQuery::default()).await.unwrap().len(),
        3
    );
    // Nor is anything applied twice by starting again.
    drop(publisher);
    world.open(|log| log).await;
    assert_eq!(
        world
            .as_user(&provider)
            .notifications()
            .notifications(&NotificationQuery::default())
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        world.as_user(&provider).policies().shares(Page::first()).await.unwrap()[0].accesses,
        1
    );
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_killed_before_execution() {
    killed_at(Kill::BeforeExecution, |log| Arc::new(Killed(log, Kill::BeforeExecution))).await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_killed_after_execution() {
    killed_at(Kill::AfterExecution, |log| Arc::new(Killed(log, Kill::AfterExecution))).await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_killed_before_projection() {
    killed_at(Kill::BeforeProjection, |log| Arc::new(Killed(log, Kill::BeforeProjection))).await;
}

#[tokio::test]
async fn what_is_recorded_while_the_projection_is_behind_is_projected_in_its_turn() {
    let mut world = World::new().await;
    let provider = world.provider().await;
    let (first, second) = (world.consumer("First").await, world.consumer("Second").await);
    let policy = world.published(&provider, |_| {}).await;
    world.open(|log| Arc::new(Killed(log, Kill::BeforeProjection))).await;
    let requests = [&first, &second].map(|consumer| world.request(consumer, &policy));
    let session = world.as_user(&first).accesses();
    // On the ledger, and nothing projects it.
    tokio::select! {
        _ = session.request_access(&requests[0]) => panic!("unprojected"),
        () = async { while world.size().await < 2 { tokio::time::sleep(PAUSE).await } } => {}
    }
    // Another process records the next in one transaction.
    let base = &world.management().base;
    let log = Arc::clone(&world.submit().log);
    let other = Submit::open(base, Arc::clone(&log), log, Arc::new(Tables)).await.unwrap();
    let share = policy.body().share;
    let openings = salt::openings(&base.store, share, vec![second.identity()]).await;
    let consumer = openings.unwrap().remove(0);
    let terms = other.share(&share).await.unwrap().unwrap().policy.terms;
    let attributes = Attributes::default();
    let call = Call::of_request(&requests[1], &consumer, &attributes, &terms).unwrap();
    let documents = Documents::Access { request: requests[1].clone(), consumer, attributes };
    let id = requests[1].id();
    let submission = Submission { id, call, documents: Arc::new(documents), drawn: None };
    // Its answer waits for a projection, too.
    tokio::select! {
        _ = other.execute(submission) => panic!("unprojected"),
        () = async { while world.size().await < 3 { tokio::time::sleep(PAUSE).await } } => {}
    }
    assert_eq!((world.count("intent").await, world.count("access").await), (2, 0));
    drop((session, other));
    world.open(|log| log).await;
    for (consumer, request) in [&first, &second].into_iter().zip(&requests) {
        assert_eq!(
            world.as_user(consumer).accesses().request_access(request).await.unwrap().record.access,
            1
        );
    }
    assert_eq!(
        (world.size().await, world.count("intent").await, world.count("access").await),
        (3, 0, 2)
    );
}

#[tokio::test]
async fn a_repeat_completes_what_an_unavailable_ledger_left_open() {
    let mut world = World::new().await;
    let provider = world.provider().await;
    let policy = world.policy(&provider, |_| {});
    world.open(|log| Arc::new(Killed(log, Kill::BeforeExecution))).await;
    for _ in 0..3 {
        assert_eq!(
            refused(world.as_user(&provider).policies().set_policy(&policy).await).kind,
            Kind::Unavailable
        );
    }
    assert_eq!(world.count("intent").await, 1);
    assert!(datapact_api::public::Public::health(world.management()).await.is_err());
}

#[tokio::test]
async fn a_call_is_completed_though_its_client_hangs_up() {
    let world = World::new().await;
    let provider = world.provider().await;
    let policy = world.policy(&provider, |_| {});
    let session = world.as_user(&provider);
    let policies = session.policies();
    let call = policies.set_policy(&policy);
    // The client hangs up in the middle.
    assert!(
        tokio::time::timeout(Duration::from_millis(1), call).await.is_err()
            || world.size().await == 1
    );
    let receipt = session.policies().set_policy(&policy).await.unwrap();
    assert_eq!((receipt.position, world.size().await, world.count("intent").await), (0, 1, 0));
}

#[tokio::test]
async fn what_is_open_while_the_ledger_is_away_is_completed_once_it_is_back() {
    let mut world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let policy = world.published(&provider, |_| {}).await;
    world.open(|log| Arc::new(Killed(log, Kill::Never))).await;
    let request = world.request(&consumer, &policy);
    let away = refused(world.as_user(&consumer).accesses().request_access(&request).await);
    assert_eq!(away.kind, Kind::Unavailable);
    // A key server that is told so gives the same hint.
    assert_eq!(
        (away.detail.contains("try again"), away.hint.as_deref()),
        (false, Some("try again"))
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((world.size().await, world.count("intent").await), (1, 1));
    // No caller repeats the call.
    AWAY.store(false, Ordering::Relaxed);
    let completed = async {
        while world.count("intent").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), completed).await.unwrap();
    let told = world.as_user(&consumer).accesses().accesses(&RecordQuery::default()).await.unwrap();
    assert_eq!((world.size().await, told.len(), &told[0].request), (2, 1, &request));
    assert_eq!(
        world.as_user(&consumer).accesses().request_access(&request).await.unwrap().record.access,
        1
    );
}
