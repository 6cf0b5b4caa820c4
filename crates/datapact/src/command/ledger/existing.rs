//! Datapact on a Fabric network that exists (feature `fabric`): the `ledger.toml` from a connection
//! profile, and the chaincode's package.

use std::path::PathBuf;

use clap::Args;

use crate::context::Context;
use crate::failure::Result;

/// A channel, as its clients know it.
#[derive(Debug, Args)]
pub(super) struct Describe {
    /// The connection profile of your organisation, YAML or JSON
    connection_profile: PathBuf,
    /// The identity that asks: the MSP folder of a member of your organisation, with `signcerts`
    /// and `keystore`
    #[arg(long, value_name = "DIR")]
    msp: PathBuf,
    /// The MSP folder of an admin, if this server is to keep the channel's trust configuration
    #[arg(long, value_name = "DIR")]
    administrator_msp: Option<PathBuf>,
    /// The channel; the profile's only one if not given
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// The chaincode's name on the channel
    #[arg(long, value_name = "NAME", default_value = "datapact")]
    chaincode: String,
    /// Your organisation, by its name in the profile; the profile's client's if not given
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// The client's TLS certificate, PEM, where the network asks for one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The `ledger.toml` to write; must not exist. The nodes' TLS CAs go to a folder beside it
    #[arg(short, long, value_name = "FILE", default_value = "ledger.toml")]
    output: PathBuf,
}

/// How a peer reaches the chaincode.
#[derive(Debug, Args)]
pub(super) struct Package {
    /// Where the chaincode's process listens, as the peer sees it
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// The package's label; another one for each package that is installed on a peer
    #[arg(long, default_value = "datapact_1")]
    label: String,
    /// The CA of the chaincode's TLS certificate, PEM; without it, the peer connects without TLS
    #[arg(long, value_name = "FILE")]
    root_cert: Option<PathBuf>,
    /// The peer's certificate for TLS, PEM, where the chaincode asks for one
    #[arg(long, value_name = "FILE", requires = "client_key", requires = "root_cert")]
    client_cert: Option<PathBuf>,
    /// Its key, PEM; the package holds it
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// The package to write; must not exist
    #[arg(short, long, value_name = "FILE", default_value = "datapact.tgz")]
    output: PathBuf,
}

#[cfg(not(feature = "fabric"))]
pub(super) fn describe(_: &Context, describe: Describe) -> Result<()> {
    let Describe {
        connection_profile: _,
        msp: _,
        administrator_msp: _,
        channel: _,
        chaincode: _,
        organization: _,
        tls_certificate: _,
        tls_key: _,
        output: _,
    } = describe;
    Err(super::fabric::missing())
}

#[cfg(not(feature = "fabric"))]
pub(super) fn package(_: &Context, package: Package) -> Result<()> {
    let Package { address: _, label: _, root_cert: _, client_cert: _, client_key: _, output: _ } =
        package;
    Err(super::fabric::missing())
}

#[cfg(feature = "fabric")]
pub(super) use with_fabric::{describe, package};

#[cfg(feature = "fabric")]
mod with_fabric {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::Path;

    use datapact_fabric::gateway::config::{Consensus, TlsConfig};
    use datapact_fabric::gateway::profile::{Options, Profile};
    use datapact_fabric::package::{Connection, ConnectionTls, Package as Packed};
    use datapact_log::clock::system_clock;
    use serde::Serialize;

    use super::*;
    use crate::failure::Failure;
    use crate::files;
    use crate::output::fields;

    /// The longest certificate or key file, in bytes.
    const PEM_BYTES_MAX: u64 = 1 << 20;

    #[derive(Serialize)]
    struct Described<'a> {
        ledger: &'a Path,
        channel: &'a str,
        consensus: Consensus,
        peers: Vec<&'a str>,
        orderers: Vec<&'a str>,
    }

    #[derive(Serialize)]
    struct Packaged<'a> {
        package: &'a Path,
        package_id: &'a str,
    }

    pub(in super::super) fn describe(context: &Context, describe: Describe) -> Result<()> {
        let Describe {
            connection_profile,
            msp,
            administrator_msp,
            channel,
            chaincode,
            organization,
            output,
            ..
        } = describe;
        not_there(&output)?;
        let tls = describe.tls_certificate.zip(describe.tls_key);
        let tls = tls.map(|(certificate_file, key_file)| TlsConfig { certificate_file, key_file });
        let options = Options { channel, organization, chaincode, msp, administrator_msp, tls };
        let failed = |error| {
            super::super::channel::failed(error, "correct the connection profile or the options")
        };
        let config = context.block_on(async {
            let profile = Profile::load(&connection_profile).map_err(failed)?;
            profile.describe(&options, system_clock(), &output).await.map_err(failed)
        })?;
        let addresses = |nodes: &'_ [datapact_fabric::gateway::config::NodeConfig]| {
            nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>()
        };
        let (peers, orderers) = (addresses(&config.peers), addresses(&config.orderers));
        let consensus = match config.consensus {
            Consensus::Raft => "raft",
            Consensus::Bft => "bft",
        };
        let text = fields(&[
            ("ledger", output.display().to_string()),
            ("channel", config.channel.clone()),
            ("peers", peers.join("\n")),
            ("orderers", format!("{consensus}\n{}", orderers.join("\n"))),
            ("look at it", format!("datapact ledger info --chain {}", output.display())),
        ]);
        let described = Described {
            ledger: &output,
            channel: &config.channel,
            consensus: config.consensus,
            peers: peers.iter().map(String::as_str).collect(),
            orderers: orderers.iter().map(String::as_str).collect(),
        };
        context.output.result(&described, text)
    }

    pub(in super::super) fn package(context: &Context, package: Package) -> Result<()> {
        let Package { address, label, root_cert, client_cert, client_key, output } = package;
        not_there(&output)?;
        let read = |path: PathBuf| {
            let bytes = files::read_small(&path, PEM_BYTES_MAX)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| {
                Failure::usage(format!("`{}` is not PEM", path.display()), "name a PEM file")
            })
        };
        let client = match client_cert.zip(client_key) {
            Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
            None => None,
        };
        let tls =
            root_cert.map(read).transpose()?.map(|root_cert| ConnectionTls { root_cert, client });
        let packed = Packed::new(&label, &Connection { address, tls })
            .map_err(|error| Failure::usage(error.detail, error.hint))?;
        // It may hold a key.
        let mut file = std::fs::File::options();
        file.write(true).create_new(true).mode(0o600);
        file.open(&output)
            .and_then(|mut file| file.write_all(&packed.bytes))
            .map_err(|error| Failure::file("write", &output, &error))?;
        let text =
            fields(&[("package", output.display().to_string()), ("package id", packed.id.clone())]);
        context.output.result(&Packaged { package: &output, package_id: &packed.id }, text)
    }

    fn not_there(output: &Path) -> Result<()> {
        if output.exists() {
            let detail = format!("`{}` exists", output.display());
            return Err(Failure::usage(detail, "name another file with `--output`"));
        }
        Ok(())
    }
}
