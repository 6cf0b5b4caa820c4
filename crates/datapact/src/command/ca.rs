//! `ca`: a small CA for a realm's users, or for servers. Any other CA works the same.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use datapact_api::problem::{Kind as ProblemKind, Problem};
use datapact_client::ca::{Ca as Authority, CaError, Kind};
use datapact_client::key_file::KeyFileError;
use datapact_core::identity::Identity;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, NewFile, Target};
use crate::output::fields;

/// The longest certificate or request file, in bytes.
const PEM_BYTES_MAX: u64 = 256 * 1024;

const AFTER_HELP: &str = "\
The CA's private key stays in its folder; no server ever holds it.

Examples:
  datapact ca init clinic-ca --name 'Clinic CA' --crl-url https://m.example:8444/crl/clinic
  datapact ca issue --ca clinic-ca alice.csr -o alice.pem
  datapact ca issue --ca server-ca server.csr --server keys.clinic.example -o server.pem
  datapact ca renew clinic-ca
  datapact ca revoke --ca clinic-ca alice.pem
  datapact ca crl --ca clinic-ca -o clinic.crl
  datapact ca trust trust.toml --realm clinic --ca clinic-ca/ca.pem --crl clinic.crl";

/// Certify users and servers by a small CA of your own
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Ca {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a CA in a new folder; others trust its `ca.pem`
    Init {
        /// The folder
        dir: PathBuf,
        /// The CA's name
        #[arg(long)]
        name: String,
        /// How long its certificate is valid
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "3650d",
            value_parser = humantime::parse_duration
        )]
        valid: Duration,
        /// Where its revocation list is published; certificates name it
        #[arg(long, value_name = "URL")]
        crl_url: Option<String>,
        /// Protect the CA's private key by a passphrase
        #[arg(long)]
        encrypt: bool,
    },
    /// Renew the CA's own certificate, with the same name and key; what it has certified stays as
    /// it is
    Renew {
        /// The CA's folder
        dir: PathBuf,
        /// How long the new certificate is valid
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "3650d",
            value_parser = humantime::parse_duration
        )]
        valid: Duration,
        /// Where its revocation list is published from now on
        #[arg(long, value_name = "URL")]
        crl_url: Option<String>,
    },
    /// Certify the key and name in a certificate request, after you have made sure whose it is
    Issue {
        /// The request (PEM)
        request: PathBuf,
        /// The CA's folder
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// A server with these DNS names, the first of which is its identity; a user if not given
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        server: Vec<String>,
        /// How long the certificate is valid
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "365d",
            value_parser = humantime::parse_duration
        )]
        valid: Duration,
        /// Where to write the certificate, or `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Revoke a certificate of this CA; it counts once servers have the next list of `crl`
    #[command(group = clap::ArgGroup::new("which").required(true).args(["certificate", "serial"]))]
    Revoke {
        /// The certificate (PEM)
        certificate: Option<PathBuf>,
        /// Its serial number instead, in hexadecimal
        #[arg(long, value_name = "HEX")]
        serial: Option<String>,
        /// The CA's folder
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
    },
    /// Write a new revocation list; servers read a changed file within seconds
    Crl {
        /// The CA's folder
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// Where to write the list, or `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Add a realm to a trust configuration, or CAs and lists to one that is there
    Trust {
        /// The trust configuration, `trust.toml`; made if there is none
        file: PathBuf,
        /// The organisation that the CA may certify, or `server`
        #[arg(long)]
        realm: String,
        /// A CA's certificates (PEM); may be repeated
        #[arg(long, value_name = "FILE", required = true)]
        ca: Vec<PathBuf>,
        /// A revocation list (PEM); may be repeated
        #[arg(long, value_name = "FILE")]
        crl: Vec<PathBuf>,
    },
}

#[derive(Serialize)]
struct Made<'a> {
    folder: &'a Path,
    certificate: PathBuf,
}

#[derive(Serialize)]
struct Written<'a> {
    file: &'a Path,
}

#[derive(Serialize)]
struct Revoked {
    revoked: bool,
}

#[derive(Serialize)]
struct Trusted<'a> {
    file: &'a Path,
    realm: &'a str,
}

impl Ca {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Init { dir, name, valid, crl_url, encrypt } => {
                let passphrase = if encrypt { Some(context.new_passphrase()?) } else { None };
                let passphrase = passphrase.as_ref().map(|p| p.as_str());
                Authority::init(&dir, &name, valid, passphrase)
                    .and_then(|mut ca| crl_url.iter().try_for_each(|url| ca.publish_crl_at(url)))
                    .map_err(failure)?;
                let made = Made { certificate: dir.join("ca.pem"), folder: &dir };
                let text = fields(&[
                    ("CA", dir.display().to_string()),
                    ("to be trusted", made.certificate.display().to_string()),
                ]);
                context.output.result(&made, text)
            }
            Verb::Renew { dir, valid, crl_url } => {
                let mut ca = open(context, &dir)?;
                crl_url.iter().try_for_each(|url| ca.publish_crl_at(url)).map_err(failure)?;
                ca.renew(valid).map_err(failure)?;
                let made = Made { certificate: dir.join("ca.pem"), folder: &dir };
                let text = format!(
                    "renewed; all who trust it need the new {}",
                    made.certificate.display()
                );
                context.output.result(&made, text)
            }
            Verb::Issue { request, ca, server, valid, output } => {
                let text = read_pem(&request)?;
                let kind =
                    if server.is_empty() { Kind::User } else { Kind::Server { dns_names: server } };
                // Where the certificate cannot be written, none is issued.
                let file = Target::create(&output, false, &context.output)?;
                let certificate =
                    open(context, &ca)?.issue(&text, &kind, valid).map_err(failure)?;
                let text = format!("certificate in {}", files::shown(&output));
                file.write(
                    certificate.as_bytes(),
                    &context.output,
                    &Written { file: &output },
                    text,
                )
            }
            Verb::Revoke { certificate, serial, ca } => {
                context.output.confirm("revoke the certificate for good?")?;
                let authority = open(context, &ca)?;
                match (certificate, serial) {
                    (Some(path), _) => authority.revoke_certificate(&read_pem(&path)?),
                    (None, serial) => authority.revoke(&serial.unwrap_or_default()),
                }
                .map_err(failure)?;
                let text =
                    format!("revoked; now publish `datapact ca crl --ca {} -o FILE`", ca.display());
                context.output.result(&Revoked { revoked: true }, text)
            }
            Verb::Crl { ca, output } => {
                // A list takes the place of the former one; that is what it is for.
                let unasked = crate::output::Output::new(context.output.json(), true);
                let file = Target::create(&output, false, &unasked)?;
                let list = open(context, &ca)?.crl().map_err(failure)?;
                let text = format!("revocation list in {}", files::shown(&output));
                file.write(list.as_bytes(), &context.output, &Written { file: &output }, text)
            }
            Verb::Trust { file, realm, ca, crl } => trust(context, &file, &realm, &ca, &crl),
        }
    }
}

fn read_pem(path: &Path) -> Result<String> {
    let bytes = files::read_small(path, PEM_BYTES_MAX)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        Failure::usage(format!("`{}` is not PEM", path.display()), "give a file in PEM form")
    })
}

fn open(context: &Context, dir: &Path) -> Result<Authority> {
    match Authority::open(dir, None) {
        Err(CaError::Key(KeyFileError::PassphraseNeeded(path))) => {
            let passphrase = context.passphrase_of(&path)?;
            Authority::open(dir, passphrase.as_ref().map(|p| p.as_str())).map_err(failure)
        }
        opened => opened.map_err(failure),
    }
}

fn failure(error: CaError) -> Failure {
    match error {
        CaError::File { path, source } => Failure::file("use", &path, &source),
        CaError::Key(error) => crate::failure::key_failure(error),
        CaError::Exists(_) => Failure::local(error, "name another folder"),
        CaError::Damaged { .. } => Failure::local(error, "restore the CA's folder from a backup"),
        CaError::Request(_) => Failure::usage(error, "ask its sender for another request"),
        CaError::NotIssued(_) => Problem::not_found(error)
            .hint("name the CA that issued it, and the whole serial number")
            .into(),
        CaError::Crypto(_) => Problem::new(ProblemKind::Internal, error).into(),
    }
}

/// Appends a `[[realm]]` to the file, and keeps the result only if it can be read as a whole.
fn trust(
    context: &Context,
    file: &Path,
    realm: &str,
    cas: &[PathBuf],
    crls: &[PathBuf],
) -> Result<()> {
    let name_ok =
        Identity { realm: realm.to_owned(), subject: "CN=x".to_owned() }.validate().is_ok();
    if !name_ok {
        return Err(Failure::usage(
            format!("`{realm}` is not a realm"),
            "a realm has 1 to 64 of a-z, 0-9, `.` and `-`",
        ));
    }
    let failed = |error: std::io::Error| Failure::file("use", file, &error);
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let folder = std::path::absolute(file).map_err(failed)?;
    let folder = folder.parent().unwrap_or(Path::new("/"));
    // Paths in the file are relative to its folder; these are relative to the working directory.
    let paths = |paths: &[PathBuf]| -> Result<String> {
        let quoted = paths
            .iter()
            .map(|path| {
                let path =
                    path.canonicalize().map_err(|error| Failure::file("read", path, &error))?;
                let path = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
                Ok(toml::Value::from(path.display().to_string()).to_string())
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(format!("[{}]", quoted.join(", ")))
    };
    let mut text = before;
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
    text.push_str(&format!("[[realm]]\nname = \"{realm}\"\nca = {}\n", paths(cas)?));
    if !crls.is_empty() {
        text.push_str(&format!("crl = {}\n", paths(crls)?));
    }
    let unasked = crate::output::Output::new(context.output.json(), true);
    let mut new = NewFile::create(file, false, &unasked)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    datapact_api::trust_file::load(new.part()).map_err(|error| {
        Failure::usage(error, "nothing was changed; check the CA's certificates and lists")
    })?;
    new.keep()?;
    let result = Trusted { file, realm };
    context.output.result(&result, format_args!("{} trusts the CA for `{realm}`", file.display()))
}
