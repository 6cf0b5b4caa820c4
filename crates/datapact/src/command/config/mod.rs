//! `config`: the servers' configuration files.

mod check;
mod witness;

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use datapact_client::key_file::PrivateKey;
use datapact_client::subject::Subject;
use datapact_server::config::{ConfigError, KeyServerConfig, StorageServerConfig};
use datapact_server::key::witness_key;
use datapact_server::management::Keys;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Result, key_failure};
use crate::files::NewFile;
use crate::output::fields;
use check::{check, management_keys};

const AFTER_HELP: &str = "\
`init` writes a commented configuration and, in its folder, the server's private key, a
certificate request for your CA, and the keys that others must know: the log's (management) or the
witness's (key server, witness).

Examples:
  datapact config init key --name keys.example -o key/key.toml
  datapact config init management --name management.example -o management/management.toml
  datapact ca issue --ca server-ca key/server.csr --server keys.example -o key/server.pem
  datapact config check key --config key/key.toml";

/// Write and check the servers' configuration files
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write a commented configuration for a server, with its keys
    Init {
        /// Which server
        role: Role,
        /// Its DNS name, which its certificate bears
        #[arg(long)]
        name: String,
        /// The port of the listener for clients with certificates
        #[arg(long, default_value_t = 8443)]
        port: u16,
        /// The port of the public listener
        #[arg(long, default_value_t = 8080)]
        public_port: u16,
        /// The port of the operator's listener: health, readiness, metrics
        #[arg(long, default_value_t = 9090)]
        operator_port: u16,
        /// Where to write the configuration; everything else goes to its folder
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Check a configuration, and that the files it names are there and fit together
    Check {
        /// Which server
        role: Role,
        /// The configuration file
        #[arg(long, value_name = "FILE", env = "DATAPACT_CONFIG", hide_env_values = true)]
        config: PathBuf,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Management
    Management,
    /// A key server
    Key,
    /// A storage server
    Storage,
    /// A witness of logs, of whatever organisation
    Witness,
}

#[derive(Serialize)]
struct Initialised<'a> {
    config: &'a Path,
    private_key: PathBuf,
    request: PathBuf,
    /// The log's or witness's public key (C2SP signed-note `vkey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    verifier_key: Option<String>,
}

#[derive(Serialize)]
struct Checked<'a> {
    config: &'a Path,
    name: String,
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Init { role, name, port, public_port, operator_port, output } => {
                init(context, role, &name, [port, public_port, operator_port], &output)
            }
            Verb::Check { role, config } => {
                let name = match role {
                    Role::Management => check(&config, management_keys),
                    Role::Key => {
                        check(&config, |config: &KeyServerConfig| vec![config.log_key.clone()])
                    }
                    Role::Storage => check(&config, |_: &StorageServerConfig| Vec::new()),
                    Role::Witness => witness::check(&config),
                }?;
                let text = format!("{} is right: `{name}`", config.display());
                context.output.result(&Checked { config: &config, name }, text)
            }
        }
    }
}

fn init(context: &Context, role: Role, name: &str, ports: [u16; 3], output: &Path) -> Result<()> {
    if !datapact_core::trust::is_host_name(name) {
        return Err(Failure::usage(
            format!("`{name}` is not a host name in lower case"),
            "give a DNS name",
        ));
    }
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.exists() {
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| Failure::file("make", folder, &e))?;
    }
    let mut file = NewFile::create(output, false, &context.output)?;
    // The keys of other servers are printed when those are initialised. Existing files are kept.
    let data = folder.join("data");
    let key_path = folder.join("server.key");
    if !key_path.exists() {
        PrivateKey::generate().and_then(|key| key.save(&key_path, None)).map_err(key_failure)?;
    }
    let subject =
        Subject::new(name, None).map_err(|e| Failure::usage(e, "give another `--name`"))?;
    let request = PrivateKey::load(&key_path, None)
        .and_then(|key| key.request(&subject))
        .map_err(key_failure)?;
    let request_path = folder.join("server.csr");
    std::fs::write(&request_path, request)
        .map_err(|error| Failure::file("write", &request_path, &error))?;
    let local = |error: &dyn std::fmt::Display| Failure::local(error, "check the data folder");
    let verifier_key = match role {
        Role::Management => {
            Some(Keys::open(&data, &ledger_id(name)).map_err(|e| local(&e))?.log_vkey().to_string())
        }
        Role::Key => {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&data)
                .map_err(|error| Failure::file("make", &data, &error))?;
            Some(witness_key(&data, name).map_err(|e| local(&e))?.public().to_string())
        }
        Role::Storage => None,
        Role::Witness => Some(witness::make(context, &data, name)?),
    };
    let text = sample(role, name, ports);
    file.write_all(text.as_bytes()).map_err(|error| Failure::file("write", output, &error))?;
    file.keep()?;
    let mut lines = vec![
        ("configuration", output.display().to_string()),
        ("private key", key_path.display().to_string()),
        (
            "request",
            format!(
                "{} (your CA: `datapact ca issue ... --server {name}`)",
                request_path.display()
            ),
        ),
    ];
    if let Some(key) = &verifier_key {
        let of = if role == Role::Management { "log key" } else { "witness key" };
        lines.push((of, key.clone()));
    }
    let made =
        Initialised { config: output, private_key: key_path, request: request_path, verifier_key };
    context.output.result(&made, fields(&lines))
}

/// The id of the ledger of the management called `name`.
fn ledger_id(name: &str) -> String {
    format!("{name}/ledger")
}

pub(super) fn config_failure(error: ConfigError) -> Failure {
    match error {
        ConfigError::Read(path, error) => Failure::file("read", &path, &error),
        ConfigError::Wrong(..) => Failure::usage(error, "`datapact config init` writes an example"),
    }
}

fn sample(role: Role, name: &str, [port, public_port, operator_port]: [u16; 3]) -> String {
    let ledger = ledger_id(name);
    // Top-level keys, which TOML wants before all tables; and tables.
    let (keys, tables) = match role {
        Role::Witness => return witness::sample(name, public_port),
        Role::Management => (
            r#"# Users who administer accounts from the start, as `realm:subject`. At its start
# the server writes data/administrators.json, the invitation that these users join with.
# One of them signs what users trust; to demand two:
# administrators = { identities = [...], approvals = 2 }
administrators = []

# How long an access token lives, in seconds, 30 to 600.
token_seconds = 300

# How many days a deleted account waits, disabled, until it is erased.
account_retention_days = 30

# How many days after a share has ended, or its package was replaced, the package is deleted.
package_retention_days = 90"#,
            format!(
                r#"# How others reach this server's public listener.
[public]
url = "https://{name}:{public_port}"
# connect = "127.0.0.1:{public_port}"   # where to connect, when the name is not in the DNS

[ledger]
# The log's origin. It is signed into everything that the ledger records, so it never changes.
id = "{ledger}"
# The witness keys that `datapact config init key` and the key servers print.
witnesses = []
# How many witnesses of both kinds must have cosigned before a client accepts a proof; all of them
# if not given.
# quorum = 1

# Further witnesses, which are asked to cosign the log, best another organisation's (`datapact serve
# witness`, or any C2SP tlog-witness).
# [[ledger.independent_witnesses]]
# key = "witness.lab.example+00000000+REPLACE"
# url = "https://witness.lab.example:8080/witness"

# Key servers; the first is the default. `certificate` is the chain that consumers are to expect.
[[key_servers]]
# Audits ask at its public listener for what it has cosigned last.
url = "https://keys.example:8443"
certificate = "keys.pem"
public = {{ url = "https://keys.example:8080" }}

# Storage servers; the first is the default.
[[storage_servers]]
url = "https://storage.example:8443"
certificate = "storage.pem"

# Lets users send publications to webhooks (docs/spec/webhooks.md); none is called without it.
# [webhooks]
# attempts = 10"#
            ),
        ),
        Role::Key => (
            r#"# The ledger's id and log key, as `datapact config init management` prints them.
ledger = "management.example/ledger"
log_key = "management.example/ledger+00000000+REPLACE"

# The key that encrypts all stored keys; made at the first start. Keep a copy apart from the data.
kek = "kek"

# How old the copy of the ledger may be when a key is released, in seconds, 1 to 60.
current_seconds = 5

# How many days after a share has ended, or its key was replaced, the key is destroyed.
key_retention_days = 90

# How many hours a registered key waits for a policy that names it; then it is forgotten.
registration_hours = 24"#,
            r#"[management]
url = "https://management.example:8443"
# The administrators, as `realm:subject`, who may have users erased. Management alone may not: that
# destroys the record of what keys they got.
administrators = []

[management_public]
url = "https://management.example:8080""#
                .to_owned(),
        ),
        Role::Storage => (
            r#"# The largest package, and all that one provider may store, in bytes.
package_bytes_max = 1099511627776
provider_bytes_max = 1099511627776

# How many hours a registered package waits for a policy that names it; then it is deleted.
registration_hours = 24"#,
            r#"[management]
url = "https://management.example:8443"

# S3-compatible storage instead of a folder in `data`. Without `secret_key_file`,
# DATAPACT_S3_SECRET_KEY holds the key.
# [objects]
# bucket = "packages"
# endpoint = "https://s3.example"
# region = "us-east-1"
# access_key_id = "datapact"
# secret_key_file = "s3.secret""#
                .to_owned(),
        ),
    };
    format!(
        r#"# Datapact {role}. Relative paths are relative to this file. An unknown key is an error.

{keys}

[server]
# The address of this server; its certificate must bear this name.
url = "https://{name}:{port}"
# Where it listens for clients with certificates; port 0 takes a free one. On 127.0.0.1 it is
# reached from this machine only.
listen = "127.0.0.1:{port}"
# Where it listens without client certificates: health, keys, revocation lists, log.
public_listen = "127.0.0.1:{public_port}"
# Everything that this server keeps.
data = "data"

[server.tls]
# Its certificate chain and private key (PEM).
certificate = "server.pem"
private_key = "server.key"
# Which CA certifies whom; `datapact ca trust` writes it. Read again when it changes.
trust = "trust.toml"

# PostgreSQL instead of a database file in `data`. TLS is used unless `host` is this machine or a
# socket's folder. Without `password_file`, DATAPACT_DATABASE_PASSWORD holds the password.
# [server.database]
# host = "/run/postgresql"
# name = "datapact_{table}"
# user = "datapact"
# password_file = "database.password"

# The operator's plain HTTP listener: /healthz, /readyz and /metrics (docs/operations.md).
[server.operator]
listen = "127.0.0.1:{operator_port}"

# Whom it admits: realms, or identities as `realm:subject`. Read again when this file changes.
[server.access]
allow = ["server"]
deny = []

{tables}
"#,
        role = match role {
            Role::Management => "management",
            Role::Key => "key server",
            _ => "storage server",
        },
        table = match role {
            Role::Management => "management",
            Role::Key => "key",
            _ => "storage",
        },
    )
}
