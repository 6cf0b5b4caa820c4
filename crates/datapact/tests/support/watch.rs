//! An observer of the log: a follower of its own that asks all the time, so that no
//! checkpoint that it was once shown is ever contradicted, and none that was ever signed.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::public::PublicLog;
use datapact_client::Profile;
use datapact_ledger::LedgerError;
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::tables::MIGRATIONS;
use datapact_log::clock::system_clock;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::VerifyingKey;
use datapact_store::Store;
use tempfile::TempDir;

use super::Site;

/// A copy of the log that belongs to no server.
pub struct Watch {
    follower: Follower,
    policy: LogPolicy,
    _folder: TempDir,
}

impl Watch {
    /// Watches the log that `profile` is enrolled with.
    pub async fn start(profile: Profile) -> Self {
        // The policy's first line names the log.
        let text = profile.log_policy().to_string();
        let log: VerifyingKey =
            text.lines().next().unwrap().strip_prefix("log ").unwrap().parse().unwrap();
        let policy = LogPolicy::new(&log, &[]).unwrap();
        let source = Arc::new(PublicLog(super::User::connect(profile).session.public()));
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("copy"), MIGRATIONS).await.unwrap();
        let config = FollowerConfig {
            log,
            witness: None,
            source,
            clock: system_clock(),
            chain: None,
            settling: Duration::ZERO,
        };
        let follower = Follower::open(store, config).await.unwrap();
        Self { follower, policy, _folder: folder }
    }

    /// Looks at the newest checkpoint, unless the server is away.
    pub async fn look(&self) {
        match self.follower.poll().await {
            Ok(_) | Err(LedgerError::Unavailable(_)) => {}
            Err(error) => panic!("the log is not what it was: {error}"),
        }
    }

    /// Looks once more, and checks that each checkpoint that management has ever signed, and each
    /// that the key server has kept, is of a part of this very log. How many entries that has, and
    /// how many checkpoints they are.
    pub async fn all_agree(&self, site: &Site) -> (u64, usize) {
        let end = self.follower.poll().await.unwrap().size;
        let mut notes = Vec::new();
        for role in ["management", "key"] {
            let of_role =
                site.select(role, "SELECT note FROM ledger_checkpoint WHERE size > 0").await;
            assert!(!of_role.is_empty(), "{role} has no checkpoints");
            notes.extend(of_role);
        }
        for note in &notes {
            let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
            let proof = self.follower.proof_under(size - 1, size, note).await.unwrap();
            let entry = self.follower.entry(size - 1).await.unwrap().unwrap();
            let proved =
                proof.unwrap_or_else(|| panic!("a checkpoint of {size} entries, of {end}"));
            proved.verify(&self.policy, &entry).unwrap_or_else(|error| panic!("{error}: {note}"));
        }
        (end, notes.len())
    }
}
