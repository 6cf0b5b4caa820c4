//! What the adapter's tests share: a network in a folder of its own, ended with the test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_evm::EvmLedger;
use datapact_evm::network::{Kind, Network, Running, anvil, geth};
use datapact_ledger::chain::ChainOptions;
use datapact_local::testing::Fixture;
use datapact_log::clock::system_clock;

pub const ID: &str = "ledger.example";

/// A network that runs until this is dropped.
pub struct TestNetwork {
    pub network: Network,
    pub program: PathBuf,
    pub nodes: Vec<Running>,
    pub dir: tempfile::TempDir,
}

impl TestNetwork {
    /// None where the node program can neither be found nor installed; with `CI=true` that fails.
    pub async fn up(kind: Kind, nodes: usize) -> Option<Self> {
        let found = match kind {
            Kind::Devnode => anvil(None).await,
            Kind::Quorum => geth(None).await,
        };
        let program = match found {
            Ok(program) => program,
            Err(error) => {
                datapact_test_tools::skip(&error.to_string());
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let mut network = Network::open(&dir.path().join("network"), kind, nodes).unwrap();
        let nodes = match network.up(&program).await {
            Ok(nodes) => nodes,
            Err(error) => {
                // Nothing is left running of a network that does not come up.
                let _ = network.down().await;
                panic!("{error}");
            }
        };
        Some(Self { network, program, nodes, dir })
    }

    pub fn options(fixture: &Fixture) -> ChainOptions {
        let trust = fixture.trust();
        ChainOptions {
            id: ID.to_owned(),
            trust: Arc::new(move || Arc::clone(&trust)),
            clock: system_clock(),
        }
    }

    pub fn ledger(&self, fixture: &Fixture) -> EvmLedger {
        open(&self.network.ledger_file(), fixture)
    }
}

pub fn open(path: &Path, fixture: &Fixture) -> EvmLedger {
    EvmLedger::open(path, TestNetwork::options(fixture)).unwrap()
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        let network = &mut self.network;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(network.down()).unwrap();
            });
        });
    }
}
