//! What goes wrong with a chain while real servers work on it: management or the node dies between
//! a submission and its block, the node loses what was handed in, the chain's past changes. Blocks
//! are made when the test says so.
#![cfg(feature = "evm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use datapact_api::problem::Kind;
use datapact_core::contract::Refusal;
use datapact_core::id::ShareId;
use datapact_core::permission::AccessTimes;
use datapact_evm::config::EvmConfig;
use datapact_evm::rpc::Rpc;
use datapact_evm::signer::FileSigner;
use serde_json::{Value, json};
use support::{Site, User, data};

/// How long something may take that has to happen in the end: a call waits half a minute for its
/// block.
const PATIENCE: Duration = Duration::from_secs(180);

/// A site whose ledger is a development node.
struct Chain {
    site: Site,
    config: EvmConfig,
}

impl Chain {
    fn start() -> Self {
        let site = Site::start_on_chain("devnode");
        let config = EvmConfig::load(&site.file("network/ledger.toml")).unwrap();
        Self { site, config }
    }

    fn rpc(&self) -> Rpc {
        Rpc::new(&self.config.endpoints, self.config.chain_id).unwrap()
    }

    async fn ask(&self, method: &str, params: Value) {
        let _: Value = self.rpc().call(method, params).await.unwrap();
    }

    async fn height(&self) -> u64 {
        self.rpc().latest().await.unwrap().number
    }

    /// A block every so many seconds; none at all with 0.
    async fn blocks_every(&self, seconds: u64) {
        self.ask("evm_setIntervalMining", json!([seconds])).await;
    }

    /// How many of management's transactions wait for a block.
    async fn waiting(&self) -> u64 {
        let rpc = self.rpc();
        let signer = FileSigner::new(self.config.signer.clone().unwrap());
        let account = signer.key().await.unwrap().address();
        rpc.nonce(account, "pending").await.unwrap() - rpc.nonce(account, "latest").await.unwrap()
    }

    /// Begins to open the share, and returns when the access is submitted and cannot get into a
    /// block.
    async fn submitted(&self, user: &User, share: ShareId) -> tokio::task::JoinHandle<Vec<u8>> {
        self.blocks_every(0).await;
        let opening = tokio::spawn(opened(user.clone(), share));
        let end = Instant::now() + PATIENCE;
        while self.waiting().await == 0 {
            assert!(Instant::now() < end, "nothing is submitted:\n{}", self.site.log("management"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        opening
    }
}

/// Opens the share, again and again while something is away.
async fn opened(user: User, share: ShareId) -> Vec<u8> {
    let end = Instant::now() + PATIENCE;
    loop {
        match user.open(share).await {
            Ok((bytes, _)) => return bytes,
            Err(error) => {
                assert!(matches!(error.kind(), Kind::Unavailable | Kind::Busy), "{error}");
                assert!(Instant::now() < end, "{error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The one access allowed was spent, and the ledger holds it once.
async fn spent_once(site: &Site, user: &User, share: ShareId) {
    let end = Instant::now() + PATIENCE;
    let error = loop {
        let error = user.open(share).await.expect_err("the access times are used up");
        if error.kind() == Kind::Refused {
            break error;
        }
        assert!(Instant::now() < end, "{error}");
    };
    assert_eq!(error.to_problem().refusal, Some(Refusal::AccessTimes { access_times: 1 }));
    let audit = site.user("clinic").provider().audit(&share).await.unwrap();
    assert!(audit.good, "{:?}", audit.findings);
    assert_eq!(audit.accesses.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ax_4_an_access_is_recorded_once_whoever_dies_between_its_submission_and_its_block() {
    let chain = Chain::start();
    let site = &chain.site;
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let plain = data(1, 10_000);
    let share =
        async |title| clinic.share(title, &plain, AccessTimes::Times(1)).await.unwrap().share;
    let shares =
        [share("management dies").await, share("the node forgets").await, share("it ends").await];

    // Management is killed; what it had submitted is still there, and then gets into a block beside
    // its repeat.
    let opening = chain.submitted(&lab, shares[0]).await;
    site.kill("management");
    site.restart("management");
    chain.blocks_every(1).await;
    assert_eq!(opening.await.unwrap(), plain);
    spent_once(site, &lab, shares[0]).await;

    // It is killed, and what it had submitted is lost.
    let opening = chain.submitted(&lab, shares[1]).await;
    site.kill("management");
    chain.ask("anvil_dropAllTransactions", json!([])).await;
    assert_eq!(chain.waiting().await, 0);
    site.restart("management");
    chain.blocks_every(1).await;
    assert_eq!(opening.await.unwrap(), plain);
    spent_once(site, &lab, shares[1]).await;

    // The node ends and begins again without what was handed in; management goes on by itself.
    let opening = chain.submitted(&lab, shares[2]).await;
    site.ran(&["ledger", "down", "--dir", "network"]);
    site.ran(&["ledger", "up", "devnode", "--dir", "network"]);
    assert_eq!(opening.await.unwrap(), plain);
    spent_once(site, &lab, shares[2]).await;
}

/// Asks until the answer is `say`: a client that asks before the news is refused by the chain
/// itself, which holds no such share.
async fn refused(user: &User, share: ShareId, say: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let error = user
            .open(share)
            .await
            .expect_err("nothing is opened on a chain that lost what it held");
        if error.to_string().contains(say) {
            assert!(matches!(error.kind(), Kind::Unavailable | Kind::Busy), "{error}");
            return;
        }
        assert!(Instant::now() < end, "`{error}` does not say `{say}`");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ks_5_nothing_is_recorded_or_released_on_a_chain_whose_past_has_changed() {
    let chain = Chain::start();
    let site = &chain.site;
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let management = lab.session.public();
    let plain = data(2, 10_000);
    let before = chain.height().await;
    let share = clinic.share("opened", &plain, AccessTimes::Unlimited).await.unwrap().share;
    assert_eq!(opened(lab.clone(), share).await, plain);
    management.health().await.unwrap();

    // All blocks since then, and with them share and access, are others now.
    chain.ask("anvil_reorg", json!([chain.height().await - before, []])).await;
    refused(&lab, share, "reorganised deeper than 0 confirmations").await;
    let health = management.health().await.unwrap_err();
    assert!(health.to_string().contains("not to be believed"), "{health}");
    for role in ["management", "key"] {
        site.restart(role);
    }
    refused(&lab, share, "does not hold any more what it had recorded").await;
    let health = management.health().await.unwrap_err();
    assert!(health.to_string().contains("not to be believed"), "{health}");
}
