//! `identity`: who one is, and the renewal of one's certificate.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_client::key_file::PrivateKey;
use datapact_client::subject::Subject;
use datapact_core::enrolment::Change;
use datapact_core::id::Digest;
use datapact_core::identity::Identity as Id;
use datapact_core::jws::Signer;
use datapact_core::trust;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use std::io::Write as _;

use crate::context::{Context, now};
use crate::failure::{Failure, Result, key_failure};
use crate::files::{self, NewFile, Target};
use crate::output::{self, Output, fields};

/// The longest certificate chain file, in bytes.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;

const AFTER_HELP: &str = "\
An identity is a realm and a certificate's subject: it survives renewal of the certificate and of
the CA.

Examples:
  datapact identity show
  datapact identity refresh
  datapact identity renew -o bob.csr
  datapact ca issue --ca DIR bob.csr -o bob.pem      (the CA's operator)
  datapact identity renew --certificate bob.pem";

/// Show who you are, and renew your certificate
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Identity {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the profile's identity, certificate and servers
    Show,
    /// Fetch what administrators have signed since: the enrolment says which servers, CAs and
    /// ledger you trust. Commands do it by themselves, at most every ten minutes
    Refresh {
        /// The fingerprint that the enrolment must have, as an administrator told you over another
        /// channel
        #[arg(long, value_name = "DIGEST")]
        fingerprint: Option<Digest>,
    },
    /// Write a certificate request for the same name and key, or take the certificate that came
    /// back
    #[command(group = clap::ArgGroup::new("step").required(true).args(["output", "certificate"]))]
    Renew {
        /// Where to write the request, or `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The new certificate (PEM)
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Shown {
    profile: String,
    identity: Id,
    provider_key: Digest,
    certificate_expires: u64,
    management: String,
    ledger: String,
    enrolment: Digest,
    folder: PathBuf,
}

#[derive(Serialize)]
struct Refreshed {
    version: u32,
    fingerprint: Digest,
    signed: bool,
    renewed: bool,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Requested {
    request: PathBuf,
}

#[derive(Serialize)]
struct Renewed {
    identity: Id,
    certificate_expires: u64,
}

impl Identity {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Show => show(context),
            Verb::Refresh { fingerprint } => refresh(context, fingerprint.as_ref()),
            Verb::Renew { output: Some(path), .. } => request(context, &path),
            Verb::Renew { certificate, .. } => renew(context, &certificate.unwrap_or_default()),
        }
    }
}

fn show(context: &Context) -> Result<()> {
    let profile = context.profile()?;
    let leaf = profile.signer().chain().first().cloned();
    let leaf =
        leaf.ok_or_else(|| Failure::usage("the profile has no certificate", "join again"))?;
    let shown = Shown {
        profile: profile.name().to_owned(),
        identity: profile.identity().clone(),
        provider_key: trust::public_key(&leaf).map_err(certificate_failure)?.digest,
        certificate_expires: expires(&leaf)?,
        management: profile.enrolment().management.url.clone(),
        ledger: profile.enrolment().ledger.id.clone(),
        enrolment: profile.enrolment().fingerprint(),
        folder: profile.folder().to_owned(),
    };
    let text = fields(&[
        ("profile", shown.profile.clone()),
        ("identity", shown.identity.to_string()),
        ("key", shown.provider_key.to_string()),
        ("expires", output::time(shown.certificate_expires)),
        ("management", shown.management.clone()),
        ("ledger", shown.ledger.clone()),
        ("enrolment", shown.enrolment.to_string()),
        ("folder", shown.folder.display().to_string()),
    ]);
    context.output.result(&shown, text)
}

fn refresh(context: &Context, pinned: Option<&Digest>) -> Result<()> {
    let refreshed = context.session_refreshed(pinned)?;
    let profile = refreshed.session.profile();
    let enrolment = profile.enrolment();
    let shown = Refreshed {
        version: enrolment.version,
        fingerprint: enrolment.fingerprint(),
        signed: profile.known().history().is_some(),
        renewed: refreshed.renewed,
        changes: refreshed.changes,
    };
    let state = match (shown.signed, shown.renewed) {
        (false, _) => "no administrator has signed it yet",
        (true, true) => "new",
        (true, false) => "the newest",
    };
    let text = fields(&[
        ("enrolment", format!("version {}, {state}", shown.version)),
        ("fingerprint", shown.fingerprint.to_string()),
    ]);
    context.output.result(&shown, text)
}

fn request(context: &Context, path: &std::path::Path) -> Result<()> {
    let profile = context.profile()?;
    let key_path = profile.folder().join("key.pem");
    let passphrase = context.passphrase_of(&key_path)?;
    let key = PrivateKey::load(&key_path, passphrase.as_ref().map(|p| p.as_str()))
        .map_err(key_failure)?;
    let subject: Subject = profile.identity().subject.parse().map_err(|e| {
        Failure::usage(e, "this subject cannot be renewed here; use your CA's own tools")
    })?;
    let text = key.request(&subject).map_err(key_failure)?;
    let file = Target::create(path, false, &context.output)?;
    let told = format!(
        "the certificate request is in {}\nsend it to the operator of your CA, then run \
         `datapact identity renew --certificate FILE`",
        files::shown(path)
    );
    file.write(text.as_bytes(), &context.output, &Requested { request: path.to_owned() }, told)
}

/// Takes a certificate only if it certifies the same identity and key.
fn renew(context: &Context, path: &std::path::Path) -> Result<()> {
    let profile = context.profile()?;
    let pem = files::read_small(path, CERTIFICATE_BYTES_MAX)?;
    let wrong = |detail: &dyn std::fmt::Display| {
        Failure::usage(
            format!("`{}`: {detail}", path.display()),
            "give the certificate that your CA issued for the request of `datapact identity renew`",
        )
    };
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| wrong(&"it is not in PEM form"))?;
    let identity = profile.trust().identify(&chain, now()).map_err(|e| wrong(&e))?;
    if identity != *profile.identity() {
        return Err(wrong(&format_args!(
            "it certifies `{identity}`, not `{}`",
            profile.identity()
        )));
    }
    let key_path = profile.folder().join("key.pem");
    let passphrase = context.passphrase_of(&key_path)?;
    let key = PrivateKey::load(&key_path, passphrase.as_ref().map(|p| p.as_str()))
        .map_err(key_failure)?;
    let signer =
        Signer::new(key.pkcs8(), chain.clone(), identity.clone()).map_err(|e| wrong(&e))?;
    let leaf = signer.chain().first().ok_or_else(|| wrong(&"it is empty"))?;
    let certificate_expires = expires(leaf)?;
    let target = profile.folder().join("certificate.pem");
    let unasked = Output::new(context.output.json(), true);
    let mut file = NewFile::create(&target, true, &unasked)?;
    file.write_all(&pem).map_err(|error| Failure::file("write", &target, &error))?;
    file.keep()?;
    let text = format!("renewed until {}", output::time(certificate_expires));
    context.output.result(&Renewed { identity, certificate_expires }, text)
}

/// The last moment of a certificate.
fn expires(certificate: &CertificateDer<'_>) -> Result<u64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| Failure::usage("the certificate cannot be read", "renew it"))?;
    Ok(u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0))
}

fn certificate_failure(error: trust::TrustError) -> Failure {
    Failure::usage(error, "renew the certificate")
}
