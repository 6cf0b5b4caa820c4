//! What is told to a consumer.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use datapact_api::problem::Kind;
use datapact_core::contract::Call;
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::package::DataKey;
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;

use super::fakes::*;
use crate::open::{OpenOptions, Opened, Output, Target};
use crate::{ClientError, Consumer, no_progress};

#[derive(Clone, Default)]
struct Plain(Arc<Mutex<Vec<u8>>>);

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn open(world: &Arc<World>) -> (Result<Opened, ClientError>, Vec<u8>) {
    let plain = Plain::default();
    let output = Output::Stream(Box::new(plain.clone()));
    let (target, options) = (Target::Share(world.share), OpenOptions::default());
    let consumer = Consumer::new(world.session());
    let opened = consumer.open(&target, &options, &|_| Ok(()), output, no_progress()).await;
    let bytes = plain.0.lock().unwrap().clone();
    (opened, bytes)
}

/// How far a lie may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// No access is asked for.
    Nothing,
    /// An access, but no key is asked for and no package.
    Access,
    /// Servers are asked, but nothing is given out.
    Servers,
}

async fn refused(world: &Arc<World>, reach: Reach, kind: Kind, what: &str) {
    let (opened, plain) = open(world).await;
    let error = opened.err().unwrap_or_else(|| panic!("{what}: it was opened"));
    assert_eq!(error.kind(), kind, "{what}: {error}");
    assert!(plain.is_empty(), "{what}: plaintext was given out");
    let asked = world.asked.load(Ordering::SeqCst);
    let served = world.released.load(Ordering::SeqCst) + world.fetched.load(Ordering::SeqCst);
    assert!(asked == 0 || reach > Reach::Nothing, "{what}: an access was spent");
    assert!(served == 0 || reach > Reach::Access, "{what}: a server was asked");
}

#[tokio::test]
async fn the_honest_answers_open_the_share() {
    let world = World::new();
    let (opened, plain) = open(&world).await;
    let opened = opened.unwrap();
    assert_eq!(plain, DATA);
    assert!(opened.usage_reported && !opened.repeated);
    assert_eq!(opened.provider.to_string(), "clinic:CN=Ann");
    assert_eq!(world.unfinished(), 0);
}

fn plant<T>(world: &Arc<World>, field: &Lie<T>, lie: fn(&World, &mut T))
where
    T: 'static,
{
    let world = Arc::downgrade(world);
    Lies::tell(field, move |answer| lie(&world.upgrade().unwrap(), answer));
}

macro_rules! lies {
    ($($name:ident, $field:ident, $reach:ident, $kind:ident, $lie:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            let world = World::new();
            plant(&world, &world.lies.$field, $lie);
            refused(&world, Reach::$reach, Kind::$kind, stringify!($name)).await;
        })*
    };
}

lies! {
    mg_14_another_title_than_signed, detail, Nothing, Untrusted,
        |_, d| d.entry.information.title = "Other".to_owned();
    mg_14_another_provider_than_signed, detail, Nothing, Untrusted,
        |w, d| d.entry.provider = w.eve.identity().clone();
    mg_14_another_share_than_asked, detail, Nothing, Untrusted,
        |_, d| d.entry.share = ShareId::random();
    mg_14_another_state_than_signed, detail, Nothing, Untrusted,
        |_, d| d.entry.state = ShareState::Suspended;
    mg_14_another_version_than_signed, detail, Nothing, Untrusted, |_, d| d.entry.version = 2;
    mg_14_no_policy, detail, Nothing, Untrusted, |_, d| d.policy = None;
    ax_9_more_accesses, grant, Access, Untrusted,
        |_, g| g.permission.access_times = AccessTimes::Unlimited;
    ax_9_not_read_only, grant, Access, Untrusted, |_, g| g.permission.read_only = false;
    ax_9_a_later_end, grant, Access, Untrusted, |_, g| g.permission.expires += 1;
    ax_9_another_package, grant, Access, Untrusted,
        |_, g| g.permission.package.digest = Digest([0; 32]);
    ax_9_a_foreign_key_server, grant, Access, Untrusted,
        |_, g| g.permission.key.address = g.permission.key.address.replace("keys", "evil");
    ax_9_a_foreign_storage_server, grant, Access, Untrusted,
        |_, g| {
            let package = &mut g.permission.package;
            package.address = package.address.replace("storage", "evil");
        };
    ax_4_a_record_of_another_request, grant, Access, Untrusted,
        |_, g| g.record.request.request = Digest([0; 32]);
    ax_4_a_record_of_another_consumer, grant, Access, Untrusted,
        |_, g| g.record.request.consumer = Commitment([0; 32]);
    ax_4_an_attribute_that_the_terms_do_not_ask_for, grant, Access, Untrusted,
        |_, g| g.record.request.country = Some("SE".parse().unwrap());
    ax_4_a_counter_beyond_the_access_times, grant, Access, Untrusted, |_, g| {
        g.record.access = 3;
        g.permission.access = 3;
    };
    ax_4_a_counter_that_does_not_begin_at_one, grant, Access, Untrusted, |_, g| {
        g.record.access = 0;
        g.permission.access = 0;
    };
    ax_4_an_opening_of_somebody_else, grant, Access, Untrusted,
        |w, g| g.consumer.identity = w.eve.identity().clone();
    ax_11_the_certificate_of_another_server, grant, Access, Untrusted,
        |w, g| g.key_server_certificate = w.storage_chain.clone();
    ax_11_no_certificate, grant, Access, Untrusted,
        |_, g| g.storage_server_certificate = String::new();
    pr_2_no_cosignature, proof, Servers, Untrusted, |w, p| *p = w.proof_without_cosignature();
    pr_2_no_proof, proof, Servers, Untrusted, |_, p| p.proof = String::new();
    pr_2_a_proof_of_another_position, proof, Servers, Untrusted,
        |_, p| p.proof = p.proof.replace("index 0", "index 1");
    pr_2_another_entry, proof, Servers, Untrusted,
        |_, p| p.entry = p.entry.replace("request-access", "record-usage");
    pr_2_an_entry_of_another_call, proof, Servers, Untrusted, |w, p| {
        let entry: serde_json::Value = serde_json::from_str(&p.entry).unwrap();
        let mut call: Call = serde_json::from_value(entry["call"].clone()).unwrap();
        if let Call::RequestAccess(request) = &mut call {
            request.consumer = Commitment([0; 32]);
        }
        *p = w.proof_of(call, entry["time"].as_u64().unwrap());
    };
    pr_2_an_entry_of_another_time, proof, Servers, Untrusted, |w, p| {
        let entry: serde_json::Value = serde_json::from_str(&p.entry).unwrap();
        let call: Call = serde_json::from_value(entry["call"].clone()).unwrap();
        *p = w.proof_of(call, entry["time"].as_u64().unwrap() - 5);
    };
    ks_4_a_key_sealed_otherwise, released, Servers, Untrusted, |_, r| r.sealed.ciphertext[0] ^= 1;
    ks_4_a_release_of_another_request, released, Servers, Untrusted, |w, r| {
        let mut body = r.release.body().clone();
        body.request = Digest([0; 32]);
        r.release = w.state(body);
    };
    ks_4_a_release_of_another_key_request, released, Servers, Untrusted, |w, r| {
        let mut body = r.release.body().clone();
        body.key_request = Digest([0; 32]);
        r.release = w.state(body);
    };
    ks_4_a_release_stated_by_somebody_else, released, Servers, Untrusted,
        |w, r| r.release = w.eve.sign(LEDGER, now(), r.release.body().clone());
}

#[tokio::test]
async fn ac_2_a_policy_that_leads_elsewhere_costs_no_access() {
    for foreign in
        ["https://evil.example:1", "https://keys.example:2", "https://keys.example:1.evil.example"]
    {
        let world = World::new();
        world.set_policy(&world.ann, LEDGER, |policy| {
            let key = &mut policy.information.key;
            key.address = format!("{foreign}/v1/keys/{}", key.id);
        });
        refused(&world, Reach::Nothing, Kind::Untrusted, foreign).await;
    }
}

#[tokio::test]
async fn dp_7_a_policy_for_another_ledger_is_refused() {
    let world = World::new();
    world.set_policy(&world.ann, "other.example/ledger", |_| ());
    refused(&world, Reach::Nothing, Kind::Untrusted, "another ledger").await;
}

#[tokio::test]
async fn wr_5_somebody_elses_package_under_own_terms_is_refused() {
    let world = World::new();
    // Eve lists Ann's package as hers.
    world.set_policy(&world.eve, LEDGER, |_| ());
    refused(&world, Reach::Servers, Kind::Untrusted, "a re-listed package").await;
}

#[tokio::test]
async fn uw_4_a_package_sealed_again_by_a_consumer_is_refused() {
    let world = World::new();
    for signer in [&world.eve, &world.ann] {
        let (package, _) =
            sealed(signer, world.share, &world.key, b"week,admissions\n1,99\n2,99\n");
        *world.package.lock().unwrap() = package;
        refused(&world, Reach::Servers, Kind::Untrusted, "a re-sealed package").await;
    }
}

#[tokio::test]
async fn uw_4_an_altered_package_is_refused_before_a_wrong_byte_goes_out() {
    let world = World::new();
    let length = world.package.lock().unwrap().len();
    for at in (0..length).step_by(97) {
        world.package.lock().unwrap()[at] ^= 1;
        let (opened, plain) = open(&world).await;
        assert!(opened.is_err(), "byte {at}");
        assert!(DATA.starts_with(&plain), "byte {at}");
        world.package.lock().unwrap()[at] ^= 1;
    }
    // Nothing of this cost more than one access: the same request is repeated.
    let (opened, plain) = open(&world).await;
    assert!(opened.unwrap().repeated);
    assert_eq!(plain, DATA);
}

#[tokio::test]
async fn ds_2_a_package_of_another_length_is_refused() {
    let world = World::new();
    world.package.lock().unwrap().push(0);
    refused(&world, Reach::Servers, Kind::Untrusted, "a longer package").await;
}

#[tokio::test]
async fn uw_3_a_wrong_key_opens_nothing() {
    let world = World::new();
    let (package, policy) =
        sealed_share(&world.ann, &world.ann, world.share, &DataKey::random(), DATA);
    *world.package.lock().unwrap() = package;
    *world.policy.lock().unwrap() = policy;
    refused(&world, Reach::Servers, Kind::Untrusted, "another key").await;
}

#[tokio::test]
async fn uw_3_a_broken_download_is_resumed() {
    let world = World::new();
    let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    let (package, policy) = sealed_share(&world.ann, &world.ann, world.share, &world.key, &data);
    *world.package.lock().unwrap() = package;
    *world.policy.lock().unwrap() = policy;
    *world.breaks_after.lock().unwrap() = Some(70_000);
    let (opened, plain) = open(&world).await;
    opened.unwrap();
    assert!(plain == data);
    assert!(world.fetched.load(Ordering::SeqCst) >= 3);
}

#[tokio::test]
async fn uw_6_read_only_data_is_not_exported() {
    let world = World::new();
    let path = world.folder.path().join("out");
    let consumer = Consumer::new(world.session());
    let (target, options) = (Target::Share(world.share), OpenOptions::default());
    let output = Output::Export(path.clone());
    let error =
        consumer.open(&target, &options, &|_| Ok(()), output, no_progress()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(world.asked.load(Ordering::SeqCst), 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_user_may_decline_the_provider_at_no_cost() {
    let world = World::new();
    let consumer = Consumer::new(world.session());
    let (target, options) = (Target::Share(world.share), OpenOptions::default());
    let output = Output::Stream(Box::new(Plain::default()));
    let decline = |offer: &crate::consumer::Offer| {
        assert_eq!(offer.entry.provider.to_string(), "clinic:CN=Ann");
        Err(ClientError::usage("declined", "nothing was done"))
    };
    assert!(consumer.open(&target, &options, &decline, output, no_progress()).await.is_err());
    assert_eq!(world.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn pr_9_a_forwarded_package_of_another_management_contacts_no_server() {
    let world = World::new();
    let path = world.folder.path().join("package");
    let mut bytes = Vec::new();
    let spec = datapact_core::package::SealSpec {
        package: datapact_core::id::PackageId([1; 16]),
        key: datapact_core::id::KeyId([2; 16]),
        management: "https://evil.example:1".to_owned(),
        share: Some(world.share),
        media_type: "text/csv".to_owned(),
    };
    let key = DataKey::random();
    let sealing = datapact_core::package::seal(
        &mut &DATA[..],
        &mut bytes,
        &key,
        &spec,
        &world.ann,
        now(),
        &mut |_| (),
    );
    sealing.unwrap();
    std::fs::write(&path, bytes).unwrap();
    let consumer = Consumer::new(world.session());
    let output = Output::Stream(Box::new(Plain::default()));
    let target = Target::Package(path);
    let error =
        consumer.open(&target, &OpenOptions::default(), &|_| Ok(()), output, no_progress()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert!(error.hint().unwrap().contains("it was not contacted"));
}

#[tokio::test]
async fn ur_2_a_wrong_usage_receipt_is_noticed() {
    let world = World::new();
    Lies::tell(&world.lies.usage, |receipt| receipt.record.usage.report = Digest([0; 32]));
    let (opened, plain) = open(&world).await;
    assert!(!opened.unwrap().usage_reported);
    assert_eq!(plain, DATA);
}

#[tokio::test]
async fn ac_2_a_revoked_server_is_asked_for_no_key() {
    let world = World::new();
    world.servers.revoke_certificate(&world.key_chain).unwrap();
    let list = world.servers.crl().unwrap();
    world.crl.lock().unwrap().insert("server".to_owned(), list);
    refused(&world, Reach::Access, Kind::Untrusted, "a revoked key server").await;
    // The list stays in force when it is not served any more.
    world.crl.lock().unwrap().clear();
    std::fs::remove_file(world.folder.path().join("profile/state/crl/fetched")).unwrap();
    refused(&world, Reach::Access, Kind::Untrusted, "a revoked key server, the list withheld")
        .await;
}

#[tokio::test]
async fn ac_2_a_list_that_the_ca_did_not_sign_is_refused() {
    let world = World::new();
    let other = crate::ca::Ca::init(
        &world.folder.path().join("other"),
        "servers",
        std::time::Duration::from_secs(1000),
        None,
    );
    let list = other.unwrap().crl().unwrap();
    world.crl.lock().unwrap().insert("server".to_owned(), list);
    refused(&world, Reach::Nothing, Kind::Untrusted, "a foreign list").await;
}

/// Issue 13, point 9: holding the lists back gains nothing, unless the user allows it.
#[tokio::test]
async fn ac_2_without_a_current_list_of_each_ca_nothing_is_opened() {
    let world = World::new();
    let withheld = world.crl.lock().unwrap().remove("lab").unwrap();
    let (opened, _) = open(&world).await;
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("no current revocation list of `CN=lab`"), "{error}");
    refused(&world, Reach::Nothing, Kind::Unavailable, "a list that is withheld").await;
    // At once when it is served, though the others were fetched a moment ago.
    world.crl.lock().unwrap().insert("lab".to_owned(), withheld);
    open(&world).await.0.unwrap();

    let world = World::new();
    world.crl.lock().unwrap().clear();
    refused(&world, Reach::Nothing, Kind::Unavailable, "no list at all").await;
    let settings = world.folder.path().join("profile/settings.json");
    std::fs::write(&settings, r#"{"revocation": "if-available"}"#).unwrap();
    open(&world).await.0.unwrap();
    std::fs::write(&settings, r#"{"revocation": "never"}"#).unwrap();
    assert!(open(&world).await.0.is_err());
}

/// As when a command is refused the key while it reads the package: the rest is not waited for.
#[test]
fn a_download_whose_runtime_ends_fails_and_does_not_panic() {
    let world = World::new();
    let session = world.session();
    let package = world.policy.lock().unwrap().body().information.package.clone();
    *world.breaks_after.lock().unwrap() = Some(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, storage) = session.storage_server_of(&package.address).unwrap();
    let remote = runtime.block_on(async { crate::remote::Remote::new(storage.clone(), &package) });
    let reading = std::thread::spawn(move || remote.read_exact_at(0, &mut [0; 100]));
    while world.fetched.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // It is about to try again after a while.
    runtime.shutdown_background();
    assert!(reading.join().unwrap().is_err());
}
