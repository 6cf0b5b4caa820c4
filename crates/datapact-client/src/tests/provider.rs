//! What is told to a provider.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datapact_api::problem::Kind;
use datapact_core::id::{Digest, ShareId};
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::terms::Terms;

use super::fakes::*;
use crate::provider::{CreateShare, SetShare};
use crate::{ClientError, Provider, no_progress};

async fn share(world: &Arc<World>) -> Result<SetShare, ClientError> {
    let create = CreateShare {
        title: "Admissions".to_owned(),
        media_type: "text/csv".to_owned(),
        categories: Vec::new(),
        introduction: String::new(),
        usage: String::new(),
        price: None,
        terms: Terms { anyone: true, ..Terms::default() },
        permission: AccessPermission {
            access_times: AccessTimes::Times(1),
            not_before: 0,
            expires: now() + 100,
            read_only: true,
        },
        key_server: None,
        storage_server: None,
        desensitization: None,
    };
    let provider = Provider::new(world.session());
    provider.create_share(Box::new(io::Cursor::new(DATA)), create, no_progress()).await
}

async fn refused(world: &Arc<World>, kind: Kind, what: &str) {
    let error = share(world).await.err().unwrap_or_else(|| panic!("{what}: it was shared"));
    assert_eq!(error.kind(), kind, "{what}: {error}");
    assert_eq!(world.unfinished(), 0, "{what}: something was left");
}

#[tokio::test]
async fn sh_3_to_sh_9_honest_answers_make_a_share() {
    let world = World::new();
    let set = share(&world).await.unwrap();
    assert_eq!((set.version, set.position), (1, 0));
    assert_eq!(set.proof.position, set.position);
    assert_eq!(world.unfinished(), 0);
    assert_eq!(world.deleted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn dp_9_a_receipt_for_another_policy_is_refused() {
    let lies: [fn(&mut datapact_api::management::PolicyReceipt); 4] = [
        |receipt| receipt.policy = Digest([0; 32]),
        |receipt| receipt.share = ShareId([0; 16]),
        |receipt| receipt.version = 2,
        |receipt| receipt.owner.identity = "clinic:CN=Ann".parse().unwrap(),
    ];
    for lie in lies {
        let world = World::new();
        Lies::tell(&world.lies.policy_receipt, lie);
        refused(&world, Kind::Untrusted, "a receipt").await;
    }
}

#[tokio::test]
async fn pr_2_a_wrong_proof_of_the_policy_is_refused() {
    let world = World::new();
    Lies::tell(&world.lies.proof, |proof| proof.proof = proof.proof.replace("index 0", "index 3"));
    refused(&world, Kind::Untrusted, "a proof").await;
}

#[tokio::test]
async fn wr_2_a_key_address_elsewhere_is_refused() {
    let world = World::new();
    Lies::tell(&world.lies.key, |key| key.address = key.address.replace("keys", "evil"));
    refused(&world, Kind::Untrusted, "an address").await;
}

#[tokio::test]
async fn ds_1_another_package_than_uploaded_is_refused_and_undone() {
    let world = World::new();
    Lies::tell(&world.lies.package, |status| status.digest = Some(Digest([0; 32])));
    refused(&world, Kind::Untrusted, "a package").await;
    assert_eq!(world.deleted.load(Ordering::SeqCst), 2, "key and package are deleted");
}
