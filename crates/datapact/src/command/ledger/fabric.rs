//! Fabric networks on one machine (feature `fabric`).

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::failure::{Failure, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Orderers {
    /// One orderer
    Raft,
    /// Four orderers, of which one may fail in whatever way (Fabric 3)
    Bft,
}

/// What a Fabric network is to be.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// `fabric`: how the orderers agree
    #[arg(long, value_enum, default_value_t = Orderers::Raft)]
    orderers: Orderers,
    /// `fabric`: how long an orderer of a new network waits for more transactions before it makes a
    /// block
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(1..=60_000)
    )]
    batch_timeout: u64,
    /// `fabric`: the ledger's id of a new network, as in management's configuration
    #[arg(long, value_name = "ID", default_value = "management.example/ledger")]
    ledger_id: String,
    /// The folder of Fabric's programs; else FABRIC_BIN, else the PATH
    #[arg(long, value_name = "DIR")]
    fabric_bin: Option<PathBuf>,
}

#[cfg(not(feature = "fabric"))]
pub(crate) fn missing() -> Failure {
    Failure::usage(
        "this program was built without Hyperledger Fabric",
        "build it with `cargo build --release -p datapact -p datapact-chaincode --features \
         datapact/fabric`",
    )
}

#[cfg(not(feature = "fabric"))]
pub(super) fn up(_: &Context, _: &Path, options: Options) -> Result<()> {
    let Options {
        orderers: Orderers::Raft | Orderers::Bft,
        batch_timeout: _,
        ledger_id: _,
        fabric_bin: _,
    } = options;
    Err(missing())
}

#[cfg(not(feature = "fabric"))]
pub(super) fn down(_: &Context, _: &Path) -> Result<()> {
    Err(missing())
}

#[cfg(feature = "fabric")]
pub(super) use with_fabric::{down, up};

#[cfg(feature = "fabric")]
mod with_fabric {
    use std::time::Duration;

    use datapact_fabric::network::{self, Network, Programs, Running};
    use serde::Serialize;

    use super::*;
    use crate::interrupt;
    use crate::output::fields;

    #[derive(Serialize)]
    struct Started<'a> {
        dir: &'a Path,
        ledger: PathBuf,
        key_ledger: PathBuf,
        nodes: &'a [Running],
    }

    #[derive(Serialize)]
    struct Ended<'a> {
        dir: &'a Path,
    }

    pub(in super::super) fn up(context: &Context, dir: &Path, options: Options) -> Result<()> {
        let orderers = match options.orderers {
            Orderers::Raft => network::Orderers::Raft,
            Orderers::Bft => network::Orderers::Bft,
        };
        let batch_timeout = Duration::from_millis(options.batch_timeout);
        interrupt::leave_to_command();
        let (network, nodes) = context.block_on(async {
            let programs =
                Programs::find(options.fabric_bin.as_deref(), None).await.map_err(Failure::from)?;
            let new = network::Options { orderers, batch_timeout, ledger: options.ledger_id };
            let mut network = Network::open(dir, &new).map_err(Failure::from)?;
            let before = network.running();
            let up = async { network.up(&programs).await.map_err(Failure::from) };
            let nodes = interrupt::unless_asked_to_end(up).await;
            if nodes.is_err() {
                network.end_all_but(&before).await.map_err(Failure::from)?;
            }
            Ok::<_, Failure>((network, nodes?))
        })?;
        let node =
            |node: &Running| format!("{}: {} (process {})", node.node, node.url, node.process);
        let text = fields(&[
            ("ledger", network.ledger_file().display().to_string()),
            ("key server's", network.key_ledger_file().display().to_string()),
            ("nodes", nodes.iter().map(node).collect::<Vec<_>>().join("\n")),
            ("end it", format!("datapact ledger down --dir {}", network.dir().display())),
        ]);
        let started = Started {
            dir: network.dir(),
            ledger: network.ledger_file(),
            key_ledger: network.key_ledger_file(),
            nodes: &nodes,
        };
        context.output.result(&started, text)
    }

    pub(in super::super) fn down(context: &Context, dir: &Path) -> Result<()> {
        let mut network = Network::existing(dir).map_err(Failure::from)?;
        context.block_on(async { network.down().await.map_err(Failure::from) })?;
        let text = format!(
            "the network in {} is down; `ledger up` starts it again",
            network.dir().display()
        );
        context.output.result(&Ended { dir: network.dir() }, text)
    }
}
