//! The public listener, proofs and cosignatures.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::management::tests::*;

#[tokio::test]
async fn health_keys_log_and_revocation_lists_are_public() {
    use datapact_api::public::{LogSize, Public as _};
    let world = World::new().await;
    let provider = world.provider().await;
    let server = world.management();
    assert_eq!(server.health().await.unwrap().role, "management");
    assert_eq!(server.jwks().await.unwrap().keys.len(), 1);
    assert!(server.log("checkpoint").await.unwrap().starts_with(LEDGER.as_bytes()));
    let (longer, _) =
        tokio::join!(server.log_size(&LogSize { size: 0 }), world.published(&provider, |_| {}));
    assert_eq!(longer.unwrap().size, 1);
    server.log("tile/entries/000.p/1").await.unwrap();
    for path in ["tile/0/001", "../management.sqlite", "", &"x".repeat(300)] {
        assert_eq!(refused(server.log(path).await).kind, Kind::NotFound);
    }
    assert_eq!(server.crl("clinic").await.unwrap(), "");
    assert_eq!(refused(server.crl("nowhere").await).kind, Kind::NotFound);
    server.tasks[0].abort();
    while !server.tasks[0].is_finished() {
        tokio::task::yield_now().await;
    }
    assert_kind(server.health().await, Kind::Unavailable, "a task of the server");
}

#[tokio::test]
async fn proofs_wait_for_the_quorum_and_only_key_servers_cosign() {
    let mut world = World::new().await;
    let path = world.dir.path().join("management.toml");
    let config = std::fs::read_to_string(&path).unwrap().replace("quorum = 0", "quorum = 1");
    std::fs::write(&path, config).unwrap();
    world.open(|log| log).await;
    let provider = world.provider().await;
    let policy = world.published(&provider, |_| {}).await;
    let session = world.as_user(&provider);
    let note = world.management().services.log.read("checkpoint").await.unwrap().unwrap();
    let log: datapact_log::note::VerifyingKey =
        world.submit().info().await.unwrap().log_key.unwrap().parse().unwrap();
    let mut checkpoint = datapact_log::note::Checkpoint::open(&note, &log, &[]).unwrap();
    let line = witness().cosign(&checkpoint, world.now());
    checkpoint.add(witness().public(), &line).unwrap();
    let note = checkpoint.to_string();
    assert_kind(
        world.as_server(STORAGE).log().add_cosignature(&note).await,
        Kind::Forbidden,
        "key servers",
    );
    assert_kind(
        world.as_server(KEYS).log().add_cosignature("x").await,
        Kind::Malformed,
        "cosignature",
    );
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.as_server(KEYS).log().add_cosignature(&note).await
    };
    let log_service = session.log();
    let (proof, added) = tokio::join!(log_service.proof(0), late);
    added.unwrap();
    let proof = proof.unwrap();
    assert!(proof.entry.contains(&policy.id().to_string()));
    let log_policy = LogPolicy::new(&log, &[witness().public().clone()]).unwrap();
    let parsed: datapact_log::proof::Proof = proof.proof.parse().unwrap();
    parsed.verify(&log_policy, proof.entry.as_bytes()).unwrap();
    assert_eq!(refused(session.log().proof(1).await).kind, Kind::NotFound);
}
