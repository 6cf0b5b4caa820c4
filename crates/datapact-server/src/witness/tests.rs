//! The witness's answers, and that they survive a restart.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use datapact_api::problem::Kind;
use datapact_api::public::Public as _;
use datapact_api::witness::Witness as _;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey, VerifyingKey};
use datapact_log::tree::{Hash, leaf_hash, node_hash};
use datapact_log::witness::{AddCheckpoint, Refusal, origin_hash};

use super::{OpenError, WitnessServer, make};
use crate::config::WitnessConfig;

const LOG: &str = "log.example";
const NAME: &str = "witness.example";

fn log() -> SigningKey {
    SigningKey::parse(&SigningKey::text(&[1; 32], LOG, KeyKind::Log).unwrap()).unwrap()
}

fn request(old: u64, proof: &[Hash], size: u64, root: &Hash) -> AddCheckpoint {
    AddCheckpoint { old, proof: proof.to_vec(), note: log().checkpoint(size, root) }
}

fn config(data: &std::path::Path) -> WitnessConfig {
    let text = format!(
        "url = 'https://{NAME}:1'\nlisten = '127.0.0.1:0'\ncertificate = 'c'\n\
         private_key = 'k'\ndata = '{}'\nlogs = ['{}']\n",
        data.display(),
        log().public()
    );
    toml::from_str(&text).unwrap()
}

async fn open(data: &std::path::Path) -> Arc<WitnessServer> {
    WitnessServer::open(&config(data), Arc::new(|| 1_800_000_000)).await.unwrap()
}

fn opened(note: &[u8], key: &VerifyingKey) -> Checkpoint {
    Checkpoint::open(note, log().public(), std::slice::from_ref(key)).unwrap()
}

#[tokio::test]
async fn a_fork_is_never_cosigned_and_what_was_cosigned_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let key = make(dir.path(), NAME).await.unwrap();
    let witness = open(dir.path()).await;
    let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
    let both = node_hash(&leaves[0], &leaves[1]);
    let hash = origin_hash(LOG);
    assert_eq!(witness.cosigned(&hash).await.unwrap_err().kind, Kind::NotFound);

    let line = witness.add_checkpoint(request(0, &[], 1, &leaves[0])).await.unwrap().unwrap();
    let mut checkpoint = opened(log().checkpoint(1, &leaves[0]).as_bytes(), &key);
    checkpoint.add(&key, &line).unwrap();
    assert_eq!(checkpoint.cosigned_at(&key), Some(1_800_000_000));

    drop(witness);
    let witness = open(dir.path()).await;
    assert_eq!(*witness.vkey(), key);
    let ask = async |request| witness.add_checkpoint(request).await.unwrap();
    // A second tree of the same size, one that does not continue it, an old one, a stranger's.
    assert_eq!(ask(request(1, &[], 1, &leaves[1])).await, Err(Refusal::Inconsistent));
    assert_eq!(ask(request(1, &[leaves[0]], 2, &both)).await, Err(Refusal::Inconsistent));
    assert_eq!(ask(request(0, &[], 2, &both)).await, Err(Refusal::Conflict(1)));
    let mut other = request(1, &[leaves[1]], 2, &both);
    other.note = other.note.replace(LOG, "other.example");
    assert_eq!(ask(other).await, Err(Refusal::UnknownLog));
    let evidence = witness.store.read(|db| {
        let row = db.row("SELECT COUNT(*) FROM witness_evidence", [])?;
        row.map(|row| row.number(0)).transpose()
    });
    assert_eq!(evidence.await.unwrap(), Some(2));

    // None of it keeps the honest log from going on.
    assert!(ask(request(1, &[leaves[1]], 2, &both)).await.is_ok());
    let newest = witness.cosigned(&hash).await.unwrap();
    assert_eq!(opened(&newest, &key).size(), 2);
    assert!(opened(&newest, &key).cosigned_at(&key).is_some());
}

#[tokio::test]
async fn a_witness_without_its_memory_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let unmade = WitnessServer::open(&config(dir.path()), Arc::new(|| 0)).await;
    assert!(matches!(unmade, Err(OpenError::Lost(_))));
    let key = make(dir.path(), NAME).await.unwrap();
    assert_eq!(make(dir.path(), NAME).await.unwrap(), key);
    std::fs::remove_file(dir.path().join(super::DATABASE_FILE)).unwrap();
    let lost = WitnessServer::open(&config(dir.path()), Arc::new(|| 0)).await;
    assert!(matches!(lost, Err(OpenError::Lost(_))));
    assert!(matches!(make(dir.path(), NAME).await, Err(OpenError::Lost(_))));
}
