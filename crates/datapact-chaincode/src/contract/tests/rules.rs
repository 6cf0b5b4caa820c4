//! The rules that are Fabric's own.

use std::sync::{Arc, Mutex};

use datapact_core::contract::{Attributes, Call, Documents, REQUEST_AGE_SECONDS_MAX};
use datapact_core::document::UsageAction;
use datapact_core::permission::{AccessTimes, TIME_MAX};
use datapact_core::terms::Terms;
use datapact_local::testing::Fixture;

use crate::contract::encoding::{
    Changed, Failure, Granted, Info, RealmConfiguration, SetUp, TrustConfiguration, canonical,
};
use crate::contract::{Caller, Contract, Invocation};
use crate::testing::{Channel, LEDGER, Simulation, certificate, clock_at, json, set_up};

const NOW: u64 = 1_800_000_000;

struct Case {
    channel: Channel,
    fixture: Fixture,
    hands: Arc<Mutex<u64>>,
}

async fn case() -> Case {
    let (clock, hands) = clock_at(NOW);
    let fixture = Fixture::with_clock(LEDGER, clock.clone());
    let channel = Channel::new(clock, &fixture.trust()).await;
    Case { channel, fixture, hands }
}

impl Case {
    fn set_clock(&self, time: u64) {
        *self.hands.lock().unwrap() = time;
    }

    async fn granted(&self, (call, documents): &(Call, Documents)) -> Granted {
        let (answer, _) = self.channel.submit(self.channel.call(call, documents)).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    async fn failure(&self, invocation: &Invocation) -> Failure {
        let failure = self.channel.endorse(invocation).await.unwrap_err();
        let message = format!("chaincode response 500, {}", failure.to_message());
        assert_eq!(Failure::find(&message), Some(failure.clone()), "{message}");
        failure
    }
}

#[tokio::test]
async fn consumers_of_a_share_do_not_conflict() {
    let case = case().await;
    let share = case.fixture.share(AccessTimes::Times(3), |_| {});
    case.granted(&share.set()).await;
    let mut simulations = Vec::new();
    for name in ["Ann", "Bob"] {
        let (call, documents) = share.request(&case.fixture.consumer(name));
        simulations
            .push(case.channel.endorse(&case.channel.call(&call, &documents)).await.unwrap().1);
    }
    for (one, other) in [(0, 1), (1, 0)] {
        let read = |key: &String| simulations[other].reads.iter().any(|(read, _)| read == key);
        assert!(simulations[one].writes.iter().all(|(key, _)| !read(key)));
        assert_eq!(simulations[one].writes.len(), 2);
    }
    let first: Vec<&str> =
        simulations[0].reads.iter().map(|(key, _)| key.split('/').next().unwrap()).collect();
    assert_eq!(first, ["set-up", "trust", "share", "counter", "access"]);
}

#[tokio::test]
async fn a_call_more_than_60_seconds_from_the_endorsers_clock_is_refused() {
    let case = case().await;
    let share = case.fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    for time in [NOW - 60, NOW + 60] {
        let invocation = Invocation { time, ..case.channel.call(&call, &documents) };
        assert!(case.channel.endorse(&invocation).await.is_ok());
    }
    for time in [0, NOW - 61, NOW + 61, TIME_MAX] {
        let invocation = Invocation { time, ..case.channel.call(&call, &documents) };
        assert_eq!(case.failure(&invocation).await, Failure::Time { time, clock: NOW });
        let query = Invocation { time, ..case.channel.of_client(&["info"]) };
        assert!(case.channel.endorse(&query).await.is_ok(), "a query has no time");
    }
}

#[tokio::test]
async fn only_the_submitters_organisation_may_call() {
    let case = case().await;
    let (call, documents) = case.fixture.share(AccessTimes::Unlimited, |_| {}).set();
    for msp in ["Org2MSP", "org1msp", "", "Org1MSP "] {
        let caller = Caller::new(msp.to_owned(), certificate("admin").as_bytes());
        let invocation = Invocation { caller, ..case.channel.call(&call, &documents) };
        assert!(matches!(case.failure(&invocation).await, Failure::Caller { .. }), "{msp}");
    }
    let through_another =
        Invocation { chaincode: "wrapper".to_owned(), ..case.channel.call(&call, &documents) };
    assert!(matches!(case.failure(&through_another).await, Failure::Caller { .. }));
}

#[tokio::test]
async fn a_repeat_names_the_first_transaction_and_writes_nothing_even_when_it_comes_late() {
    let case = case().await;
    let share = case.fixture.share(AccessTimes::Times(1), |_| {});
    let set = case.granted(&share.set()).await;
    let request = share.request(&case.fixture.consumer("Ann"));
    let first = case.granted(&request).await;
    assert_ne!(first.transaction, set.transaction);
    case.set_clock(NOW + REQUEST_AGE_SECONDS_MAX + 1);
    let (answer, simulation) =
        case.channel.endorse(&case.channel.call(&request.0, &request.1)).await.unwrap();
    assert_eq!(serde_json::from_slice::<Granted>(&answer.payload).unwrap(), first);
    assert_eq!((simulation.writes, answer.event), (Vec::new(), None));

    // What was never recorded is not granted late.
    let late = case.fixture.share(AccessTimes::Times(1), |_| {});
    case.set_clock(NOW);
    let (call, documents) = late.request(&case.fixture.consumer("Bob"));
    case.set_clock(NOW + REQUEST_AGE_SECONDS_MAX + 1);
    let stale = case.failure(&case.channel.call(&call, &documents)).await;
    assert_eq!(stale, Failure::Documents { check: "stale".to_owned() });
}

#[tokio::test]
async fn refusals_of_documents_name_no_person() {
    let case = case().await;
    let share = case.fixture.share(AccessTimes::Unlimited, |_| {});
    let (ann, bob) = (case.fixture.consumer("Ann Andersson"), case.fixture.consumer("Bob"));
    case.granted(&share.set()).await;
    let (call, documents) = share.request(&ann);
    let Documents::Access { request, attributes, .. } = documents.clone() else { panic!() };
    let stolen = Documents::Access { request, consumer: bob.opening(), attributes };
    let stranger =
        Fixture::with_clock(LEDGER, Arc::new(|| NOW)).share(AccessTimes::Unlimited, |_| {});
    let (unknown, of_unknown) = stranger.set();
    for (call, documents, check) in [
        (&call, &stolen, "opening"),
        (&call, &share.set().1, "kind"),
        (&share.set().0, &stranger.set().1, "unknown"),
        (&unknown, &of_unknown, "unknown"),
    ] {
        let failure = case.failure(&case.channel.call(call, documents)).await;
        assert_eq!(failure, Failure::Documents { check: check.to_owned() });
    }
    let mut without = case.channel.call(&call, &documents);
    without.transient.clear();
    assert!(matches!(case.failure(&without).await, Failure::Arguments { .. }));
    without.transient.insert("documents".to_owned(), b"{\"documents\":\"Ann Andersson\"}".to_vec());
    assert!(!case.failure(&without).await.to_message().contains("Ann"));
}

#[tokio::test]
async fn pr_1_nothing_that_identifies_a_person_is_in_what_a_block_holds() {
    let case = case().await;
    let mut share = case.fixture.share(AccessTimes::Times(2), |policy| {
        policy.terms =
            Terms { organisations: ["lab.example".parse().unwrap()].into(), ..Terms::default() };
    });
    let ann = case.fixture.consumer("Ann Andersson");
    let attributes = Attributes {
        organisation: Some("lab.example".parse().unwrap()),
        country: Some("SE".parse().unwrap()),
        ..Attributes::default()
    };
    let access = share.request_with(&ann, attributes);
    let calls = [
        share.set(),
        access.clone(),
        share.report(&ann, &access.0, UsageAction::Opened),
        share.next(|_| {}),
    ];
    let mut block = Vec::new();
    for (call, documents) in &calls {
        let invocation = case.channel.call(call, documents);
        block.extend(invocation.arguments.concat());
        let (answer, _) = case.channel.submit(invocation).await.unwrap();
        block.extend(answer.payload);
        block.extend(answer.event.unwrap());
    }
    for (key, value) in case.channel.world().values() {
        block.extend(key.as_bytes());
        block.extend_from_slice(value);
    }
    let block = String::from_utf8(block).unwrap();
    let salt = serde_json::to_value(ann.opening()).unwrap()["salt"].as_str().unwrap().to_owned();
    let title = &share.policy.body().information.title;
    for datum in ["Ann", "Andersson", "Dr. Provider", "\"SE\"", &salt, title, "CN="] {
        assert!(!block.contains(datum), "{datum}");
    }
    assert!(block.contains(&ann.opening().commitment(&share.id()).to_string()));
}

#[tokio::test]
async fn the_state_is_read_as_documented() {
    let case = case().await;
    let share = case.fixture.share(AccessTimes::Times(2), |_| {});
    let set = case.granted(&share.set()).await;
    let value: serde_json::Value = case.channel.query(&["share", &share.id().to_string()]).await;
    assert_eq!(value["record"]["value"], "share");
    assert_eq!(value["record"]["time"], NOW);
    assert_eq!(value["transaction"], set.transaction);
    let none: serde_json::Value = case.channel.query(&["access", &"0".repeat(64)]).await;
    assert!(none.is_null());
    let info: Info = case.channel.query(&["info"]).await;
    assert_eq!(info.set_up, Some(set_up()));
    assert_eq!(info.trust, Some(TrustConfiguration::of(&case.fixture.trust()).digest()));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let case = case().await;
    let long = "x".repeat((1 << 20) + 1);
    let id = "0".repeat(64);
    let wrong: &[&[&str]] = &[
        &[],
        &[""],
        &["Share", &id],
        &["share"],
        &["share", "0", "0"],
        &["share", &id],
        &["access", "A"],
        &["execute"],
        &["execute", "{}"],
        &["execute", &long],
        &["info", "", "", "", ""],
        &["set-trust", "{}"],
        &["set-trust", r#"{"realms":{"a":{"cas":["*"]}}}"#],
        &["set-trust", r#"{"realms":{}}"#, "0"],
    ];
    for arguments in wrong {
        let failure = case.failure(&case.channel.of_client(arguments)).await;
        assert!(matches!(failure, Failure::Arguments { .. }), "{arguments:?}: {failure:?}");
    }
    let mut invocation = case.channel.of_client(&["info"]);
    invocation.arguments = vec![bytes::Bytes::from_static(&[0xff])];
    assert!(matches!(case.failure(&invocation).await, Failure::Arguments { .. }));
}

#[tokio::test]
async fn damaged_state_is_reported_and_not_overwritten() {
    let case = case().await;
    let share = case.fixture.share(AccessTimes::Times(2), |_| {});
    let (call, documents) = share.set();
    let key = format!("share/{}", share.id());
    case.channel.damage(&key, b"{}");
    let failure = case.failure(&case.channel.call(&call, &documents)).await;
    assert!(matches!(failure, Failure::State { detail } if detail.contains(&key)));
}

#[tokio::test]
async fn the_set_up_is_what_every_endorsers_organisation_agreed_to() {
    let (clock, _) = clock_at(NOW);
    let fixture = Fixture::with_clock(LEDGER, clock.clone());
    let channel = Channel::bare(clock.clone());
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    assert_eq!(
        channel.endorse(&channel.call(&call, &documents)).await.unwrap_err(),
        Failure::NotSetUp
    );
    let trust = json(&TrustConfiguration::of(&fixture.trust()));
    let early = channel.endorse(&channel.of_admin(&["set-trust", &trust])).await.unwrap_err();
    assert_eq!(early, Failure::NotSetUp);

    let agreed = json(&set_up());
    let by_client = channel.endorse(&channel.of_client(&["set-up", &agreed])).await.unwrap_err();
    assert!(matches!(by_client, Failure::Caller { .. }));
    let other = SetUp { submitter: "Org2MSP".to_owned(), ..set_up() };
    let other = channel.endorse(&channel.of_admin(&["set-up", &json(&other)])).await.unwrap_err();
    assert!(matches!(other, Failure::SetUp { .. }));
    let none = Contract::new(None, clock.clone());
    let mut simulation = Simulation::new(&channel.world());
    let undecided = none.invoke(&channel.of_admin(&["set-up", &agreed]), &mut simulation).await;
    assert!(matches!(undecided, Err(Failure::SetUp { .. })));

    let first = channel.submit(channel.of_admin(&["set-up", &agreed])).await.unwrap().0;
    let (again, simulation) =
        channel.endorse(&channel.of_admin(&["set-up", &agreed])).await.unwrap();
    assert_eq!((again, simulation.writes), (first, Vec::new()));
    let without_trust = channel.endorse(&channel.call(&call, &documents)).await.unwrap_err();
    assert_eq!(without_trust, Failure::NotSetUp);

    // The organisations agree to another submitter, and to another ledger.
    let world = channel.world();
    for (ledger, accepted) in [(LEDGER, true), ("another", false)] {
        let next = SetUp { submitter: "Org2MSP".to_owned(), ledger: ledger.to_owned(), ..set_up() };
        let contract = Contract::new(Some(next.clone()), clock.clone());
        let mut simulation = Simulation::new(&world);
        let answer =
            contract.invoke(&channel.of_admin(&["set-up", &json(&next)]), &mut simulation).await;
        assert_eq!(answer.is_ok(), accepted, "{answer:?}");
    }
}

#[tokio::test]
async fn the_trust_configuration_is_replaced_by_admins_and_only_the_one_they_know() {
    let case = case().await;
    let old = TrustConfiguration::of(&case.fixture.trust());
    let other = Fixture::with_clock(LEDGER, Arc::new(|| NOW));
    let new = TrustConfiguration::of(&other.trust());
    let (old_digest, new_digest) = (old.digest().to_string(), new.digest().to_string());
    let (text, old_text) = (json(&new), json(&old));

    let by_client = case.failure(&case.channel.of_client(&["set-trust", &text, &old_digest])).await;
    assert!(matches!(by_client, Failure::Caller { .. }));
    let changed = Failure::TrustChanged { digest: Some(old.digest()) };
    assert_eq!(case.failure(&case.channel.of_admin(&["set-trust", &text])).await, changed);
    assert_eq!(
        case.failure(&case.channel.of_admin(&["set-trust", &text, &new_digest])).await,
        changed
    );
    let unusable = [
        TrustConfiguration::default(),
        TrustConfiguration { realms: [("a".to_owned(), RealmConfiguration::default())].into() },
    ];
    for wrong in unusable {
        let failure =
            case.failure(&case.channel.of_admin(&["set-trust", &json(&wrong), &old_digest])).await;
        assert!(matches!(failure, Failure::Arguments { .. }));
    }

    let (call, documents) = other.share(AccessTimes::Unlimited, |_| {}).set();
    let unknown = case.failure(&case.channel.call(&call, &documents)).await;
    assert_eq!(unknown, Failure::Documents { check: "unknown".to_owned() });
    let pending =
        case.channel.endorse(&case.channel.of_admin(&["set-trust", &text, &old_digest])).await;
    assert_eq!(canonical(&new), text.as_bytes());
    let (answer, _) = pending.unwrap();
    let (submitted, _) = case
        .channel
        .submit(case.channel.of_admin(&["set-trust", &text, &old_digest]))
        .await
        .unwrap();
    let done: Changed = serde_json::from_slice(&submitted.payload).unwrap();
    assert_eq!(done.digest, Some(new.digest()));
    assert_ne!(answer, submitted, "each in its own transaction");
    case.channel.submit(case.channel.call(&call, &documents)).await.unwrap();
    let repeat = case
        .channel
        .submit(case.channel.of_admin(&["set-trust", &text, &old_digest]))
        .await
        .unwrap();
    assert_eq!((repeat.0, repeat.1), (submitted, None));
    let (call, documents) = case.fixture.share(AccessTimes::Unlimited, |_| {}).set();
    assert!(matches!(
        case.failure(&case.channel.call(&call, &documents)).await,
        Failure::Documents { .. }
    ));
    case.channel
        .submit(case.channel.of_admin(&["set-trust", &old_text, &new_digest]))
        .await
        .unwrap();
    case.granted(&(call, documents)).await;
}
