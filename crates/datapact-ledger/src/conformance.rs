//! What every ledger must do: each adapter's tests call [`all`], unchanged (feature `testing`).
//!
//! The functions are ordinary ones; they panic when the ledger fails. Each makes shares of its own,
//! so they run on a ledger in use and at the same time.

use std::time::Duration;

use datapact_core::contract::{
    Attributes, Call, CheckError, Documents, Receipt, Refusal, USAGE_REPORTS_MAX,
};
use datapact_core::document::UsageAction;
use datapact_core::id::Digest;
use datapact_core::permission::AccessTimes;
use datapact_core::terms::Terms;
use futures_util::future::join_all;

use crate::port::{EVENTS_MAX, Event, Ledger, LedgerError, LedgerReceipt};
use datapact_local::testing::{Fixture, ShareState, TestShare, TestUser};

/// How long a ledger may take to announce what it has recorded.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the whole suite. The ledger must trust `fixture`'s CAs, and `fixture` must address the
/// ledger.
pub async fn all(ledger: &dyn Ledger, fixture: &Fixture) {
    a_share_lives_from_creation_to_revocation(ledger, fixture).await;
    terms_are_enforced(ledger, fixture).await;
    accesses_are_counted_per_consumer(ledger, fixture).await;
    usage_is_recorded_under_its_access(ledger, fixture).await;
    repeats_get_the_first_receipt_and_add_nothing(ledger, fixture).await;
    refused_calls_add_nothing(ledger, fixture).await;
    bad_documents_are_refused(ledger, fixture).await;
    events_resume_without_gap(ledger, fixture).await;
    receipts_are_verified(ledger, fixture).await;
    concurrent_consumers_never_get_more_than_allowed(ledger, fixture, 200).await;
}

async fn granted(ledger: &dyn Ledger, (call, documents): &(Call, Documents)) -> LedgerReceipt {
    match ledger.execute(call, documents).await {
        Ok(receipt) => {
            assert_eq!(
                receipt.address,
                ledger.address(call.share()),
                "the receipt names the share's contract"
            );
            receipt
        }
        Err(error) => unreachable!("refused, but should be granted: {error}"),
    }
}

async fn refused(ledger: &dyn Ledger, (call, documents): &(Call, Documents)) -> Refusal {
    match ledger.execute(call, documents).await {
        Err(LedgerError::Refused(refusal)) => refusal,
        other => unreachable!("should be refused by the contract: {other:?}"),
    }
}

async fn check_failed(ledger: &dyn Ledger, call: &Call, documents: &Documents) -> CheckError {
    match ledger.execute(call, documents).await {
        Err(LedgerError::Check(error)) => error,
        other => unreachable!("the documents should be refused: {other:?}"),
    }
}

fn request_id(call: &Call) -> Digest {
    match call {
        Call::RequestAccess(request) => request.request,
        _ => unreachable!("not a request for access"),
    }
}

async fn count(ledger: &dyn Ledger, share: &TestShare, consumer: &TestUser) -> u32 {
    let commitment = consumer.opening().commitment(&share.id());
    ledger.counter(&share.id(), &commitment).await.expect("the ledger answers").granted
}

async fn state(ledger: &dyn Ledger, share: &TestShare) -> Option<(u32, ShareState)> {
    let record = ledger.share(&share.id()).await.expect("the ledger answers");
    record.map(|record| (record.policy.version, record.policy.state))
}

/// Create, update, suspend, resume, revoke; each takes effect, and only the provider's next version
/// is accepted.
pub async fn a_share_lives_from_creation_to_revocation(ledger: &dyn Ledger, fixture: &Fixture) {
    let mut share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    assert_eq!(state(ledger, &share).await, None);
    assert_eq!(refused(ledger, &share.request(&consumer)).await, Refusal::UnknownShare);
    let created = granted(ledger, &share.set()).await;
    let id = share.policy.id();
    assert!(matches!(created.receipt, Receipt::Policy(record) if record.policy.policy == id));
    assert_eq!(state(ledger, &share).await, Some((1, ShareState::Active)));
    granted(ledger, &share.request(&consumer)).await;

    let old = share.request(&consumer);
    let update = share.next(|policy| policy.information.title = "Second edition".to_owned());
    granted(ledger, &update).await;
    assert_eq!(refused(ledger, &old).await, Refusal::Superseded);
    granted(ledger, &share.request(&consumer)).await;

    let suspend = share.next(|policy| policy.state = ShareState::Suspended);
    granted(ledger, &suspend).await;
    assert_eq!(refused(ledger, &share.request(&consumer)).await, Refusal::Suspended);
    let resume = share.next(|policy| policy.state = ShareState::Active);
    granted(ledger, &resume).await;
    granted(ledger, &share.request(&consumer)).await;

    let skipping = share.next(|policy| policy.version += 1);
    assert_eq!(refused(ledger, &skipping).await, Refusal::Version { expected: 5 });
    let revoke = share.next(|policy| {
        policy.version = 5;
        policy.previous = Some(match &resume.0 {
            Call::SetPolicy(set) => set.policy,
            _ => unreachable!("a policy sets a policy"),
        });
        policy.state = ShareState::Revoked;
    });
    granted(ledger, &revoke).await;
    assert_eq!(state(ledger, &share).await, Some((5, ShareState::Revoked)));
    assert_eq!(refused(ledger, &share.request(&consumer)).await, Refusal::Revoked);
    let again = share.next(|policy| policy.state = ShareState::Active);
    assert_eq!(refused(ledger, &again).await, Refusal::Revoked);
    assert_eq!(count(ledger, &share, &consumer).await, 3);
}

/// A consumer of an allowed country and industry gets access, another does not, and is told by
/// which rule.
pub async fn terms_are_enforced(ledger: &dyn Ledger, fixture: &Fixture) {
    let country = |code: &str| code.parse().expect("a country code");
    let industry = |code: &str| code.parse().expect("an industry code");
    let share = fixture.share(AccessTimes::Unlimited, |policy| {
        policy.terms = Terms {
            countries: [country("SE"), country("DE")].into(),
            industries: [industry("isic4:86")].into(),
            ..Terms::default()
        };
    });
    granted(ledger, &share.set()).await;
    let consumer = fixture.consumer("Consumer");
    let attributes = |c: &str, i: &str| Attributes {
        organisation: None,
        industry: Some(industry(i)),
        country: Some(country(c)),
    };
    granted(ledger, &share.request_with(&consumer, attributes("SE", "isic4:8610"))).await;
    let request = share.request_with(&consumer, attributes("FR", "isic4:86"));
    assert_eq!(refused(ledger, &request).await, Refusal::Country);
    let request = share.request_with(&consumer, attributes("DE", "isic4:64"));
    assert_eq!(refused(ledger, &request).await, Refusal::Industry);

    let ended = fixture.share(AccessTimes::Unlimited, |policy| {
        policy.permission.not_before = 1000;
        policy.permission.expires = 2000;
    });
    granted(ledger, &ended.set()).await;
    assert_eq!(
        refused(ledger, &ended.request(&consumer)).await,
        Refusal::Expired { expires: 2000 }
    );
}

/// Each consumer has the access times for itself, under all versions of the policy.
pub async fn accesses_are_counted_per_consumer(ledger: &dyn Ledger, fixture: &Fixture) {
    let mut share = fixture.share(AccessTimes::Times(2), |_| {});
    let (first, second) = (fixture.consumer("First"), fixture.consumer("Second"));
    granted(ledger, &share.set()).await;
    for access in 1..=2 {
        let request = share.request(&first);
        let receipt = granted(ledger, &request).await;
        assert!(matches!(&receipt.receipt, Receipt::Access(record) if record.access == access));
        let stored = ledger.access(&request_id(&request.0)).await.expect("the ledger answers");
        let (position, record) = stored.expect("a granted access is recorded");
        assert_eq!((position, Receipt::Access(record)), (receipt.position, receipt.receipt));
    }
    let none_left = Refusal::AccessTimes { access_times: 2 };
    assert_eq!(refused(ledger, &share.request(&first)).await, none_left);
    granted(ledger, &share.request(&second)).await;
    let update = share.next(|_| {});
    granted(ledger, &update).await;
    assert_eq!(refused(ledger, &share.request(&first)).await, none_left);
    let more = share.next(|policy| policy.permission.access_times = AccessTimes::Times(3));
    granted(ledger, &more).await;
    granted(ledger, &share.request(&first)).await;
    assert_eq!((count(ledger, &share, &first).await, count(ledger, &share, &second).await), (3, 1));
}

/// Only the consumer of an access reports its usage.
pub async fn usage_is_recorded_under_its_access(ledger: &dyn Ledger, fixture: &Fixture) {
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (consumer, other) = (fixture.consumer("Consumer"), fixture.consumer("Other"));
    granted(ledger, &share.set()).await;
    let request = share.request(&consumer);
    let early = share.report(&consumer, &request.0, UsageAction::Opened);
    assert_eq!(refused(ledger, &early).await, Refusal::UnknownAccess);
    granted(ledger, &request).await;
    let receipt = granted(ledger, &share.report(&consumer, &request.0, UsageAction::Opened)).await;
    assert!(matches!(receipt.receipt, Receipt::Usage(_)));
    granted(ledger, &share.report(&consumer, &request.0, UsageAction::Closed)).await;
    let false_report = share.report(&other, &request.0, UsageAction::Exported);
    assert_eq!(refused(ledger, &false_report).await, Refusal::Consumer);
    for _ in 2..USAGE_REPORTS_MAX {
        granted(ledger, &share.report(&consumer, &request.0, UsageAction::Opened)).await;
    }
    let one_more = share.report(&consumer, &request.0, UsageAction::Closed);
    let used_up = Refusal::UsageReports { usage_reports: USAGE_REPORTS_MAX };
    assert_eq!(refused(ledger, &one_more).await, used_up);
    // Another access has its own.
    let another = share.request(&consumer);
    granted(ledger, &another).await;
    granted(ledger, &share.report(&consumer, &another.0, UsageAction::Opened)).await;
}

/// A repeat, be it late, concurrent or after a change of terms, gets the first receipt and costs
/// nothing.
pub async fn repeats_get_the_first_receipt_and_add_nothing(ledger: &dyn Ledger, fixture: &Fixture) {
    let mut share = fixture.share(AccessTimes::Times(1), |_| {});
    let consumer = fixture.consumer("Consumer");
    let created = granted(ledger, &share.set()).await;
    assert_eq!(granted(ledger, &share.set()).await, created);
    let request = share.request(&consumer);
    let all = join_all((0..20).map(|_| granted(ledger, &request))).await;
    assert!(all.windows(2).all(|pair| matches!(pair, [a, b] if a == b)), "one access, one receipt");
    let report = share.report(&consumer, &request.0, UsageAction::Opened);
    let reported = granted(ledger, &report).await;
    let suspend = share.next(|policy| policy.state = ShareState::Suspended);
    granted(ledger, &suspend).await;
    assert_eq!(Some(&granted(ledger, &request).await), all.first());
    assert_eq!(granted(ledger, &report).await, reported);
    assert_eq!(count(ledger, &share, &consumer).await, 1);
    assert_eq!(events_of(ledger, &share, created.position).await.len(), 4);
}

/// What is refused leaves no event and no count.
pub async fn refused_calls_add_nothing(ledger: &dyn Ledger, fixture: &Fixture) {
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let consumer = fixture.consumer("Consumer");
    let created = granted(ledger, &share.set()).await;
    granted(ledger, &share.request(&consumer)).await;
    for _ in 0..3 {
        let request = share.request(&consumer);
        refused(ledger, &request).await;
        assert_eq!(ledger.access(&request_id(&request.0)).await.expect("the ledger answers"), None);
    }
    assert_eq!(count(ledger, &share, &consumer).await, 1);
    assert_eq!(events_of(ledger, &share, created.position).await.len(), 2);
}

/// Nothing is recorded on documents that are another's, another ledger's, or say something else.
pub async fn bad_documents_are_refused(ledger: &dyn Ledger, fixture: &Fixture) {
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (consumer, other) = (fixture.consumer("Consumer"), fixture.consumer("Other"));
    let (set, policy_documents) = share.set();
    let (request, request_documents) = share.request(&consumer);
    assert_eq!(check_failed(ledger, &request, &policy_documents).await, CheckError::Kind);

    // A call that says more than the provider signed.
    let mut wider = set.clone();
    if let Call::SetPolicy(set) = &mut wider {
        set.access_times = AccessTimes::Times(1_000_000);
    }
    assert!(matches!(
        check_failed(ledger, &wider, &policy_documents).await,
        CheckError::Differs(_)
    ));

    // A document for another ledger, and one by a CA that is not trusted.
    let elsewhere = Fixture::new("another-ledger.example").share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = elsewhere.set();
    assert!(matches!(check_failed(ledger, &call, &documents).await, CheckError::Document(_)));
    let info = ledger.info().await.expect("the ledger answers");
    let stranger = Fixture::new(&info.id).share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = stranger.set();
    assert!(matches!(check_failed(ledger, &call, &documents).await, CheckError::Document(_)));

    granted(ledger, &share.set()).await;
    // Another's request in one's own name.
    let Documents::Access { request: signed, attributes, .. } = request_documents else {
        unreachable!("a request has a request's documents")
    };
    let stolen = Documents::Access { request: signed, consumer: other.opening(), attributes };
    assert!(matches!(check_failed(ledger, &request, &stolen).await, CheckError::Opening(_)));
    assert_eq!(count(ledger, &share, &other).await, 0);
    assert_eq!(count(ledger, &share, &consumer).await, 0);
}

/// Events can be read from any position, in any portions: none is lost, doubled or out of order.
pub async fn events_resume_without_gap(ledger: &dyn Ledger, fixture: &Fixture) {
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    let mut receipts = vec![granted(ledger, &share.set()).await];
    for _ in 0..9 {
        receipts.push(granted(ledger, &share.request(&consumer)).await);
    }
    let first = receipts.first().map_or(0, |receipt| receipt.position);
    let last = receipts.last().map_or(0, |receipt| receipt.position);
    assert!(ledger.wait(last, PATIENCE).await.expect("the ledger answers"));
    let whole = events_of(ledger, &share, first).await;
    let announced: Vec<_> =
        whole.iter().map(|event| (event.position, event.receipt.clone())).collect();
    let expected: Vec<_> = receipts.iter().map(|r| (r.position, r.receipt.clone())).collect();
    assert_eq!(announced, expected);
    for portion in [1, 3, EVENTS_MAX + 1] {
        let mut from = first;
        let mut read: Vec<Event> = Vec::new();
        loop {
            let events = ledger.events(from, portion).await.expect("the ledger answers");
            assert!(events.len() <= portion.min(EVENTS_MAX));
            let Some(newest) = events.last() else { break };
            assert!(events.iter().all(|event| event.position >= from));
            from = newest.position + 1;
            read.extend(events.into_iter().filter(|event| *event.receipt.share() == share.id()));
        }
        assert_eq!(read, whole);
        assert!(
            read.windows(2)
                .all(|pair| matches!(pair, [a, b] if a.position < b.position && a.time <= b.time))
        );
    }
    assert!(
        !ledger.wait(u64::MAX - 1, Duration::from_millis(10)).await.expect("the ledger answers")
    );
    assert_eq!(ledger.events(u64::MAX - 1, 10).await.expect("the ledger answers"), []);
}

/// A receipt is the ledger's, or it is not.
pub async fn receipts_are_verified(ledger: &dyn Ledger, fixture: &Fixture) {
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let receipt = granted(ledger, &share.set()).await;
    let other = granted(ledger, &fixture.share(AccessTimes::Unlimited, |_| {}).set()).await;
    let verify =
        async |receipt: &LedgerReceipt| ledger.verify(receipt).await.expect("the ledger answers");
    assert!(verify(&receipt).await);
    assert!(!verify(&LedgerReceipt { position: other.position, ..receipt.clone() }).await);
    assert!(!verify(&LedgerReceipt { address: other.address.clone(), ..receipt.clone() }).await);
    assert!(!verify(&LedgerReceipt { receipt: other.receipt.clone(), ..receipt.clone() }).await);
    assert!(!verify(&LedgerReceipt { position: u64::MAX - 1, ..receipt }).await);
}

/// `consumers` ask at once, each more often than the ten times that it may, and each gets ten.
pub async fn concurrent_consumers_never_get_more_than_allowed(
    ledger: &dyn Ledger,
    fixture: &Fixture,
    consumers: usize,
) {
    let share = fixture.share(AccessTimes::Times(10), |_| {});
    let created = granted(ledger, &share.set()).await;
    let consumers: Vec<TestUser> =
        (0..consumers).map(|i| fixture.consumer(&format!("Consumer {i}"))).collect();
    let share = &share;
    let granted = join_all(consumers.iter().enumerate().map(async |(i, consumer)| {
        let requests: Vec<_> = (0..12 + i % 4).map(|_| share.request(consumer)).collect();
        let answers =
            join_all(requests.iter().map(|(call, documents)| ledger.execute(call, documents)))
                .await;
        let mut granted = Vec::new();
        for answer in answers {
            match answer {
                Ok(LedgerReceipt { receipt: Receipt::Access(record), .. }) => {
                    granted.push(record.access)
                }
                Err(LedgerError::Refused(Refusal::AccessTimes { access_times: 10 })) => {}
                other => unreachable!("neither granted nor used up: {other:?}"),
            }
        }
        granted.sort_unstable();
        granted
    }))
    .await;
    for (consumer, granted) in consumers.iter().zip(granted) {
        assert_eq!(granted, (1..=10).collect::<Vec<_>>(), "each access is numbered once");
        assert_eq!(count(ledger, share, consumer).await, 10);
    }
    assert_eq!(events_of(ledger, share, created.position).await.len(), 1 + 10 * consumers.len());
}

/// The share's events at and after `from`.
async fn events_of(ledger: &dyn Ledger, share: &TestShare, mut from: u64) -> Vec<Event> {
    let mut found = Vec::new();
    loop {
        let events = ledger.events(from, EVENTS_MAX).await.expect("the ledger answers");
        let Some(newest) = events.last() else { return found };
        from = newest.position + 1;
        found.extend(events.into_iter().filter(|event| *event.receipt.share() == share.id()));
    }
}
