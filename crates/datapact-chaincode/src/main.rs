//! The chaincode, as a service.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use datapact_chaincode::contract::{Contract, SetUp};
use datapact_chaincode::shim::{ServerTls, serve};
use datapact_log::clock::system_clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The longest key or certificate file, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Datapact's contract as a Hyperledger Fabric chaincode: a service to which each endorsing peer
/// connects.
///
/// Start it once for each organisation, where the package's `connection.json` says that it is,
/// before the first transaction. It keeps nothing: it may be killed and started again at any time,
/// and several may run behind one address.
#[derive(Parser)]
#[command(name = "datapact-chaincode", version, after_long_help = GUIDE)]
struct Arguments {
    /// Where to listen, for instance `127.0.0.1:7060`; port 0 takes a free one, which is printed
    #[arg(long, env = "CHAINCODE_SERVER_ADDRESS", value_name = "IP:PORT")]
    address: SocketAddr,

    /// The package id that `peer lifecycle chaincode install` printed: `LABEL:DIGEST`
    #[arg(long, env = "CHAINCODE_ID", value_name = "PACKAGE_ID")]
    package_id: String,

    /// The ledger's id that your organisation has agreed to: without it, its peers endorse no
    /// `set-up`
    #[arg(
        long,
        env = "DATAPACT_LEDGER",
        value_name = "ID",
        requires = "submitter",
        requires = "administrator"
    )]
    ledger: Option<String>,

    /// The chaincode's name on the channel
    #[arg(long, env = "DATAPACT_CHAINCODE", value_name = "NAME", default_value = "datapact")]
    chaincode: String,

    /// The MSP id of management's organisation: only its members' calls count
    #[arg(long, env = "DATAPACT_SUBMITTER", value_name = "MSP", requires = "ledger")]
    submitter: Option<String>,

    /// The MSP id of an organisation whose admins may replace the trust configuration; several are
    /// possible
    #[arg(
        long,
        env = "DATAPACT_ADMINISTRATORS",
        value_name = "MSP",
        value_delimiter = ',',
        requires = "ledger"
    )]
    administrator: Vec<String>,

    /// Serve without TLS although other machines can connect
    #[arg(
        long,
        env = "CHAINCODE_TLS_DISABLED",
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true",
        value_name = "true|false"
    )]
    tls_disabled: bool,

    /// The private key for TLS, PEM
    #[arg(long, env = "CHAINCODE_TLS_KEY_FILE", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// The certificate for TLS with those above it, PEM
    #[arg(long, env = "CHAINCODE_TLS_CERT_FILE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The CA of the peers' client certificates, PEM: without one of these, nothing may connect
    #[arg(long, env = "CHAINCODE_CLIENT_CA_CERT_FILE", value_name = "FILE", requires = "tls_key")]
    client_ca: Option<PathBuf>,
}

const GUIDE: &str = "\
Example, for organisation 1 of a consortium: organisation 1 runs management, organisation 2 keeps
the trust configuration:

  datapact-chaincode --address 127.0.0.1:7060 --package-id datapact_1:4c1f... \\
    --ledger consortium.example/ledger-1 --submitter Org1MSP --administrator Org2MSP

Then, once on the channel, by an admin of organisation 2 (see `docs/spec/fabric.md`):

  peer chaincode invoke ... -n datapact -c '{\"Args\":[\"set-up\",\"{...}\"]}'

SIGTERM or SIGINT ends it at once; the peers connect again when it is back. RUST_LOG=debug says
more.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime does not start: {error}")),
    };
    let ended = runtime.block_on(run(arguments));
    runtime.shutdown_background();
    ended.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &str) -> ExitCode {
    eprintln!("datapact-chaincode: {error}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let Arguments { address, package_id, tls_disabled, .. } = &arguments;
    let tls = server_tls(&arguments)?;
    if tls.is_none() && !tls_disabled && !address.ip().is_loopback() {
        return Err(format!(
            "other machines can connect to `{address}`, and no TLS is configured: give `--tls-key` \
             and `--tls-certificate`, or `--tls-disabled` if only the peer is on that network"
        ));
    }
    let agreed = arguments.ledger.clone().map(|ledger| SetUp {
        administrators: arguments.administrator.iter().cloned().collect::<BTreeSet<_>>(),
        chaincode: arguments.chaincode.clone(),
        ledger,
        submitter: arguments.submitter.clone().unwrap_or_default(),
    });
    if let Some(agreed) = &agreed {
        agreed.validate()?;
    }
    // The handlers are there before the address is printed: who starts this program may end it from
    // then on.
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| format!("cannot listen on `{address}`: {e}"))?;
    let listening = listener.local_addr().map_err(|error| error.to_string())?;
    let (stop, stopping) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(true);
    });
    println!("listening on {listening}");
    let contract = Arc::new(Contract::new(agreed, system_clock()));
    serve(listener, tls, package_id.clone(), contract, stopping).await.map_err(|error| {
        let source = std::error::Error::source(&error)
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        format!("cannot serve: {error}{source}")
    })
}

fn server_tls(arguments: &Arguments) -> Result<Option<ServerTls>, String> {
    let (Some(key), Some(certificate)) = (&arguments.tls_key, &arguments.tls_certificate) else {
        return Ok(None);
    };
    if arguments.tls_disabled {
        return Ok(None);
    }
    // Before any TLS: more than one provider may be compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client_ca = arguments.client_ca.as_deref().map(read).transpose()?;
    Ok(Some(ServerTls { key: read(key)?, certificate: read(certificate)?, client_ca }))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("cannot read `{}`: {error}", path.display());
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > PEM_BYTES_MAX {
        return Err(format!("`{}` is longer than {PEM_BYTES_MAX} bytes", path.display()));
    }
    std::fs::read(path).map_err(failed)
}
