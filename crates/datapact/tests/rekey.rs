//! KS-2: the key-encryption key is changed while the key server releases and stores keys, and the
//! change is killed at many moments.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::process::Stdio;
use std::time::Duration;

use datapact_api::key_server::StoreKey;
use datapact_core::id::{Digest, ShareId, random};
use datapact_core::permission::AccessTimes;
use serde_json::Value;
use support::{Site, data, until_done};
use zeroize::Zeroizing;

/// Several commits of the rotation's.
const KEYS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn ks_2_a_killed_change_of_the_key_encryption_key_is_finished_by_the_next_run() {
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let plain = data(1, 20_000);
    let share = clinic.share("before", &plain, AccessTimes::Unlimited).await.unwrap().share;
    for _ in 0..KEYS {
        let key = clinic.key_server.register_key().await.unwrap();
        let stored = StoreKey {
            key: Zeroizing::new(hex::encode(random::<32>())),
            share: ShareId(random()),
            package: Digest(random()),
        };
        clinic.key_server.store_key(&key.id, &stored).await.unwrap();
    }
    let config = site.config("key").to_str().unwrap().to_owned();
    let rotate = ["kek", "rotate", "--json", "--config", &config];
    let kek = site.file("servers/key/data/kek");
    let before = std::fs::read_to_string(&kek).unwrap();
    let versions = || {
        site.select("key", "SELECT DISTINCT CAST(kek AS TEXT) FROM key_entry WHERE kek IS NOT NULL")
    };
    assert_eq!(versions().await, ["1"]);

    let mut finished = 0;
    for round in 0_u64..12 {
        let mut child = site
            .command(None, &rotate)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Wherever this hits: before the file is written, after everything, or in between.
        tokio::time::sleep(Duration::from_millis(15 * round)).await;
        child.kill().unwrap();
        finished += u32::from(child.wait().unwrap().success());
        // Both versions are read: the server that runs, and one that is started in the middle,
        // release the key.
        if round % 4 == 3 {
            site.restart("key");
        }
        let (opened, _) = until_done("opening", || async { lab.open(share).await }).await;
        assert_eq!(opened, plain);
        // And new keys are stored under the version that is in use.
        let title = format!("in round {round}");
        until_done("sharing", || async {
            clinic.share(&title, &plain, AccessTimes::Times(1)).await
        })
        .await;
    }
    let output = site.run(None, &rotate);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    eprintln!("{finished} of the killed runs had finished; the last: {done}");

    let version = done["version"].as_u64().unwrap();
    assert!(version > 1 && versions().await == [version.to_string()], "{done}");
    let after = std::fs::read_to_string(&kek).unwrap();
    assert_eq!(after.lines().count(), 1, "only the version in use is left");
    assert!(after.starts_with(&format!("{version} ")) && !after.contains(before.trim()));
    let proofs = site.select("key", "SELECT CAST(version AS TEXT) FROM key_kek").await;
    assert_eq!(proofs, [version.to_string()]);
    for restarted in [false, true] {
        if restarted {
            site.restart("key");
        }
        let (opened, _) = until_done("opening", || async { lab.open(share).await }).await;
        assert_eq!(opened, plain);
    }

    // The old file opens nothing any more, and the server says so instead of starting.
    std::fs::write(&kek, before).unwrap();
    let config_of = ["serve", "key", "--config", &config];
    site.kill("key");
    let refused = site.run(None, &config_of);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("key-encryption key"), "{said}");
}
