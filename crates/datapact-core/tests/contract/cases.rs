//! The cases of the corpus, each with its expected result stated outright.

use datapact_core::contract::{
    AccessRecord, Call, Counter, Outcome, Receipt, RecordUsage, Refusal, Reports, RequestAccess,
    SetPolicy, ShareRecord, UsageRecord, Value, Values,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::permission::{AccessTimes, TIME_MAX};
use datapact_core::policy::ShareState::{Active, Revoked, Suspended};
use datapact_core::terms::Terms;
use serde_json::json;

use crate::corpus::Expected;

/// Name, rule shown, values, call, time, expected.
type Row = (&'static str, &'static str, Values, Call, Timestamp, Expected);

pub const SHARE: ShareId = ShareId([0x5a; 16]);
pub const OTHER_SHARE: ShareId = ShareId([0x5b; 16]);
pub const OWNER: Commitment = Commitment([0x01; 32]);
pub const ANN: Commitment = Commitment([0xa1; 32]);
pub const BOB: Commitment = Commitment([0xb0; 32]);
pub const BEGIN: Timestamp = 1_800_000_000;
pub const END: Timestamp = 1_800_086_400;
const NOW: Timestamp = BEGIN + 3_600;
const EARLIER: Timestamp = BEGIN - 60;
const LATER: Timestamp = END + 86_400;

/// The document id of a policy version.
pub fn policy_id(version: u32) -> Digest {
    Digest::of(format!("policy {version}").as_bytes())
}

pub fn request_id(number: u32) -> Digest {
    Digest::of(format!("request {number}").as_bytes())
}

fn report_id(number: u32) -> Digest {
    Digest::of(format!("report {number}").as_bytes())
}

/// A well-formed version of the share's policy: anyone, three times.
pub fn policy(version: u32) -> SetPolicy {
    SetPolicy {
        share: SHARE,
        version,
        previous: (version > 1).then(|| policy_id(version - 1)),
        policy: policy_id(version),
        owner: OWNER,
        state: Active,
        package: Digest([0x70; 32]),
        terms: anyone(),
        access_times: AccessTimes::Times(3),
        not_before: BEGIN,
        expires: END,
        read_only: true,
    }
}

fn anyone() -> Terms<Commitment> {
    Terms { anyone: true, ..Terms::default() }
}

fn codes<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(
    codes: &[&str],
) -> std::collections::BTreeSet<T> {
    codes.iter().map(|code| code.parse().unwrap()).collect()
}

/// A policy with these terms alone.
fn restricted(terms: Terms<Commitment>) -> SetPolicy {
    SetPolicy { terms, ..policy(1) }
}

fn every_kind() -> Terms<Commitment> {
    Terms {
        anyone: false,
        users: [ANN, BOB].into(),
        organisations: codes(&["lab.example", "clinic.example"]),
        industries: codes(&["isic4:86", "nace2:72.1"]),
        countries: codes(&["SE", "DE"]),
        purposes: codes(&["research", "care"]),
    }
}

pub fn request(number: u32) -> RequestAccess {
    RequestAccess {
        share: SHARE,
        policy: policy_id(1),
        request: request_id(number),
        consumer: ANN,
        organisation: None,
        industry: None,
        country: None,
        purpose: None,
    }
}

/// A request that fits [`every_kind`].
fn full_request(number: u32) -> RequestAccess {
    RequestAccess {
        organisation: Some("lab.example".parse().unwrap()),
        industry: Some("isic4:8610".parse().unwrap()),
        country: Some("SE".parse().unwrap()),
        purpose: Some("research".parse().unwrap()),
        ..request(number)
    }
}

fn usage() -> RecordUsage {
    RecordUsage { share: SHARE, request: request_id(1), report: report_id(1), consumer: ANN }
}

fn share_value(policy: SetPolicy) -> (String, Value) {
    (format!("share/{}", policy.share), Value::Share(ShareRecord { policy, time: EARLIER }))
}

fn counter_value(consumer: Commitment, granted: u32) -> (String, Value) {
    (format!("counter/{SHARE}/{consumer}"), Value::Counter(Counter { granted }))
}

fn access_value(request: RequestAccess, access: u32) -> (String, Value) {
    let key = format!("access/{}", request.request);
    (key, Value::Access(AccessRecord { request, access, time: NOW - 60 }))
}

fn usage_value(usage: RecordUsage) -> (String, Value) {
    (format!("usage/{}", usage.report), Value::Usage(UsageRecord { usage, time: NOW - 30 }))
}

fn reports_value(recorded: u32) -> (String, Value) {
    (format!("reports/{}", request_id(1)), Value::Reports(Reports { recorded }))
}

fn values<const N: usize>(values: [(String, Value); N]) -> Values {
    values.into()
}

fn refused(refusal: Refusal) -> Expected {
    Expected::Refusal(refusal)
}

fn malformed(detail: &str) -> Expected {
    refused(Refusal::Malformed { detail: detail.to_owned() })
}

/// The policy set at `NOW`.
fn set(policy: SetPolicy) -> Expected {
    let key = format!("share/{}", policy.share);
    let record = ShareRecord { policy, time: NOW };
    Expected::Outcome(Outcome {
        writes: [(key, Value::Share(record.clone()))].into(),
        receipt: Receipt::Policy(record),
    })
}

/// The request granted at `time` as the consumer's access number `access`.
fn granted_at(request: RequestAccess, access: u32, time: Timestamp) -> Expected {
    let counter = format!("counter/{}/{}", request.share, request.consumer);
    let key = format!("access/{}", request.request);
    let record = AccessRecord { request, access, time };
    Expected::Outcome(Outcome {
        writes: [
            (counter, Value::Counter(Counter { granted: access })),
            (key, Value::Access(record.clone())),
        ]
        .into(),
        receipt: Receipt::Access(record),
    })
}

fn granted(request: RequestAccess, access: u32) -> Expected {
    granted_at(request, access, NOW)
}

fn first_receipt(receipt: Receipt) -> Expected {
    Expected::Outcome(Outcome { writes: Values::new(), receipt })
}

const UNSTATED: &str = "the terms name no users, organisations, industries or \
                        countries; name some, or say that anyone may access";
const WINDOW: &str = "access would end at 1800000000, which is not after it begins at";
const VERSIONS: &str = "every version but the first names its predecessor";

pub fn set_policy() -> Vec<Row> {
    let row = |name, shows, values: Values, call: SetPolicy, expected| -> Row {
        (name, shows, values, Call::SetPolicy(call), NOW, expected)
    };
    // A successor to version 1 that only changes what `change` does.
    let second = |change: fn(&mut SetPolicy)| {
        let mut policy = policy(2);
        change(&mut policy);
        policy
    };
    let first = |change: fn(&mut SetPolicy)| {
        let mut policy = policy(1);
        change(&mut policy);
        policy
    };
    let none = Values::new;
    let after = |policy: SetPolicy| values([share_value(policy)]);
    let accepted_first =
        |name, shows, policy: SetPolicy| row(name, shows, none(), policy.clone(), set(policy));
    let accepted_after = |name, shows, stored: SetPolicy, policy: SetPolicy| {
        row(name, shows, after(stored), policy.clone(), set(policy))
    };
    let mut rows = vec![
        accepted_first("a first version makes the share", "version", policy(1)),
        accepted_first("a share may begin suspended", "state", first(|p| p.state = Suspended)),
        accepted_first("a share may begin revoked", "state", first(|p| p.state = Revoked)),
        accepted_first(
            "an expired policy may be set",
            "window",
            first(|p| (p.not_before, p.expires) = (1, 2)),
        ),
        accepted_first(
            "one second of access is enough",
            "window",
            first(|p| p.expires = BEGIN + 1),
        ),
        accepted_first("the year 9999 is the last", "window", first(|p| p.expires = TIME_MAX)),
        accepted_first(
            "access may be unlimited",
            "access times",
            first(|p| p.access_times = AccessTimes::Unlimited),
        ),
        accepted_first(
            "one access is enough",
            "access times",
            first(|p| p.access_times = AccessTimes::Times(1)),
        ),
        accepted_first(
            "the largest access times",
            "access times",
            first(|p| p.access_times = AccessTimes::Times(u32::MAX)),
        ),
        accepted_first("every kind may be restricted", "terms", first(|p| p.terms = every_kind())),
        accepted_first(
            "anyone, for a purpose",
            "terms",
            first(|p| p.terms = Terms { purposes: codes(&["research"]), ..anyone() }),
        ),
        accepted_first(
            "256 values of a kind",
            "terms",
            first(|p| p.terms = Terms { organisations: many(256), ..Terms::default() }),
        ),
        accepted_after("a successor", "version", policy(1), policy(2)),
        accepted_after(
            "a successor may change package, terms and permission",
            "version",
            policy(1),
            second(|p| {
                p.package = Digest([0x71; 32]);
                p.terms = every_kind();
                p.access_times = AccessTimes::Unlimited;
                p.expires = END + 1;
                p.read_only = false;
            }),
        ),
        accepted_after("suspend", "state", policy(1), second(|p| p.state = Suspended)),
        accepted_after("resume", "state", first(|p| p.state = Suspended), policy(2)),
        accepted_after("revoke", "state", policy(1), second(|p| p.state = Revoked)),
        accepted_after(
            "revoke what is suspended",
            "state",
            first(|p| p.state = Suspended),
            second(|p| p.state = Revoked),
        ),
        accepted_after(
            "the last version that there is",
            "version",
            SetPolicy { version: u32::MAX - 1, ..policy(2) },
            SetPolicy { version: u32::MAX, previous: Some(policy_id(2)), ..policy(3) },
        ),
    ];
    let receipt = |policy| first_receipt(Receipt::Policy(ShareRecord { policy, time: EARLIER }));
    rows.extend([
        row("the same policy again", "repeat", after(policy(2)), policy(2), receipt(policy(2))),
        row(
            "the same revocation again",
            "repeat",
            after(second(|p| p.state = Revoked)),
            second(|p| p.state = Revoked),
            receipt(second(|p| p.state = Revoked)),
        ),
        row(
            "the same policy id with other content",
            "version",
            after(policy(1)),
            first(|p| p.read_only = false),
            refused(Refusal::Version { expected: 2 }),
        ),
        row(
            "a first version for an existing share",
            "version",
            after(policy(1)),
            first(|p| p.policy = policy_id(9)),
            refused(Refusal::Version { expected: 2 }),
        ),
        row(
            "an older version again",
            "version",
            after(policy(2)),
            policy(1),
            refused(Refusal::Version { expected: 3 }),
        ),
        row(
            "a version left out",
            "version",
            after(policy(1)),
            policy(3),
            refused(Refusal::Version { expected: 2 }),
        ),
        row(
            "a second version of no share",
            "version",
            none(),
            policy(2),
            refused(Refusal::Version { expected: 1 }),
        ),
        row(
            "a successor to another policy",
            "predecessor",
            after(policy(1)),
            second(|p| p.previous = Some(policy_id(9))),
            refused(Refusal::Predecessor),
        ),
        row(
            "the version comes before the predecessor",
            "order of rules",
            after(policy(1)),
            SetPolicy { previous: Some(policy_id(9)), ..policy(3) },
            refused(Refusal::Version { expected: 2 }),
        ),
        row(
            "another user's successor",
            "owner",
            after(policy(1)),
            second(|p| p.owner = BOB),
            refused(Refusal::Owner),
        ),
        row(
            "another user's first version of an existing share",
            "owner",
            after(policy(1)),
            first(|p| p.owner = BOB),
            refused(Refusal::Owner),
        ),
        row(
            "the owner comes before revoked",
            "order of rules",
            after(first(|p| p.state = Revoked)),
            second(|p| p.owner = BOB),
            refused(Refusal::Owner),
        ),
        row(
            "nothing resumes a revoked share",
            "revoked",
            after(first(|p| p.state = Revoked)),
            policy(2),
            refused(Refusal::Revoked),
        ),
        row(
            "nothing revokes a revoked share again",
            "revoked",
            after(first(|p| p.state = Revoked)),
            second(|p| p.state = Revoked),
            refused(Refusal::Revoked),
        ),
        row(
            "revoked comes before the version",
            "order of rules",
            after(first(|p| p.state = Revoked)),
            policy(3),
            refused(Refusal::Revoked),
        ),
        row(
            "version 0",
            "malformed",
            none(),
            first(|p| p.version = 0),
            malformed("versions begin at 1"),
        ),
        row(
            "a first version with a predecessor",
            "malformed",
            none(),
            first(|p| p.previous = Some(policy_id(9))),
            malformed(VERSIONS),
        ),
        row(
            "a second version without a predecessor",
            "malformed",
            after(policy(1)),
            second(|p| p.previous = None),
            malformed(VERSIONS),
        ),
        row(
            "no version after the last",
            "malformed",
            after(SetPolicy { version: u32::MAX, ..policy(2) }),
            SetPolicy { version: u32::MAX, previous: Some(policy_id(2)), ..policy(3) },
            malformed("the share has had its last version"),
        ),
        row(
            "terms that say nothing",
            "terms",
            none(),
            first(|p| p.terms = Terms::default()),
            malformed(UNSTATED),
        ),
        row(
            "a purpose alone does not say who",
            "terms",
            none(),
            first(|p| p.terms = Terms { purposes: codes(&["research"]), ..Terms::default() }),
            malformed(UNSTATED),
        ),
        row(
            "anyone, and yet restricted",
            "terms",
            none(),
            first(|p| p.terms = Terms { countries: codes(&["SE"]), ..anyone() }),
            malformed(
                "the terms say that anyone may access and restrict access as well; leave out one \
                 of the two",
            ),
        ),
        row(
            "257 values of a kind",
            "terms",
            none(),
            first(|p| p.terms = Terms { organisations: many(257), ..Terms::default() }),
            malformed("the terms list 257 organisations, and at most 256 are allowed"),
        ),
        row(
            "257 purposes",
            "terms",
            none(),
            first(|p| p.terms = Terms { purposes: many(257), ..anyone() }),
            malformed("the terms list 257 purposes, and at most 256 are allowed"),
        ),
        row(
            "access that ends as it begins",
            "window",
            none(),
            first(|p| p.expires = BEGIN),
            malformed(&format!("{WINDOW} 1800000000")),
        ),
        row(
            "access that ends before it begins",
            "window",
            none(),
            first(|p| (p.not_before, p.expires) = (BEGIN + 1, BEGIN)),
            malformed(&format!("{WINDOW} 1800000001")),
        ),
        row(
            "access after the year 9999",
            "window",
            none(),
            first(|p| p.expires = TIME_MAX + 1),
            malformed(
                "the expiration time 253402300800 is after the year 9999; give it in seconds \
                 since 1970",
            ),
        ),
        row(
            "no access at all",
            "access times",
            none(),
            first(|p| p.access_times = AccessTimes::Times(0)),
            malformed("access times must be at least 1; to stop a share, suspend or revoke it"),
        ),
        row(
            "malformed comes before the owner",
            "order of rules",
            after(policy(1)),
            second(|p| (p.owner, p.terms) = (BOB, Terms::default())),
            malformed(UNSTATED),
        ),
        row(
            "another value under the share's key",
            "malformed",
            values([(format!("share/{SHARE}"), Value::Counter(Counter { granted: 1 }))]),
            policy(1),
            malformed(&format!("the state under `share/{SHARE}` is of another type")),
        ),
    ]);
    rows
}

fn many<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(
    count: usize,
) -> std::collections::BTreeSet<T> {
    (0..count).map(|i| format!("n{i:03}").parse().unwrap()).collect()
}

pub fn request_access() -> Vec<Row> {
    let at = |time, name, shows, values: Values, call: RequestAccess, expected| -> Row {
        (name, shows, values, Call::RequestAccess(call), time, expected)
    };
    let row = |name, shows, values: Values, call: RequestAccess, expected| {
        at(NOW, name, shows, values, call, expected)
    };
    let share = |policy: SetPolicy| values([share_value(policy)]);
    let had =
        |policy: SetPolicy, granted| values([share_value(policy), counter_value(ANN, granted)]);
    let times = |times| SetPolicy { access_times: AccessTimes::Times(times), ..policy(1) };
    let unlimited = || SetPolicy { access_times: AccessTimes::Unlimited, ..policy(1) };
    let state = |state| SetPolicy { state, ..policy(1) };
    let used_up = |access_times| refused(Refusal::AccessTimes { access_times });
    let of_version_2 = || RequestAccess { policy: policy_id(2), ..request(1) };
    let mut rows = vec![
        row("a first access", "access times", share(policy(1)), request(1), granted(request(1), 1)),
        row(
            "a second access",
            "access times",
            had(policy(1), 1),
            request(2),
            granted(request(2), 2),
        ),
        row(
            "the last access",
            "access times",
            had(policy(1), 2),
            request(3),
            granted(request(3), 3),
        ),
        row("one access too many", "access times", had(policy(1), 3), request(4), used_up(3)),
        row("the only access", "access times", share(times(1)), request(1), granted(request(1), 1)),
        row("the only access is used up", "access times", had(times(1), 1), request(2), used_up(1)),
        row("fewer times than had", "access times", had(times(2), 5), request(6), used_up(2)),
        row(
            "counting goes on over versions",
            "access times",
            had(SetPolicy { access_times: AccessTimes::Times(4), ..policy(2) }, 3),
            of_version_2(),
            granted(of_version_2(), 4),
        ),
        row(
            "a new version gives no new accesses",
            "access times",
            had(policy(2), 3),
            of_version_2(),
            used_up(3),
        ),
        row(
            "each consumer is counted alone",
            "access times",
            values([share_value(policy(1)), counter_value(BOB, 3)]),
            request(1),
            granted(request(1), 1),
        ),
        row(
            "unlimited access",
            "access times",
            had(unlimited(), 1_000),
            request(1),
            granted(request(1), 1_001),
        ),
        row(
            "the last countable access",
            "access times",
            had(unlimited(), u32::MAX - 1),
            request(1),
            granted(request(1), u32::MAX),
        ),
        row(
            "unlimited ends with the counter",
            "access times",
            had(unlimited(), u32::MAX),
            request(1),
            used_up(u32::MAX),
        ),
        row(
            "the owner counts like everybody",
            "access times",
            values([share_value(policy(1)), counter_value(OWNER, 3)]),
            RequestAccess { consumer: OWNER, ..request(1) },
            used_up(3),
        ),
        row(
            "no such share",
            "unknown share",
            Values::new(),
            request(1),
            refused(Refusal::UnknownShare),
        ),
        row(
            "a suspended share",
            "suspended",
            share(state(Suspended)),
            request(1),
            refused(Refusal::Suspended),
        ),
        row(
            "a revoked share",
            "revoked",
            share(state(Revoked)),
            request(1),
            refused(Refusal::Revoked),
        ),
        row(
            "an older version accepted",
            "superseded",
            share(policy(2)),
            request(1),
            refused(Refusal::Superseded),
        ),
        row(
            "an unknown version accepted",
            "superseded",
            share(policy(1)),
            of_version_2(),
            refused(Refusal::Superseded),
        ),
        row(
            "suspended comes before superseded",
            "order of rules",
            share(SetPolicy { state: Suspended, ..policy(2) }),
            request(1),
            refused(Refusal::Suspended),
        ),
        row(
            "revoked comes before superseded",
            "order of rules",
            share(SetPolicy { state: Revoked, ..policy(2) }),
            request(1),
            refused(Refusal::Revoked),
        ),
        at(
            BEGIN,
            "the first moment",
            "window",
            share(policy(1)),
            request(1),
            granted_at(request(1), 1, BEGIN),
        ),
        at(
            BEGIN - 1,
            "a second too early",
            "window",
            share(policy(1)),
            request(1),
            refused(Refusal::NotYet { not_before: BEGIN }),
        ),
        at(
            END - 1,
            "the last moment",
            "window",
            share(policy(1)),
            request(1),
            granted_at(request(1), 1, END - 1),
        ),
        at(
            END,
            "the expiration time",
            "window",
            share(policy(1)),
            request(1),
            refused(Refusal::Expired { expires: END }),
        ),
        at(
            LATER,
            "superseded comes before expired",
            "order of rules",
            share(policy(2)),
            request(1),
            refused(Refusal::Superseded),
        ),
    ];
    rows.extend(terms_rows());
    rows.extend(order_rows());
    rows.extend(repeat_rows());
    rows
}

/// Who may access.
fn terms_rows() -> Vec<Row> {
    let none = Terms::<Commitment>::default;
    let row = |name,
               shows,
               terms: Terms<Commitment>,
               change: &dyn Fn(&mut RequestAccess),
               refusal: Option<Refusal>|
     -> Row {
        let mut call = request(1);
        change(&mut call);
        let expected = match refusal {
            None => granted(call.clone(), 1),
            Some(refusal) => refused(refusal),
        };
        (
            name,
            shows,
            values([share_value(restricted(terms))]),
            Call::RequestAccess(call),
            NOW,
            expected,
        )
    };
    let users = || Terms { users: [ANN].into(), ..none() };
    let organisations =
        || Terms { organisations: codes(&["clinic.example", "lab.example"]), ..none() };
    let industries =
        || Terms { industries: codes(&["isic4:86", "isic4:C", "nace2:72.1"]), ..none() };
    let countries = || Terms { countries: codes(&["DE", "SE"]), ..none() };
    let purposes = || Terms { purposes: codes(&["research"]), ..anyone() };
    let industry =
        |code: &'static str| move |r: &mut RequestAccess| r.industry = Some(code.parse().unwrap());
    let organisation = |name: &'static str| {
        move |r: &mut RequestAccess| r.organisation = Some(name.parse().unwrap())
    };
    let country =
        |code: &'static str| move |r: &mut RequestAccess| r.country = Some(code.parse().unwrap());
    let purpose =
        |name: &'static str| move |r: &mut RequestAccess| r.purpose = Some(name.parse().unwrap());
    let nothing = |_: &mut RequestAccess| {};
    vec![
        row("a named user", "user", users(), &nothing, None),
        row("a user who is not named", "user", users(), &|r| r.consumer = BOB, Some(Refusal::User)),
        row(
            "the owner is a user like others",
            "user",
            users(),
            &|r| r.consumer = OWNER,
            Some(Refusal::User),
        ),
        row(
            "one of the organisations",
            "organisation",
            organisations(),
            &organisation("lab.example"),
            None,
        ),
        row(
            "another organisation",
            "organisation",
            organisations(),
            &organisation("bank.example"),
            Some(Refusal::Organisation),
        ),
        row(
            "organisations are compared exactly",
            "organisation",
            organisations(),
            &organisation("Lab.example"),
            Some(Refusal::Organisation),
        ),
        row(
            "no organisation",
            "organisation",
            organisations(),
            &nothing,
            Some(Refusal::Organisation),
        ),
        row("the industry itself", "industry", industries(), &industry("isic4:86"), None),
        row("a class of the industry", "industry", industries(), &industry("isic4:8610"), None),
        row("a class of a NACE group", "industry", industries(), &industry("nace2:72.19"), None),
        row("a division of the section", "industry", industries(), &industry("isic4:21"), None),
        row(
            "the first division of the section",
            "industry",
            industries(),
            &industry("isic4:10"),
            None,
        ),
        row(
            "the last class of the section",
            "industry",
            industries(),
            &industry("isic4:3320"),
            None,
        ),
        row(
            "the section above the industry",
            "industry",
            industries(),
            &industry("isic4:Q"),
            Some(Refusal::Industry),
        ),
        row(
            "the division above the group",
            "industry",
            industries(),
            &industry("nace2:72"),
            Some(Refusal::Industry),
        ),
        row(
            "the next division",
            "industry",
            industries(),
            &industry("isic4:87"),
            Some(Refusal::Industry),
        ),
        row(
            "the division after the section",
            "industry",
            industries(),
            &industry("isic4:35"),
            Some(Refusal::Industry),
        ),
        row(
            "the same code in another scheme",
            "industry",
            industries(),
            &industry("nace2:86"),
            Some(Refusal::Industry),
        ),
        row("no industry", "industry", industries(), &nothing, Some(Refusal::Industry)),
        row("one of the countries", "country", countries(), &country("SE"), None),
        row("another country", "country", countries(), &country("US"), Some(Refusal::Country)),
        row("no country", "country", countries(), &nothing, Some(Refusal::Country)),
        row("one of the purposes", "purpose", purposes(), &purpose("research"), None),
        row(
            "another purpose",
            "purpose",
            purposes(),
            &purpose("marketing"),
            Some(Refusal::Purpose),
        ),
        row("no purpose", "purpose", purposes(), &nothing, Some(Refusal::Purpose)),
        row("all kinds hold", "terms", every_kind(), &|r| *r = full_request(1), None),
    ]
}

/// Which rule speaks first.
fn order_rows() -> Vec<Row> {
    let strict = || SetPolicy { access_times: AccessTimes::Times(1), ..restricted(every_kind()) };
    // Each step wrongs one thing more, from the last rule to the first.
    let mut call = full_request(1);
    let mut stored = vec![share_value(strict()), counter_value(ANN, 1)];
    let mut rows: Vec<Row> = Vec::new();
    let mut push = |name, stored: &[(String, Value)], call: &RequestAccess, time, refusal| {
        let values = stored.iter().cloned().collect();
        rows.push((
            name,
            "order of rules",
            values,
            Call::RequestAccess(call.clone()),
            time,
            refused(refusal),
        ));
    };
    push("access times come last", &stored, &call, NOW, Refusal::AccessTimes { access_times: 1 });
    call.purpose = None;
    push("purpose comes before access times", &stored, &call, NOW, Refusal::Purpose);
    call.country = None;
    push("country comes before purpose", &stored, &call, NOW, Refusal::Country);
    call.industry = None;
    push("industry comes before country", &stored, &call, NOW, Refusal::Industry);
    call.organisation = None;
    push("organisation comes before industry", &stored, &call, NOW, Refusal::Organisation);
    call.consumer = OWNER;
    push("user comes before organisation", &stored, &call, NOW, Refusal::User);
    push("expired comes before user", &stored, &call, END, Refusal::Expired { expires: END });
    push(
        "not yet comes before user",
        &stored,
        &call,
        EARLIER,
        Refusal::NotYet { not_before: BEGIN },
    );

    let unasked = |name, change: fn(&mut RequestAccess), kind: &str, time| -> Row {
        let mut call = request(1);
        change(&mut call);
        let detail = format!("the policy does not ask for the {kind}, so it must be left out");
        (
            name,
            "malformed",
            values([share_value(policy(1))]),
            Call::RequestAccess(call),
            time,
            malformed(&detail),
        )
    };
    let with_country: fn(&mut RequestAccess) = |r| r.country = Some("SE".parse().unwrap());
    let rest = vec![
        unasked(
            "an organisation unasked",
            |r| r.organisation = Some("lab".parse().unwrap()),
            "organisation",
            NOW,
        ),
        unasked(
            "an industry unasked",
            |r| r.industry = Some("isic4:86".parse().unwrap()),
            "industry",
            NOW,
        ),
        unasked("a country unasked", with_country, "country", NOW),
        unasked(
            "a purpose unasked",
            |r| r.purpose = Some("research".parse().unwrap()),
            "purpose",
            NOW,
        ),
        unasked("an attribute unasked comes before expired", with_country, "country", END),
    ];
    rows.extend(rest);
    let mut superseded = request(1);
    with_country(&mut superseded);
    stored = vec![share_value(policy(2))];
    rows.push((
        "superseded comes before an attribute unasked",
        "order of rules",
        stored.into_iter().collect(),
        Call::RequestAccess(superseded),
        NOW,
        refused(Refusal::Superseded),
    ));
    rows
}

/// The same request again, and a request id taken.
fn repeat_rows() -> Vec<Row> {
    let row = |name, shows, values: Values, call: RequestAccess, time, expected| -> Row {
        (name, shows, values, Call::RequestAccess(call), time, expected)
    };
    let with = |policy: SetPolicy, granted| {
        values([share_value(policy), counter_value(ANN, granted), access_value(request(1), 1)])
    };
    let receipt = || {
        first_receipt(Receipt::Access(AccessRecord {
            request: request(1),
            access: 1,
            time: NOW - 60,
        }))
    };
    let taken = || refused(Refusal::RequestTaken);
    let wrong = |key: String| malformed(&format!("the state under `{key}` is of another type"));
    let any = || Value::Share(ShareRecord { policy: policy(1), time: EARLIER });
    let counter_key = format!("counter/{SHARE}/{ANN}");
    let access_key = format!("access/{}", request_id(1));
    let one = Value::Counter(Counter { granted: 1 });
    vec![
        row("the same request again", "repeat", with(policy(1), 1), request(1), NOW, receipt()),
        row(
            "the same request, all used up",
            "repeat",
            with(policy(1), 3),
            request(1),
            NOW,
            receipt(),
        ),
        row(
            "the same request, expired",
            "repeat",
            with(policy(1), 1),
            request(1),
            LATER,
            receipt(),
        ),
        row(
            "the same request, superseded",
            "repeat",
            with(policy(2), 1),
            request(1),
            NOW,
            receipt(),
        ),
        row(
            "the same request, revoked",
            "repeat",
            with(SetPolicy { state: Revoked, ..policy(2) }, 1),
            request(1),
            NOW,
            receipt(),
        ),
        row(
            "another user's request",
            "request taken",
            with(policy(1), 1),
            RequestAccess { consumer: BOB, ..request(1) },
            NOW,
            taken(),
        ),
        row(
            "the same request with another country",
            "request taken",
            with(policy(1), 1),
            RequestAccess { country: Some("SE".parse().unwrap()), ..request(1) },
            NOW,
            taken(),
        ),
        row(
            "the same request for another share",
            "request taken",
            with(policy(1), 1),
            RequestAccess { share: OTHER_SHARE, ..request(1) },
            NOW,
            taken(),
        ),
        row(
            "the same request under another version",
            "request taken",
            with(policy(2), 1),
            RequestAccess { policy: policy_id(2), ..request(1) },
            NOW,
            taken(),
        ),
        row(
            "another value under the access's key",
            "malformed",
            values([share_value(policy(1)), (access_key.clone(), any())]),
            request(1),
            NOW,
            wrong(access_key),
        ),
        row(
            "another value under the counter's key",
            "malformed",
            values([share_value(policy(1)), (counter_key.clone(), any())]),
            request(1),
            NOW,
            wrong(counter_key),
        ),
        row(
            "another value under the share's key of an access",
            "malformed",
            values([(format!("share/{SHARE}"), one)]),
            request(1),
            NOW,
            wrong(format!("share/{SHARE}")),
        ),
    ]
}

pub fn record_usage() -> Vec<Row> {
    let row = |name, shows, values: Values, call: RecordUsage, time, expected| -> Row {
        (name, shows, values, Call::RecordUsage(call), time, expected)
    };
    let recorded = |usage: RecordUsage, number, time| {
        let key = format!("usage/{}", usage.report);
        let reports = reports_value(number);
        let record = UsageRecord { usage, time };
        Expected::Outcome(Outcome {
            writes: [reports, (key, Value::Usage(record.clone()))].into(),
            receipt: Receipt::Usage(record),
        })
    };
    let accessed = || values([access_value(request(1), 1)]);
    let reported_often =
        |number| values([access_value(request(1), 1), reports_value(number), usage_value(usage())]);
    let reported = || reported_often(1);
    let used_up = || refused(Refusal::UsageReports { usage_reports: 16 });
    let receipt = || first_receipt(Receipt::Usage(UsageRecord { usage: usage(), time: NOW - 30 }));
    let second = || RecordUsage { report: report_id(2), ..usage() };
    let wrong = |key: String| malformed(&format!("the state under `{key}` is of another type"));
    let one = || Value::Counter(Counter { granted: 1 });
    let access_key = format!("access/{}", request_id(1));
    let usage_key = format!("usage/{}", report_id(1));
    let reports_key = format!("reports/{}", request_id(1));
    vec![
        row("a usage report", "record usage", accessed(), usage(), NOW, recorded(usage(), 1, NOW)),
        row(
            "a usage report after the share expired",
            "record usage",
            accessed(),
            usage(),
            LATER,
            recorded(usage(), 1, LATER),
        ),
        row(
            "a second report of one access",
            "record usage",
            reported(),
            second(),
            NOW,
            recorded(second(), 2, NOW),
        ),
        row(
            "the last report of one access",
            "record usage",
            reported_often(15),
            second(),
            NOW,
            recorded(second(), 16, NOW),
        ),
        row("one report too many", "usage reports", reported_often(16), second(), NOW, used_up()),
        row("one of all reports again", "repeat", reported_often(16), usage(), LATER, receipt()),
        row(
            "the consumer comes before the number of reports",
            "order of rules",
            reported_often(16),
            RecordUsage { consumer: BOB, ..second() },
            NOW,
            refused(Refusal::Consumer),
        ),
        row("the same report again", "repeat", reported(), usage(), LATER, receipt()),
        row(
            "the same report of another access",
            "request taken",
            reported(),
            RecordUsage { request: request_id(2), ..usage() },
            NOW,
            refused(Refusal::RequestTaken),
        ),
        row(
            "the same report by another user",
            "request taken",
            reported(),
            RecordUsage { consumer: BOB, ..usage() },
            NOW,
            refused(Refusal::RequestTaken),
        ),
        row(
            "a report of no access",
            "unknown access",
            Values::new(),
            usage(),
            NOW,
            refused(Refusal::UnknownAccess),
        ),
        row(
            "a report of another share's access",
            "unknown access",
            accessed(),
            RecordUsage { share: OTHER_SHARE, ..usage() },
            NOW,
            refused(Refusal::UnknownAccess),
        ),
        row(
            "another user's access",
            "consumer",
            accessed(),
            RecordUsage { consumer: BOB, ..usage() },
            NOW,
            refused(Refusal::Consumer),
        ),
        row(
            "the access comes before the consumer",
            "order of rules",
            accessed(),
            RecordUsage { share: OTHER_SHARE, consumer: BOB, ..usage() },
            NOW,
            refused(Refusal::UnknownAccess),
        ),
        row(
            "another value under the reported access's key",
            "malformed",
            values([(access_key.clone(), one())]),
            usage(),
            NOW,
            wrong(access_key),
        ),
        row(
            "another value under the report's key",
            "malformed",
            values([access_value(request(1), 1), (usage_key.clone(), one())]),
            usage(),
            NOW,
            wrong(usage_key),
        ),
        row(
            "another value under the key of the number of reports",
            "malformed",
            values([access_value(request(1), 1), (reports_key.clone(), one())]),
            usage(),
            NOW,
            wrong(reports_key),
        ),
    ]
}

/// Calls that no reader may accept, as JSON.
pub fn unreadable() -> Vec<(&'static str, serde_json::Value)> {
    let change = |call: Call, change: fn(&mut serde_json::Value)| {
        let mut call = serde_json::to_value(call).unwrap();
        change(&mut call);
        call
    };
    let set = |f| change(Call::SetPolicy(policy(1)), f);
    let ask = |f| change(Call::RequestAccess(full_request(1)), f);
    let report = |f| change(Call::RecordUsage(usage()), f);
    vec![
        ("no object", json!([])),
        ("an empty object", json!({})),
        ("an unknown call", ask(|c| c["call"] = json!("grant-access"))),
        ("a call in another case", ask(|c| c["call"] = json!("RequestAccess"))),
        ("a field unknown in set-policy", set(|c| c["owner_name"] = json!("Ann"))),
        ("a field unknown in the terms", set(|c| c["terms"]["regions"] = json!(["EU"]))),
        ("a field unknown in request-access", ask(|c| c["name"] = json!("Ann"))),
        ("a field unknown in record-usage", report(|c| c["action"] = json!("opened"))),
        ("no share", ask(|c| drop(c.as_object_mut().unwrap().remove("share")))),
        ("a share id in upper case", ask(|c| c["share"] = json!("5A".repeat(16)))),
        ("a share id too short", ask(|c| c["share"] = json!("5a".repeat(15)))),
        ("a commitment too long", ask(|c| c["consumer"] = json!("a1".repeat(33)))),
        ("a digest that is not hexadecimal", ask(|c| c["request"] = json!("g0".repeat(32)))),
        ("a negative version", set(|c| c["version"] = json!(-1))),
        ("a version beyond 32 bits", set(|c| c["version"] = json!(4_294_967_296_u64))),
        ("a version as text", set(|c| c["version"] = json!("1"))),
        ("a fractional time", set(|c| c["expires"] = json!(1_800_086_400.5))),
        ("access times without a kind", set(|c| c["access_times"] = json!(3))),
        ("access times of an unknown kind", set(|c| c["access_times"] = json!("forever"))),
        ("an unknown state", set(|c| c["state"] = json!("paused"))),
        ("a country in lower case", ask(|c| c["country"] = json!("se"))),
        ("a country that is none", ask(|c| c["country"] = json!("ZZ"))),
        ("an industry without a scheme", ask(|c| c["industry"] = json!("86"))),
        ("an industry of another scheme", ask(|c| c["industry"] = json!("naics:62"))),
        ("a division that is none", ask(|c| c["industry"] = json!("isic4:04"))),
        ("an organisation with a space", ask(|c| c["organisation"] = json!("my lab"))),
        ("an organisation too long", ask(|c| c["organisation"] = json!("a".repeat(65)))),
        ("an empty purpose", ask(|c| c["purpose"] = json!(""))),
    ]
}
