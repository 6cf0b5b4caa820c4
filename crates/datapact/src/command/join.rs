//! `join`: enrolment by an invitation (PR-10, US-1, US-4).

use std::path::PathBuf;

use clap::Args;
use datapact_client::invitation::Invitation;
use datapact_client::join;
use datapact_client::subject::Subject;
use datapact_core::id::Digest;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Target};
use crate::output::{fields, plain};

/// The longest certificate chain file, in bytes.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;

const AFTER_HELP: &str = "\
Joining takes two steps, since only you hold your private key and only your CA certifies you:
  1. datapact join bob.invite --subject 'CN=Bob,O=Lab' --profile lab
     makes a private key and a certificate request; send the request to the operator of your CA
  2. datapact join --certificate bob.pem --profile lab
     takes the certificate that came back, and binds your account to it

The CA's operator runs: datapact ca issue --ca DIR bob.csr -o bob.pem";

/// Take an invitation: make a private key here, and join with your CA's certificate
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
#[command(group = clap::ArgGroup::new("step").required(true).args(["invitation", "certificate"]))]
pub(crate) struct Join {
    /// The invitation file, for the first step
    #[arg(value_name = "INVITATION", requires = "subject")]
    invitation: Option<PathBuf>,
    /// Your name in the certificate, such as `CN=Bob,O=Lab`
    #[arg(long, conflicts_with = "certificate")]
    subject: Option<String>,
    /// Protect the private key by a passphrase
    #[arg(long, conflicts_with = "certificate")]
    encrypt: bool,
    /// The certificate of your CA (PEM), for the second step
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The fingerprint that the enrolment must have, as an administrator told you over another
    /// channel
    #[arg(long, value_name = "DIGEST", conflicts_with = "certificate")]
    fingerprint: Option<Digest>,
    /// Where to copy the certificate request to, or `-` for standard output
    #[arg(long, short, value_name = "FILE", conflicts_with = "certificate")]
    output: Option<PathBuf>,
}

impl Join {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let name = match &context.global.profile {
            Some(name) => name.clone(),
            None => default_name(&home)?,
        };
        let key = home.profile_folder(&name)?.join("key.pem");
        match (&self.invitation, &self.certificate) {
            (Some(path), _) => {
                let invitation = Invitation::read(path, self.fingerprint.as_ref())?;
                // A first step that is repeated goes on with the key that is there, and with its
                // passphrase.
                let passphrase = match (key.exists(), self.encrypt) {
                    (true, _) => context.passphrase_of(&key)?,
                    (false, true) => Some(context.new_passphrase()?),
                    (false, false) => None,
                };
                let passphrase = passphrase.as_ref().map(|p| p.as_str());
                let subject: Subject =
                    self.subject.as_deref().unwrap_or_default().parse().map_err(|e| {
                        Failure::usage(e, "give your name as the certificate is to have it")
                    })?;
                // Opened first: if it cannot be written, no key is made.
                let copy =
                    self.output.as_deref().map(|path| Target::create(path, false, &context.output));
                let copy = copy.transpose()?;
                let prepared = join::prepare(&home, &name, &invitation, &subject, passphrase)?;
                let request = self.output.as_ref().unwrap_or(&prepared.request);
                let text = format!(
                    "{}\nthe certificate request for profile `{name}` is in {}\n\
                     send it to the operator of your CA ({}), \
                     then run `datapact join --profile {name} --certificate FILE`",
                    trusted(&prepared),
                    files::shown(request),
                    prepared.realms.join(" or "),
                );
                match copy {
                    Some(copy) => copy.write(
                        prepared.request_pem.as_bytes(),
                        &context.output,
                        &prepared,
                        text,
                    ),
                    None => context.output.result(&prepared, text),
                }
            }
            (None, Some(path)) => {
                let certificate = files::read_small(path, CERTIFICATE_BYTES_MAX)?;
                let passphrase = context.passphrase_of(&key)?;
                let passphrase = passphrase.as_ref().map(|p| p.as_str());
                let joined = context.block_on(async {
                    Ok(join::join(&home, &name, &certificate, passphrase).await?)
                })?;
                let head = fields(&[
                    ("profile", joined.profile.clone()),
                    ("current", if joined.current { "yes" } else { "no" }.to_owned()),
                ]);
                let text = format!("{head}{}", super::account::text(&joined.account));
                context.output.result(&joined, text)
            }
            (None, None) => Err(Failure::usage(
                "give an invitation or a certificate",
                "see `datapact join --help`",
            )),
        }
    }
}

/// What the profile trusts from now on, and who vouches for it.
fn trusted(prepared: &join::Prepared) -> String {
    let by = match &prepared.inviter {
        Some(inviter) => format!("invited by {inviter}"),
        None => "written by management; no one invites you".to_owned(),
    };
    let lines = prepared.trusted.iter().map(|change| format!("  {}\n", plain(&change.to_string())));
    format!(
        "what you will trust ({}):\n{}fingerprint: {}\ncompare it with an administrator over \
         another channel before you go on\n",
        plain(&by),
        lines.collect::<String>(),
        prepared.fingerprint
    )
}

/// `default`, as long as no other profile could be meant.
fn default_name(home: &datapact_client::Home) -> Result<String> {
    let names = home.profiles()?;
    match names.as_slice() {
        [] => Ok("default".to_owned()),
        [only] => Ok(only.clone()),
        _ => Err(Failure::usage(
            "there are several profiles",
            "name the one that joins with `--profile`",
        )),
    }
}
