//! `datapact quickstart`: both procedures of the Recommendation (7.3.1, 7.3.2) between real
//! processes, in one command.

mod chain;
mod comparison;
mod people;
mod servers;
mod show;
mod site;
mod steps;

use std::io::{Cursor, Read};
use std::path::PathBuf;

use datapact_core::id::ShareId;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use chain::{Chain, LedgerKind};
use servers::Servers;
use show::show;
use site::Site;
use steps::Steps;

/// The dataset shared when no file is given. It is made up, about no person.
const SAMPLE: &[u8] = include_bytes!("observations.csv");

/// See both procedures of X.1410 happen on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  datapact quickstart
  datapact quickstart my-data.csv
  datapact quickstart --exit --json --data /tmp/try
  datapact quickstart --ledger quorum      (needs a build with `--features evm`)
  datapact quickstart --ledger fabric      (needs a build with `--features fabric`, and Fabric's
                                            programs; see docs/ledgers/fabric.md)")]
pub(crate) struct Quickstart {
    /// The file to share instead of the sample dataset
    file: Option<PathBuf>,
    /// End when all is shown, instead of leaving the servers running until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Make CAs, certificates and configuration files only, to change them before the servers first
    /// start
    #[arg(long, conflicts_with_all = ["file", "exit"])]
    prepare: bool,
    /// Where everything is kept; a later run goes on with what is there
    #[arg(long, value_name = "DIR", default_value = "datapact-quickstart")]
    data: PathBuf,
    /// Which ledger decides and records
    #[arg(long, value_enum, default_value_t = LedgerKind::Embedded)]
    ledger: LedgerKind,
}

impl Quickstart {
    /// What is shared.
    fn dataset(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match &self.file {
            None => Box::new(Cursor::new(SAMPLE)),
            Some(path) => {
                Box::new(std::fs::File::open(path).map_err(|e| Failure::file("read", path, &e))?)
            }
        })
    }
}

impl Quickstart {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        interrupt::leave_to_command();
        context.block_on(run(&self, context.output))
    }
}

async fn run(args: &Quickstart, output: Output) -> Result<()> {
    let (site, existed) = Site::open(&args.data, args.ledger).await?;
    if args.prepare {
        let configs: Vec<_> = servers::ROLES.iter().map(|role| site.config(role)).collect();
        let lines: Vec<_> = configs.iter().map(|path| path.display().to_string()).collect();
        return output.result(&json!({ "existed": existed, "configs": configs }), lines.join("\n"));
    }
    let mut steps = Steps::new(output);
    let mut chain = Chain::open(args.ledger, &site.network(), site::LEDGER_ID)?;
    let mut servers = Servers::default();
    let shown = interrupt::unless_asked_to_end(async {
        chain.up().await?;
        show_chain(args.ledger, &chain, &mut steps)?;
        servers.start(&site).await?;
        show(args, &site, existed, &servers, &mut steps).await
    });
    let result = match shown.await {
        Ok(share) if !args.exit => {
            output.note(next_commands(&site, share));
            tokio::select! {
                () = interrupt::asked_to_end() => Ok(()),
                role = servers.ended() => {
                    let hint = format!("its log is `{}`", site.log(role).display());
                    Err(Failure::local(format!("the {role} server ended by itself"), hint))
                }
            }
        }
        Ok(_) => Ok(()),
        Err(failure) => Err(failure),
    };
    servers.stop().await;
    let down = chain.down().await;
    result.and(down)
}

fn show_chain(kind: LedgerKind, chain: &Chain, steps: &mut Steps) -> Result<()> {
    let nodes = chain.nodes();
    if nodes.is_empty() {
        return Ok(());
    }
    let title = match kind {
        LedgerKind::Quorum => {
            "Four GoQuorum validators agree by QBFT; the contract is on their chain"
        }
        LedgerKind::Fabric | LedgerKind::FabricBft => {
            "Two organisations of a Fabric network, management's and the key server's, have the \
             contract as chaincode"
        }
        _ => "An Ethereum development node runs; the contract is on its chain",
    };
    let line = |node: &chain::Node| match &node.node {
        Some(name) => format!("{name}: {} (process {})", node.url, node.process),
        None => format!("{} (process {})", node.url, node.process),
    };
    let lines: Vec<_> = nodes.iter().map(line).collect();
    steps.done("6.1, 7.1", title, &lines, json!({ "nodes": nodes }))
}

fn next_commands(site: &Site, share: ShareId) -> String {
    let program = std::env::current_exe()
        .map_or_else(|_| "datapact".into(), |path| path.display().to_string());
    format!(
        "\nThe servers keep running until Ctrl-C. In another terminal:\n\n  \
         export DATAPACT_HOME={home}\n  \
         alias datapact={program}\n  \
         datapact --profile clinic share create FILE --allow-country SE,DE --times 3 \
         --expires 30d\n  \
         datapact --profile lab catalog search\n  \
         datapact --profile lab open SHARE\n  \
         datapact --profile clinic share audit SHARE      (for example {share})\n",
        home = site.folder().join("home").display(),
    )
}
