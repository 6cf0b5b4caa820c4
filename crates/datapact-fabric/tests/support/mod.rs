//! What the tests against a real network share: a network in a folder of its own, ended with the
//! test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::explicit_write)]

pub mod cli;

use std::path::PathBuf;
use std::time::Duration;

use datapact_fabric::network::{Network, Options, Orderers, Programs};

/// The ledger's id.
pub const ID: &str = "ledger.example";

/// A network that runs until this is dropped.
pub struct TestNetwork {
    pub network: Network,
    pub programs: Programs,
    pub dir: tempfile::TempDir,
}

impl TestNetwork {
    /// Orderers, peers and channel, without the chaincode. None where Fabric's programs are not
    /// found, which one line says.
    pub async fn channel(orderers: Orderers) -> Option<Self> {
        let mut this = Self::new(orderers).await?;
        this.network.start_channel(&this.programs).await.unwrap();
        Some(this)
    }

    /// All of it. None where Fabric's programs are not found, which one line says.
    pub async fn up(orderers: Orderers) -> Option<Self> {
        let mut this = Self::new(orderers).await?;
        this.network.up(&this.programs).await.unwrap();
        Some(this)
    }

    async fn new(orderers: Orderers) -> Option<Self> {
        let programs = match Programs::find(None, Some(&chaincode())).await {
            Ok(programs) => programs,
            Err(error) => {
                datapact_test_tools::skip_everywhere(&error.to_string());
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let network = Network::open(&dir.path().join("network"), &options(orderers)).unwrap();
        Some(Self { network, programs, dir })
    }
}

/// The chaincode's program, which `cargo build -p datapact-chaincode` puts beside the tests'.
fn chaincode() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("datapact-chaincode")
}

/// What the tests' networks are.
pub fn options(orderers: Orderers) -> Options {
    Options { orderers, batch_timeout: Duration::from_millis(50), ledger: ID.to_owned() }
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
