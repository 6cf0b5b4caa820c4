//! What a policy says is bounded, and what a requested permission takes from it.

use datapact_core::contract::{AccessRecord, RequestAccess, RequestedPermission};
use datapact_core::id::{Commitment, Digest, KeyId, ShareId};
use datapact_core::permission::{AccessTimes, PermissionError};
use datapact_core::policy::desensitization::{Anonymity, Column, Desensitization};
use datapact_core::policy::{PolicyError, Price, SharingPolicy};
use datapact_core::terms::{Terms, TermsError};

use crate::check::policy;
use crate::support::pki::NOW;

#[test]
fn dp_6_policies_are_bounded() {
    let refused = |change: &dyn Fn(&mut SharingPolicy)| {
        let mut policy = policy(&[]);
        change(&mut policy);
        policy.validate().unwrap_err()
    };
    assert_eq!(policy(&[]).validate(), Ok(()));
    assert_eq!(refused(&|p| p.version = 0), PolicyError::Version(0));
    assert_eq!(refused(&|p| p.version = 2), PolicyError::Version(2));
    assert_eq!(refused(&|p| p.previous = Some(Digest([0; 32]))), PolicyError::Version(1));
    assert_eq!(refused(&|p| p.information.title = " ".to_owned()), PolicyError::Empty("title"));
    let long = |field, bytes_max| PolicyError::TooLong { field, bytes_max };
    assert_eq!(refused(&|p| p.information.title = "t".repeat(201)), long("title", 200));
    assert_eq!(
        refused(&|p| p.information.introduction = "i".repeat(8_001)),
        long("introduction", 8_000)
    );
    assert_eq!(refused(&|p| p.information.usage = "u".repeat(2_001)), long("usage", 2_000));
    let escape = "\u{1b}[2J".to_owned();
    assert_eq!(refused(&|p| p.information.title = escape.clone()), PolicyError::Control("title"));
    assert_eq!(
        refused(&|p| p.information.title = "a\nb".to_owned()),
        PolicyError::Control("title")
    );
    assert_eq!(
        refused(&|p| p.information.introduction = escape.clone()),
        PolicyError::Control("introduction")
    );
    assert_eq!(refused(&|p| p.information.usage = escape.clone()), PolicyError::Control("usage"));
    for text in
        ["", "text", "text/", "/csv", "text/csv; charset=utf-8", "text/c v", "a/b/c", "-a/b"]
    {
        let media_type = refused(&|p| p.information.media_type = text.to_owned());
        assert_eq!(media_type, PolicyError::MediaType(text.to_owned()));
    }
    let names = |count: usize| (0..count).map(|i| format!("c{i}").parse().unwrap()).collect();
    assert_eq!(refused(&|p| p.information.categories = names(17)), PolicyError::Categories);
    let twice = vec!["health".parse().unwrap(), "health".parse().unwrap()];
    assert_eq!(refused(&|p| p.information.categories = twice.clone()), PolicyError::Categories);
    let price = |amount, currency: &str| Some(Price { amount, currency: currency.to_owned() });
    assert_eq!(
        refused(&|p| p.information.price = price(1 << 53, "EUR")),
        PolicyError::Number("price")
    );
    assert_eq!(
        refused(&|p| p.information.price = price(1, "eur")),
        PolicyError::Currency("eur".to_owned())
    );
    let desensitized = |change: &dyn Fn(&mut Desensitization)| {
        let mut done = desensitization();
        change(&mut done);
        refused(&|p| p.information.desensitization = Some(done.clone()))
    };
    let many = vec![desensitization().columns.remove(0); 257];
    assert_eq!(
        desensitized(&|d| d.columns = many.clone()),
        PolicyError::Number("number of desensitized columns")
    );
    let count = PolicyError::Number("desensitization's count");
    assert_eq!(desensitized(&|d| d.records = 1 << 53), count);
    assert_eq!(desensitized(&|d| d.columns[0].loss_permille = 1001), count);
    let field = "desensitization's text";
    assert_eq!(desensitized(&|d| d.columns[0].name = escape.clone()), PolicyError::Control(field));
    assert_eq!(
        desensitized(&|d| d.columns[0].name = "n".repeat(121)),
        PolicyError::TooLong { field, bytes_max: 120 }
    );
    assert_eq!(
        desensitized(&|d| d.tool = "t".repeat(61)),
        PolicyError::TooLong { field, bytes_max: 60 }
    );
    assert_eq!(refused(&|p| p.information.package.size = 0), PolicyError::Number("package size"));
    assert_eq!(
        refused(&|p| p.information.package.size = 1 << 53),
        PolicyError::Number("package size")
    );
    assert_eq!(refused(&|p| p.terms = Terms::default()), PolicyError::Terms(TermsError::Unstated));
    assert_eq!(
        refused(&|p| p.permission.access_times = AccessTimes::Times(0)),
        PolicyError::Permission(PermissionError::NoAccess)
    );
}

fn desensitization() -> Desensitization {
    let column = Column {
        name: "age".to_owned(),
        transform: "generalize".to_owned(),
        changed: 10,
        redacted: 0,
        loss_permille: 250,
    };
    let anonymity =
        Anonymity { k: 5, reached: 6, l: None, quasi_identifiers: vec!["age".to_owned()] };
    Desensitization {
        tool: "datapact 0.1.0".to_owned(),
        rules: Digest([7; 32]),
        format: "csv".to_owned(),
        records: 10,
        suppressed: 0,
        columns: vec![column],
        more_columns: 0,
        k_anonymity: Some(anonymity),
    }
}

#[test]
fn dp_1_a_policy_tells_what_was_desensitized() {
    let mut policy = policy(&[]);
    policy.information.desensitization = Some(desensitization());
    assert_eq!(policy.validate(), Ok(()));
    let longest = Column::name(&"ö".repeat(100));
    assert_eq!(longest, "ö".repeat(60));
    assert_eq!(Column::name("a\u{1b}b"), "a b");
}

#[test]
fn addresses_lead_nowhere_else() {
    let mut policy = policy(&[]);
    let id = policy.information.key.id;
    for good in [
        format!("https://keys.example/v1/keys/{id}"),
        format!("https://127.0.0.1:4443/v1/keys/{id}"),
        format!("https://[::1]:4443/v1/keys/{id}"),
    ] {
        policy.information.key.address = good;
        assert_eq!(policy.validate(), Ok(()));
    }
    for bad in [
        format!("http://keys.example/v1/keys/{id}"),
        format!("https:///v1/keys/{id}"),
        format!("https://me@keys.example/v1/keys/{id}"),
        format!("https://keys.example/v1/keys/{id}?x"),
        format!("https://keys.example/v1/keys/{id}/"),
        format!("https://keys.example/v1/keys/../keys/{id}"),
        format!("https://keys.example\\@evil.example/v1/keys/{id}"),
        format!("https://keys.example#/v1/keys/{id}"),
        format!("https://keys.example/v1/packages/{id}"),
        format!("https://keys.example/v1/keys/{}", KeyId::random()),
        String::new(),
    ] {
        policy.information.key.address = bad.clone();
        assert!(matches!(policy.validate(), Err(PolicyError::Address(_))), "`{bad}` was accepted");
    }
}

#[test]
fn pm_2_the_requested_permission_is_the_policys_for_this_access() {
    let policy = policy(&[]);
    let id = Digest([3; 32]);
    let request = RequestAccess {
        share: policy.share,
        policy: id,
        request: Digest([5; 32]),
        consumer: Commitment([6; 32]),
        organisation: None,
        industry: None,
        country: Some("SE".parse().unwrap()),
        purpose: Some("research".parse().unwrap()),
    };
    let record = AccessRecord { request, access: 2, time: NOW };
    let permission = RequestedPermission::of(&policy, id, &record).unwrap();
    assert_eq!(permission.access, 2);
    assert_eq!(permission.access_times, AccessTimes::Times(3));
    assert_eq!(permission.expires, NOW + 1_000);
    assert!(permission.read_only);
    assert_eq!(permission.purpose, record.request.purpose);
    assert_eq!(
        (permission.key, permission.package),
        (policy.information.key.clone(), policy.information.package.clone())
    );
    assert_eq!(RequestedPermission::of(&policy, Digest([4; 32]), &record), None);
    let other = SharingPolicy { share: ShareId([9; 16]), ..policy };
    assert_eq!(RequestedPermission::of(&other, id, &record), None);
}
