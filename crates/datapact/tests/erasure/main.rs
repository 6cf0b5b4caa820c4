//! Erasing erases (PR-1, MG-1): after users are erased and keys destroyed, no byte of the servers'
//! databases, logs, packages and backups names them, opens their commitments or holds the keys; a
//! backup of before does not bring them back.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod bytes;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use datapact_api::management::Role;
use datapact_api::operation::Page;
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::identity::Identity;
use datapact_core::permission::AccessTimes;
use datapact_local::testing::postgres;
use serde_json::Value;
use support::stores::{Stores, rclone};
use support::user::User;
use support::{PATIENCE, ROLES, Site, until_done};

const PLAIN: &[u8] = b"what is shared";
/// Who leaves: a consumer and a provider. No other text holds these names.
const CONSUMER: &str = "quittenmeister";
const PROVIDER: &str = "zwetschgenkoenig";

/// A site in which a consumer and a provider have done what leaves traces.
struct World {
    site: Site,
    clinic: User,
    lab: User,
    /// The clinic's, which the consumer has opened.
    share: ShareId,
    /// The provider's.
    leaving_share: ShareId,
    /// The clinic's, whose key is to be destroyed.
    revoked_share: ShareId,
    leaving: Vec<Identity>,
    /// The consumer's accesses.
    requests: Vec<Digest>,
    /// What must be in no byte.
    needles: Vec<String>,
    /// By which the ledger knows those who leave.
    commitments: BTreeMap<Commitment, ShareId>,
}

impl World {
    async fn new(site: Site) -> Self {
        let admin = site.user("admin").session;
        let (clinic, lab) = (site.user("clinic"), site.user("lab"));
        let consumer = site.enrol(&admin, CONSUMER, "lab", Role::Consumer).await;
        let provider = site.enrol(&admin, PROVIDER, "clinic", Role::User).await;
        let shared = |user: &User, title: &'static str| {
            let user = user.clone();
            async move { user.share(title, PLAIN, AccessTimes::Unlimited).await.unwrap().share }
        };
        let share = shared(&clinic, "stays").await;
        let leaving_share = shared(&provider, "leaves").await;
        let revoked_share = shared(&clinic, "is revoked").await;
        consumer.open(share).await.unwrap();
        consumer.open(leaving_share).await.unwrap();
        lab.open(share).await.unwrap();
        lab.open(leaving_share).await.unwrap();
        site.ok(CONSUMER, &["subscription", "create"]);

        let (mut commitments, mut requests) = (BTreeMap::new(), Vec::new());
        let mut needles = vec![CONSUMER.to_owned(), PROVIDER.to_owned()];
        for entry in consumer.consumer().accesses(None).await.unwrap() {
            let share = entry.record.request.share;
            requests.push(entry.request.id());
            needles.push(entry.consumer.salt.to_string());
            commitments.insert(entry.consumer.commitment(&share), share);
        }
        for own in provider.session.management().shares(Page::first()).await.unwrap() {
            needles.push(own.receipt.owner.salt.to_string());
            commitments.insert(own.receipt.owner.commitment(&leaving_share), leaving_share);
        }
        assert_eq!(commitments.len(), 3);
        let gone = format!("'{leaving_share}', '{revoked_share}'");
        let keys = format!("SELECT sealed FROM key_entry WHERE share IN ({gone})");
        let keys = site.select("key", &keys).await;
        assert_eq!(keys.len(), 2);
        needles.extend(keys);
        let leaving =
            [&consumer, &provider].map(|user| user.session.profile().signer().identity().clone());
        let leaving = leaving.to_vec();
        Self {
            site,
            clinic,
            lab,
            share,
            leaving_share,
            revoked_share,
            leaving,
            requests,
            needles,
            commitments,
        }
    }

    /// The folders with all that servers keep.
    fn kept(&self) -> Vec<PathBuf> {
        let mut folders: Vec<_> =
            ROLES.iter().map(|role| self.site.file(&format!("servers/{role}/data"))).collect();
        folders.push(self.site.file("logs"));
        folders.extend(self.site.stores.as_ref().map(|stores| stores.s3.bucket()));
        folders
    }

    /// Erases both users, and revokes a share with its key.
    async fn erase(&self) {
        let revoked = self.revoked_share.to_string();
        self.site.ok("clinic", &["share", "revoke", &revoked, "--erase", "--yes"]);
        let accounts = self.site.ok("admin", &["account", "list"]);
        for identity in &self.leaving {
            let account = accounts.iter().find(|account| is_of(account, identity)).unwrap();
            let id = account["id"].as_str().unwrap();
            self.site.ok("admin", &["account", "delete", id, "--now", "--yes"]);
        }
    }

    /// Waits until nothing in `folders` holds any of the needles.
    async fn wait_gone(&self, folders: &[PathBuf]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = bytes::holding(folders, &self.needles);
            if found.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{found:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    fn found_again(&self, folders: &[PathBuf]) -> usize {
        bytes::found_again(folders, &self.leaving, &self.commitments).len()
    }

    /// Those who were erased are not there, and the others go on as before.
    async fn check_erased(&self) {
        let accounts = self.site.ok("admin", &["account", "list"]);
        assert!(accounts.len() > 2);
        for identity in &self.leaving {
            assert!(!accounts.iter().any(|account| is_of(account, identity)));
        }
        let keys = self.site.stored_keys().await;
        let share = self.share.to_string();
        assert!(keys.contains(&share));
        for gone in [self.leaving_share, self.revoked_share] {
            assert!(!keys.contains(&gone.to_string()), "the key of {gone} is there");
        }
        let opened = until_done("opening", || async { self.lab.open(self.share).await }).await;
        assert_eq!(opened.0, PLAIN);
        let audit = self.clinic.provider().audit(&self.share).await.unwrap();
        // Accesses since a backup are lost with their documents; an erased one is told from these.
        let is_erased = |request: Digest| self.requests.contains(&request);
        let findings = &audit.findings;
        assert!(!findings.iter().any(|of| of.request.is_none_or(is_erased)), "{findings:?}");
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let output = self.site.run(None, &[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn config(&self, role: &str) -> String {
        self.site.config(role).to_str().unwrap().to_owned()
    }

    /// Backs up each server to `NAME-ROLE`, and its secrets to `secrets-ROLE`.
    fn back_up(&self, name: &str) -> Vec<PathBuf> {
        let backup = |role: &&str| {
            let (folder, secrets) = (format!("{name}-{role}"), format!("secrets-{role}"));
            let config = self.config(role);
            self.run(&["backup", role, "--config", &config, "-o", &folder, "--secrets", &secrets]);
            self.site.file(&folder)
        };
        ROLES.iter().map(backup).collect()
    }

    /// Restores all servers from `NAME-ROLE`, by the secrets in `SECRETS-ROLE`, on empty disks but
    /// for a copy of the erasure journal.
    fn restore(&self, name: &str, secrets: &str) -> Vec<Value> {
        let key = std::fs::read_to_string(self.site.config("key")).unwrap();
        let line = key.lines().find(|line| line.starts_with("public_listen")).unwrap();
        let address: SocketAddr = line.split('"').nth(1).unwrap().parse().unwrap();
        let follower = format!("https://key.quickstart.test:{}={address}", address.port());
        let mut restored = Vec::new();
        // Management while the key server still runs.
        for role in ROLES {
            self.site.kill(role);
            let data = self.site.file(&format!("servers/{role}/data"));
            let journal = format!("journal-{role}");
            std::fs::copy(data.join("erasures.jsonl"), self.site.file(&journal)).unwrap();
            let kek = std::fs::read(data.join("kek"));
            std::fs::remove_dir_all(&data).unwrap();
            if let Ok(kek) = kek {
                std::fs::create_dir(&data).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::write(data.join("kek"), kek).unwrap();
                std::fs::set_permissions(data.join("kek"), mode).unwrap();
            }
            let (from, secrets) = (format!("{name}-{role}"), format!("{secrets}-{role}"));
            let config = self.config(role);
            let mut arguments = vec!["restore", role, "--config", &config, "--from", &from];
            arguments.extend(["--secrets", &secrets, "--erasures", &journal]);
            if role == "management" {
                arguments.extend(["--follower", &follower]);
            }
            restored.push(self.run(&arguments));
        }
        ROLES.iter().for_each(|role| self.site.restart(role));
        restored
    }
}

fn is_of(account: &Value, identity: &Identity) -> bool {
    account["identity"] == serde_json::to_value(identity).unwrap()
}

/// On files: what backups of before and after hold, and what restoring them brings back.
#[tokio::test(flavor = "multi_thread")]
async fn pr_1_erased_users_and_keys_are_in_no_byte_and_no_backup_brings_them_back() {
    let world = World::new(Site::start_on(false)).await;
    let before = bytes::holding(&world.kept(), &world.needles);
    for needle in &world.needles {
        assert!(before.iter().any(|found| found.starts_with(needle)), "{needle} was never there");
    }
    assert_eq!(world.found_again(&world.kept()), 3, "the attack works before the erasure");
    let old = world.back_up("old");
    for role in ROLES {
        let secrets = world.site.file(&format!("secrets-{role}"));
        std::fs::copy(secrets, world.site.file(&format!("stale-{role}"))).unwrap();
    }

    world.erase().await;
    let mut everything = world.kept();
    everything.extend(old);
    everything.extend(world.back_up("new"));
    world.wait_gone(&everything).await;
    assert_eq!(world.found_again(&everything), 0);
    world.check_erased().await;

    // The old backup, with the newest secrets: who was erased does not open.
    let restored = world.restore("old", "secrets");
    assert!(restored.iter().all(|of| of["rows"]["erased"].as_u64().unwrap() > 0), "{restored:?}");
    world.wait_gone(&everything).await;
    world.check_erased().await;
    // With secrets of before the erasure everything opens, and the journal erases it again.
    let restored = world.restore("old", "stale");
    assert!(restored.iter().all(|of| of["rows"]["erased"] == 0), "{restored:?}");
    world.wait_gone(&everything).await;
    assert_eq!(world.found_again(&everything), 0);
    world.check_erased().await;
    // The new backup holds all that is left.
    let restored = world.restore("new", "secrets");
    assert!(restored.iter().all(|of| of["rows"]["erased"] == 0), "{restored:?}");
    world.check_erased().await;
}

/// On PostgreSQL and S3: the tables' files, the bucket and the logs hold nothing, and neither does
/// a database restored to before. PostgreSQL's own log (`pg_wal`) is its operator's to expire.
#[tokio::test(flavor = "multi_thread")]
async fn pr_1_erased_users_and_keys_are_in_no_table_of_postgresql() {
    if postgres::shared().is_none() || rclone().is_none() {
        return;
    }
    let Some(server) = postgres::Server::start() else { return };
    let world = World::new(Site::start_with(Some(Stores::start_on(&server, &ROLES)))).await;
    // Copied while nothing uses them, as a dump of before.
    ROLES.iter().for_each(|role| world.site.kill(role));
    let stores = world.site.stores.as_ref().unwrap();
    let databases = ROLES.map(|role| stores.database(role).database.clone());
    let dumps = databases.clone().map(|database| server.copy_of(&database));
    ROLES.iter().for_each(|role| world.site.restart(role));

    world.erase().await;
    let mut everything = world.kept();
    // Of the databases in use; the copies hold what dumps hold.
    for role in ROLES {
        let oid = "SELECT CAST(oid AS TEXT) FROM pg_database WHERE datname = current_database()";
        let oid = world.site.select(role, oid).await.remove(0);
        everything.push(server.data().join("base").join(oid));
    }
    world.wait_gone(&everything).await;
    assert_eq!(world.found_again(&everything), 0);
    world.check_erased().await;

    for (role, (database, dump)) in ROLES.iter().zip(databases.iter().zip(&dumps)) {
        world.site.kill(role);
        let path = world.site.config(role);
        let config = std::fs::read_to_string(&path).unwrap();
        let (from, to) = (format!("name = \"{database}\""), format!("name = \"{dump}\""));
        std::fs::write(&path, config.replace(&from, &to)).unwrap();
    }
    ROLES.iter().for_each(|role| world.site.restart(role));
    let accounts = world.site.ok("admin", &["account", "list"]);
    for identity in &world.leaving {
        assert!(!accounts.iter().any(|account| is_of(account, identity)));
    }
}
