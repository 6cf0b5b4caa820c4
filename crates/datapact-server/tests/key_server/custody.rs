//! Keys in custody: who may store, see and delete them, what policies may name them, and how they
//! lie on the disk.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use datapact_api::gate::Caller;
use datapact_api::key_server::{Keys as _, ShownPolicies as _, ShownPolicy, StoreKey, Withhold};
use datapact_api::operation::Page;
use datapact_api::problem::Kind;
use datapact_core::id::{Digest, KeyId, Salt, ShareId, random};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_local::testing::TestUser;
use datapact_server::key::{OpenError, SecretFileError, UNFILLED_MAX};

use crate::rig::*;

fn key(byte: u8) -> StoreKey {
    StoreKey {
        key: hex::encode([byte; 32]).into(),
        share: ShareId([1; 16]),
        package: Digest([2; 32]),
    }
}

#[tokio::test]
async fn ks_1_ks_3_a_key_is_stored_once_by_who_registered_it() {
    let rig = Rig::new().await;
    let (owner, other) = (rig.fixture.consumer("Owner"), rig.fixture.consumer("Other"));
    let (owner, other, management) =
        (rig.as_user(&owner), rig.as_user(&other), rig.as_management());
    let reference = owner.keys().register_key().await.unwrap();
    let id = reference.id;
    assert_eq!(reference.address, format!("https://{KEYS}:9443/v1/keys/{id}"));
    assert!(!owner.keys().key_status(&id).await.unwrap().stored);

    check_refused(other.keys().store_key(&id, &key(1)).await, Kind::NotFound, "no key");
    check_refused(
        owner.keys().store_key(&KeyId::random(), &key(1)).await,
        Kind::NotFound,
        "no key",
    );
    for bad in ["", "00", &"A".repeat(64), &"0".repeat(65)] {
        let bad = StoreKey { key: bad.to_owned().into(), ..key(1) };
        check_refused(
            owner.keys().store_key(&id, &bad).await,
            Kind::Malformed,
            "64 lower-case hexadecimal digits",
        );
    }
    let stored = owner.keys().store_key(&id, &key(1)).await.unwrap();
    assert_eq!(
        (stored.stored, stored.share, stored.package),
        (true, Some(key(1).share), Some(key(1).package))
    );
    assert_eq!(
        owner.keys().store_key(&id, &key(1)).await.unwrap(),
        stored,
        "a repeat answers the same"
    );
    for changed in [
        key(2),
        StoreKey { share: ShareId::random(), ..key(1) },
        StoreKey { package: Digest(random()), ..key(1) },
    ] {
        check_refused(
            owner.keys().store_key(&id, &changed).await,
            Kind::Conflict,
            "something else is stored",
        );
    }
    assert_eq!(owner.keys().key_status(&id).await.unwrap(), stored);
    assert_eq!(
        management.keys().key_status(&id).await.unwrap(),
        stored,
        "SH-7: management confirms it"
    );
    check_refused(other.keys().key_status(&id).await, Kind::NotFound, "no key");
    check_refused(
        rig.called(server("storage.example")).keys().key_status(&id).await,
        Kind::Forbidden,
        MANAGEMENT,
    );
    check_refused(management.keys().register_key().await, Kind::Forbidden, "only users");
    check_refused(other.keys().delete_key(&id).await, Kind::NotFound, "no key");
    owner.keys().delete_key(&id).await.unwrap();
    check_refused(owner.keys().key_status(&id).await, Kind::NotFound, "no key");
}

#[tokio::test]
async fn registrations_are_bounded_and_forgotten_after_a_day() {
    let rig = Rig::new().await;
    let owner = rig.fixture.consumer("Owner");
    let owner = rig.as_user(&owner);
    let first = owner.keys().register_key().await.unwrap().id;
    for _ in 1..UNFILLED_MAX {
        owner.keys().register_key().await.unwrap();
    }
    check_refused(owner.keys().register_key().await, Kind::Busy, "registered and not yet stored");
    rig.as_user(&rig.fixture.consumer("Other")).keys().register_key().await.unwrap();
    owner.keys().store_key(&first, &key(1)).await.unwrap();
    let second = owner.keys().register_key().await.unwrap().id;
    rig.advance(24 * 60 * 60 + 1);
    check_refused(owner.keys().store_key(&second, &key(1)).await, Kind::NotFound, "no key");
    check_refused(owner.keys().key_status(&second).await, Kind::NotFound, "no key");
    // A key that no policy was shown for belongs to a share that was not made.
    let published = rig.share(AccessTimes::Unlimited, 7).await;
    owner.keys().register_key().await.unwrap();
    check_refused(owner.keys().key_status(&first).await, Kind::NotFound, "no key");
    rig.advance(24 * 60 * 60 + 1);
    owner.keys().register_key().await.unwrap();
    let published_key = published.policy.body().information.key.id;
    assert!(rig.as_management().keys().key_status(&published_key).await.unwrap().stored);
}

#[tokio::test]
async fn sh_7_only_the_owners_policy_on_its_key_share_and_package_is_taken() {
    let rig = Rig::new().await;
    let mut share = rig.draft(AccessTimes::Unlimited, 7).await;
    let good = share.policy.clone();
    check_refused(
        rig.as_user(&share.provider).policies().show_policy(&shown(&share)).await,
        Kind::Forbidden,
        MANAGEMENT,
    );

    // Another provider lists this share's key as its own.
    let thief = rig.fixture.consumer("Thief");
    let stolen = ShownPolicy {
        policy: thief.signer.sign(LEDGER, rig.now(), good.body().clone()),
        owner: thief.opening(),
        users: Vec::new(),
    };
    check_refused(
        rig.as_management().policies().show_policy(&stolen).await,
        Kind::Conflict,
        "has stored no key",
    );
    let mut wrong_owner = shown(&share);
    wrong_owner.owner.identity = thief.signer.identity().clone();
    check_refused(
        rig.as_management().policies().show_policy(&wrong_owner).await,
        Kind::Malformed,
        "does not belong",
    );

    let sign = |audience: &str, body| share.provider.signer.sign(audience, rig.now(), body);
    let mut body = good.body().clone();
    body.share = ShareId::random();
    let other_share = sign(LEDGER, body);
    let mut body = good.body().clone();
    body.information.package.digest = Digest(random());
    let other_package = sign(LEDGER, body);
    let mut body = good.body().clone();
    body.information.key.address = body.information.key.address.replace(KEYS, "other.example");
    let other_server = sign(LEDGER, body);
    let other_ledger = sign("other.example/ledger", good.body().clone());
    for (policy, kind, says) in [
        (other_share, Kind::Conflict, "belongs to another share"),
        (other_package, Kind::Conflict, "opens another package"),
        (other_server, Kind::Malformed, "not at this key server"),
        (other_ledger, Kind::Forbidden, "is for `other.example/ledger`"),
    ] {
        let shown = ShownPolicy { policy, ..shown(&share) };
        check_refused(rig.as_management().policies().show_policy(&shown).await, kind, says);
    }
    rig.show(&share).await.unwrap();
    rig.show(&share).await.unwrap();
    // Versions continue what was shown.
    share.next(|policy| policy.version = 3);
    check_refused(rig.show(&share).await, Kind::Conflict, "does not follow a version");
    share.policy = good.clone();
    share.next(|policy| policy.previous = Some(Digest(random())));
    check_refused(rig.show(&share).await, Kind::Conflict, "does not follow a version");
    share.policy = good.clone();
    share.next(|_| {});
    rig.show(&share).await.unwrap();

    let id = good.body().information.key.id;
    let provider = rig.as_user(&share.provider);
    check_refused(provider.keys().delete_key(&id).await, Kind::Conflict, "a policy names the key");
}

#[tokio::test]
async fn only_the_provider_withholds_and_only_to_withhold() {
    let rig = Rig::new().await;
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let first = share.policy.clone();
    let thief = rig.fixture.consumer("Thief");
    share.next(|_| {});
    let active = rig
        .as_user(&share.provider)
        .policies()
        .withhold(&Withhold { policy: share.policy.clone() })
        .await;
    check_refused(active, Kind::Malformed, "the policy is active");
    share.next(|policy| policy.state = ShareState::Suspended);
    let brought =
        rig.as_user(&thief).policies().withhold(&Withhold { policy: share.policy.clone() }).await;
    check_refused(brought, Kind::Forbidden, "only the provider who signed");
    let forged = thief.signer.sign(LEDGER, rig.now(), share.policy.body().clone());
    check_refused(
        rig.as_user(&thief).policies().withhold(&Withhold { policy: forged.clone() }).await,
        Kind::NotFound,
        "you keep no key",
    );
    // Keeping a key for another user's share gives no say in it.
    let reference = rig.as_user(&thief).keys().register_key().await.unwrap();
    let squat = StoreKey { share: share.id(), ..key(9) };
    rig.as_user(&thief).keys().store_key(&reference.id, &squat).await.unwrap();
    rig.as_user(&thief).policies().withhold(&Withhold { policy: forged.clone() }).await.unwrap();
    share.policy = first;
    let consumer = rig.fixture.consumer("Consumer");
    rig.granted(&rig.access(&share, &consumer), &consumer, 7).await;
}

#[tokio::test]
async fn policies_that_withhold_do_not_pile_up() {
    let rig = Rig::new().await;
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let recorded = share.policy.clone();
    let provider = rig.as_user(&share.provider);
    let rows = async || {
        let read = rig.service.database().read(|db| {
            let row = db.row("SELECT COUNT(*) FROM key_policy", [])?;
            row.map_or(Ok(0), |row| row.number(0))
        });
        read.await.unwrap()
    };
    for _ in 0..40 {
        share.next(|policy| policy.state = ShareState::Suspended);
        let withheld = Withhold { policy: share.policy.clone() };
        provider.policies().withhold(&withheld).await.unwrap();
    }
    assert_eq!(rows().await, 1 + 32);
    share.next(|policy| policy.state = ShareState::Revoked);
    let revoked = Withhold { policy: share.policy.clone() };
    provider.policies().withhold(&revoked).await.unwrap();
    share.next(|policy| policy.state = ShareState::Suspended);
    let withheld = Withhold { policy: share.policy.clone() };
    provider.policies().withhold(&withheld).await.unwrap();
    assert_eq!(rows().await, 1 + 32, "a revocation is the last word");
    share.policy = recorded;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    rig.refused(&access, &consumer, Kind::Refused, "the share is").await;
}

#[tokio::test]
async fn ks_2_no_key_lies_on_the_disk_in_the_clear() {
    let rig = Rig::new().await;
    let secret: [u8; 32] = random();
    let owner = rig.fixture.consumer("Owner");
    let id = rig.as_user(&owner).keys().register_key().await.unwrap().id;
    let text = hex::encode(secret);
    rig.as_user(&owner)
        .keys()
        .store_key(&id, &StoreKey { key: text.clone().into(), ..key(0) })
        .await
        .unwrap();
    let mut seen_id = false;
    for entry in std::fs::read_dir(rig.dir.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(&secret) && !holds(text.as_bytes()), "{}", path.display());
        seen_id |= holds(id.to_string().as_bytes());
    }
    assert!(seen_id, "the search finds what is there");
    for file in ["kek", "data/witness.key"] {
        let mode = std::fs::metadata(rig.dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn ks_2_an_altered_row_gives_no_key() {
    let rig = Rig::new().await;
    let (first, second) =
        (rig.share(AccessTimes::Unlimited, 7).await, rig.share(AccessTimes::Unlimited, 8).await);
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&first, &consumer);
    rig.granted(&access, &consumer, 7).await;
    let id = first.policy.body().information.key.id;
    let other = second.policy.body().information.key.id;
    for change in [
        // Another key's ciphertext.
        format!(
            "UPDATE key_entry SET sealed = \
             (SELECT sealed FROM key_entry WHERE id = '{other}') WHERE id = '{id}'"
        ),
        format!("UPDATE key_entry SET sealed = '00' || substr(sealed, 3) WHERE id = '{id}'"),
        format!("UPDATE key_entry SET sealed = 'no hexadecimal' WHERE id = '{id}'"),
    ] {
        rig.alter(change).await;
        rig.refused(&access, &consumer, Kind::Internal, "the server failed").await;
    }
    rig.granted(&rig.access(&second, &consumer), &consumer, 8).await;
}

#[tokio::test]
async fn ks_2_a_wrong_kek_is_told_at_the_start() {
    let rig = Rig::new().await;
    rig.share(AccessTimes::Unlimited, 7).await;
    let config = config(rig.dir.path());
    rig.reopen(&config).await.unwrap();
    let right = std::fs::read(&config.kek).unwrap();
    std::fs::write(&config.kek, hex::encode(Salt::random().as_bytes())).unwrap();
    let refused = rig.reopen(&config).await.err().unwrap();
    assert!(matches!(refused, OpenError::WrongKek(_)), "{refused}");
    assert!(refused.to_string().contains("put the right file back"), "{refused}");
    std::fs::remove_file(&config.kek).unwrap();
    let refused = rig.reopen(&config).await.err().unwrap();
    assert!(matches!(refused, OpenError::Secret(SecretFileError::Missing(..))), "{refused}");
    assert!(!config.kek.exists(), "no second key is made");
    std::fs::write(&config.kek, right).unwrap();
    std::fs::set_permissions(&config.kek, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = rig.reopen(&config).await.err().unwrap();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    std::fs::set_permissions(&config.kek, std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.reopen(&config).await.unwrap();
    let other_ledger =
        datapact_server::config::KeyServerConfig { ledger: "other/ledger".to_owned(), ..config };
    let refused = rig.reopen(&other_ledger).await.err().unwrap();
    assert!(matches!(refused, OpenError::Configuration(_)), "{refused}");
}

impl Rig {
    /// Changes the database behind the key server's back.
    async fn alter(&self, sql: String) {
        let changed = self.service.database().write(move |tx| tx.run(sql, []));
        assert_eq!(changed.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_key_registered_again_with_its_idempotency_key_is_the_same() {
    let rig = Rig::new().await;
    let register = async |user: &TestUser, idempotency_key: Option<&str>| {
        let caller =
            Caller { idempotency_key: idempotency_key.map(Arc::from), ..caller(&user.signer) };
        rig.called(caller).keys().register_key().await.unwrap()
    };
    let (one, other) = (rig.fixture.consumer("One"), rig.fixture.consumer("Other"));
    let first = register(&one, Some("a")).await;
    assert_eq!(register(&one, Some("a")).await, first);
    let others = [
        register(&one, Some("b")).await,
        register(&other, Some("a")).await,
        register(&one, None).await,
    ];
    assert!(others.iter().all(|key| key.id != first.id));
    assert_eq!(rig.as_user(&one).keys().keys(Page::first()).await.unwrap().len(), 3);
}
