//! `backup` and `restore`: what a server keeps on its machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use datapact_api::client::Http;
use datapact_api::endpoint::Endpoint;
use datapact_api::problem::{Kind, Problem};
use datapact_api::public::PublicLog;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_ledger::LedgerError;
use datapact_log::clock::system_clock;
use datapact_log::source::LogSource;
use datapact_server::backup::tail::{self, Tail};
use datapact_server::backup::{BackupError, Manifest, Plan, Staged, Unsealed};
use datapact_server::config::{ManagementConfig, load};
use serde::Serialize;

use super::config::config_failure;
use crate::context::{Context, now};
use crate::failure::{Failure, Result};
use crate::output::{self, fields};

const BACKUP_HELP: &str = "\
The server may run meanwhile. The folder holds the server's secrets, and is for its owner only.
The key server's KEK is not in it: keep a copy apart. State in PostgreSQL or S3 is backed up by
these stores' own means.

Examples:
  datapact backup management --config management.toml -o /backup/management-monday
  datapact backup storage --config storage.toml -o /backup/storage-monday";

const RESTORE_HELP: &str = "\
The server must not run, and its data folder must hold no database yet. Management's log must
never contradict what it has signed before: so what the backup lacks of it is fetched from the key
servers' public listeners, all of them, before the server may start. Documents since the backup
are lost, and are listed.

Examples:
  datapact restore key --config key.toml --from /backup/key-monday
  datapact restore management --config management.toml --from /backup/management-monday \\
    --follower https://keys.example:8080";

/// Copy what a server keeps to a folder, while it runs
#[derive(Args)]
#[command(after_help = BACKUP_HELP, arg_required_else_help = true)]
pub(crate) struct Backup {
    /// Which server
    role: Role,
    /// The server's configuration file
    #[arg(long, value_name = "FILE", env = "DATAPACT_CONFIG", hide_env_values = true)]
    config: PathBuf,
    /// The folder to make
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// What opens the backup; each backup replaces it, and it is kept apart from them
    #[arg(long, value_name = "FILE")]
    secrets: PathBuf,
}

/// Put a backup where its server keeps what it keeps
#[derive(Args)]
#[command(after_help = RESTORE_HELP, arg_required_else_help = true)]
pub(crate) struct Restore {
    /// Which server
    role: Role,
    /// The server's configuration file
    #[arg(long, value_name = "FILE", env = "DATAPACT_CONFIG", hide_env_values = true)]
    config: PathBuf,
    /// The folder that `backup` made
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The newest file that `backup --secrets` has written
    #[arg(long, value_name = "FILE")]
    secrets: PathBuf,
    /// A copy of the server's `data/erasures.jsonl`, where that is lost
    #[arg(long, value_name = "FILE")]
    erasures: Vec<PathBuf>,
    /// A key server's public listener, `https://NAME:PORT`, or `https://NAME:PORT=ADDRESS:PORT`
    /// where NAME is not in the DNS
    #[arg(long, value_name = "URL")]
    follower: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Management, with the embedded ledger
    Management,
    /// A key server
    Key,
    /// A storage server
    Storage,
}

#[derive(Serialize)]
struct BackedUp<'a> {
    folder: &'a Path,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

#[derive(Serialize)]
struct Restored<'a> {
    role: &'a str,
    owner: &'a str,
    /// When the backup was made.
    time: u64,
    /// What became of the rows that name people, and of the keys.
    rows: Unsealed,
    /// What the ledger got from its followers; management's only.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<&'a Tail>,
}

fn plan(role: Role, config: &Path) -> Result<Plan> {
    match role {
        Role::Management => Plan::management(&load(config).map_err(config_failure)?),
        Role::Key => Plan::key(&load(config).map_err(config_failure)?),
        Role::Storage => Plan::storage(&load(config).map_err(config_failure)?),
    }
    .map_err(failure)
}

impl Backup {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let plan = plan(self.role, &self.config)?;
        let manifest = context.block_on(async {
            plan.back_up(&self.output, &self.secrets, now()).await.map_err(failure)
        })?;
        let text = format!("{} files in {}", manifest.files.len(), self.output.display());
        context.output.result(&BackedUp { folder: &self.output, manifest: &manifest }, text)
    }
}

impl Restore {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let plan = plan(self.role, &self.config)?;
        let management = match self.role {
            Role::Management => {
                let config: ManagementConfig = load(&self.config).map_err(config_failure)?;
                let sources = self.followers(&config)?;
                // One that is given twice is one; a chain holds by itself what its log must not
                // contradict.
                let given: BTreeSet<&str> = self.follower.iter().map(String::as_str).collect();
                if config.ledger.chain.is_none() && given.len() < config.ledger.witnesses.len() {
                    context.output.confirm(format_args!(
                        "{} key servers have cosigned this ledger, and {} are given; if another \
                         one has seen later entries, the ledger will contradict what it has \
                         signed, and that key server will release nothing any more. Go on?",
                        config.ledger.witnesses.len(),
                        given.len(),
                    ))?;
                }
                Some((config, sources))
            }
            _ => None,
        };
        context.block_on(async {
            let (staged, manifest) =
                plan.stage(&self.from, &self.secrets, &self.erasures).map_err(failure)?;
            let unsealed = staged.unseal(now()).await.map_err(failure)?;
            let tail = match &management {
                Some((config, sources)) => Some(complete(&staged, config, sources).await?),
                None => None,
            };
            staged.finish().await.map_err(failure)?;
            let (role, owner, time) =
                (manifest.role.as_str(), manifest.owner.as_str(), manifest.time);
            let restored = Restored { role, owner, time, rows: unsealed, ledger: tail.as_ref() };
            context.output.result(&restored, text(&manifest, unsealed, tail.as_ref()))
        })
    }

    fn followers(&self, config: &ManagementConfig) -> Result<Vec<Arc<dyn LogSource>>> {
        if self.follower.is_empty() {
            return Ok(Vec::new());
        }
        let trust = ReloadableTrust::load(&config.server.tls.trust)
            .map_err(|error| Failure::usage(error, "check the trust configuration"))?;
        let tls = client_config(trust, None)
            .map_err(|error| Failure::usage(error, "check the trust configuration"))?;
        let source = |text: &String| {
            let wrong = |detail: String| {
                Failure::usage(
                    format!("`{text}`: {detail}"),
                    "write `https://NAME:PORT` or `https://NAME:PORT=ADDRESS:PORT`",
                )
            };
            let (url, connect) = match text.split_once('=') {
                Some((url, address)) => {
                    let address = address
                        .parse()
                        .map_err(|_| wrong(format!("`{address}` is not an address")))?;
                    (url, Some(address))
                }
                None => (text.as_str(), None),
            };
            let endpoint = Endpoint { url: url.to_owned(), connect };
            let http = Http::new(&endpoint, tls.clone(), None, system_clock())
                .map_err(|e| wrong(e.to_string()))?;
            Ok(Arc::new(PublicLog(Arc::new(http))) as Arc<dyn LogSource>)
        };
        self.follower.iter().map(source).collect()
    }
}

async fn complete(
    staged: &Staged,
    config: &ManagementConfig,
    sources: &[Arc<dyn LogSource>],
) -> Result<Tail> {
    let (store, keys) = staged.open(config).await.map_err(failure)?;
    tail::fetch(&store, keys.log_vkey(), sources, system_clock()).await.map_err(failure)
}

fn text(manifest: &Manifest, rows: Unsealed, tail: Option<&Tail>) -> String {
    let mut lines = vec![
        ("restored", format!("{} `{}`", manifest.role, manifest.owner)),
        ("as of", output::time(manifest.time)),
        ("rows of people and keys", rows.restored.to_string()),
        ("erased since", rows.erased.to_string()),
    ];
    if let Some(tail) = tail {
        lines.push((
            "ledger",
            format!(
                "{} entries, {} of them since the backup",
                tail.size,
                tail.size - tail.backed_up
            ),
        ));
        let lost = tail.lost.iter().map(|lost| {
            format!(
                "{} of share {} at {}: {}",
                lost.document,
                lost.share,
                output::time(lost.time),
                lost.id
            )
        });
        let lost: Vec<_> = lost.collect();
        lines.push((
            "lost documents",
            if lost.is_empty() { "none".to_owned() } else { lost.join("\n") },
        ));
    }
    fields(&lines)
}

fn failure(error: BackupError) -> Failure {
    match error {
        BackupError::File(path, cause) => Failure::file("use", &path, &cause),
        BackupError::Ledger(LedgerError::Unavailable(_)) => Problem::new(Kind::Unavailable, error)
            .hint("start the key servers first: they run without management")
            .into(),
        BackupError::Ledger(LedgerError::Corrupt { .. }) => Failure::untrusted(
            error,
            "the backup and this follower are not of one ledger; keep both as evidence",
        ),
        BackupError::Elsewhere => Failure::usage(error, "use `pg_dump`, or point-in-time recovery"),
        error => Failure::local(error, "nothing was restored or overwritten"),
    }
}
