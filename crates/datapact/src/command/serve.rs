//! `serve`: one of the three servers or a witness, until it is asked to end.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_api::problem::{Kind, Problem};
use datapact_server::run::{
    Ready, ServeError, serve_key, serve_management, serve_storage, serve_witness,
};
use tracing_subscriber::EnvFilter;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::fields;

const AFTER_HELP: &str = "\
Once a server listens, it prints one line (with --json one object) with the ports that it has. Its
log goes to standard error; DATAPACT_LOG=debug makes it say more. SIGTERM and Ctrl-C end it after
the calls it is answering. SIGHUP makes it read trust, revocation lists and access list again,
which it also does when the files change.

Examples:
  datapact config init management --name management.example -o management.toml
  datapact serve management --config management.toml
  datapact serve key --config key.toml --json 2>>key.log";

/// Run one of the three servers, or a witness
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Serve {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Accounts, policies, accesses and publication, on the ledger (6.2.2)
    Management(Config),
    /// Keeps keys, and releases them for accesses that the ledger records (6.2.3)
    Key(Config),
    /// Keeps packages (6.2.4)
    Storage(Config),
    /// Cosigns logs, each tree only if it continues the one before (C2SP tlog-witness); any
    /// organisation may run one
    Witness(Config),
}

#[derive(Args)]
struct Config {
    /// The server's configuration file
    #[arg(long, value_name = "FILE", env = "DATAPACT_CONFIG", hide_env_values = true)]
    config: PathBuf,
    /// Also end when standard input does, so that it does not outlive the program that started it
    #[arg(long)]
    until_eof: bool,
}

impl Config {
    /// Returns when the server is to end.
    fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let until_eof = self.until_eof;
        async move {
            let eof = async {
                if !until_eof {
                    return std::future::pending().await;
                }
                let mut rest = tokio::io::sink();
                let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut rest).await;
            };
            tokio::select! {
                () = interrupt::asked_to_end() => {}
                () = eof => {}
            }
        }
    }
}

impl Serve {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        interrupt::leave_to_command();
        log(context.output.json());
        let output = context.output;
        let ready = move |ready: Ready| {
            let mut lines = vec![
                ("ready", format!("{} at {}", ready.role, ready.url)),
                ("listen", ready.listen.to_string()),
                ("public", ready.public_listen.to_string()),
            ];
            lines.extend(ready.operator_listen.map(|operator| ("operator", operator.to_string())));
            let text = fields(&lines);
            // One line for people, too: a program that waits for it reads a line.
            let text =
                text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            if output.result(&ready, text.collect::<Vec<_>>().join(", ")).is_err() {
                tracing::warn!("standard output is closed");
            }
        };
        let result = context.block_on_all_cores(async {
            Ok(match &self.role {
                Role::Management(args) => serve_management(&args.config, ready, args.end()).await,
                Role::Key(args) => serve_key(&args.config, ready, args.end()).await,
                Role::Storage(args) => serve_storage(&args.config, ready, args.end()).await,
                Role::Witness(args) => serve_witness(&args.config, ready, args.end()).await,
            })
        })?;
        result.map_err(failure)
    }
}

fn log(json: bool) {
    let filter = EnvFilter::try_from_env("DATAPACT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Config(_) | ServeError::Trust(_) => {
            Failure::usage(error, "`datapact config check` says whether a configuration is right")
        }
        ServeError::Listen(..) => Problem::new(Kind::Unavailable, error)
            .hint("choose another port, or end what listens there")
            .into(),
        ServeError::Dumps(_) => {
            Failure::local(error, "let the service manager set `LimitCORE=0`, and allow prctl")
        }
        ServeError::Storage(problem) => problem.into(),
        ServeError::File(..)
        | ServeError::SecurityLog(_)
        | ServeError::Management(_)
        | ServeError::Key(_)
        | ServeError::Witness(_) => {
            Failure::local(error, "check the files that the configuration names")
        }
    }
}
