//! `enrolment`: what all users of a management trust, as administrators sign it (US-4, PR-10).

use clap::{Args, Subcommand};
use datapact_api::management::EnrolmentProgress;
use datapact_client::admin::Draft;
use datapact_client::{Administrator, Session};
use datapact_core::enrolment::{Change, Enrolment as Body};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{self, fields, plain};

const AFTER_HELP: &str = "\
Management's configuration drafts the enrolment; it counts once as many administrators have signed
it as the version before demands. Users fetch it, verify it, and are told what has changed.

Examples:
  datapact enrolment sign
  datapact enrolment sign --fingerprint 3f1c... --yes
  datapact enrolment show";

/// Sign which servers, CAs and ledger users trust (administrators), or show what you trust
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Enrolment {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the versions that this profile has verified, who signed them, and what each changed
    Show,
    /// Sign what management's configuration says as the next version, once you have seen what it
    /// changes
    Sign {
        /// The fingerprint that it must have, as another administrator told you over another
        /// channel
        #[arg(long, value_name = "DIGEST")]
        fingerprint: Option<Digest>,
    },
    /// Hand management the versions that this profile has verified, after management was restored
    /// from an older backup
    Publish,
}

/// A version, verified.
#[derive(Serialize)]
struct Shown {
    version: u32,
    fingerprint: Digest,
    signatures: Vec<Signature>,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Signature {
    signer: Identity,
    time: Timestamp,
}

#[derive(Serialize)]
struct Published {
    version: u32,
    fingerprint: Digest,
}

/// What came of signing.
#[derive(Serialize)]
struct Signed<'a> {
    #[serde(flatten)]
    progress: &'a EnrolmentProgress,
    changes: &'a [Change],
}

impl Enrolment {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Show => show(context),
            Verb::Sign { fingerprint } => sign(context, fingerprint.as_ref()),
            Verb::Publish => publish(context),
        }
    }
}

fn show(context: &Context) -> Result<()> {
    let profile = context.profile()?;
    let Some(history) = profile.known().history() else {
        let draft = profile.enrolment();
        let shown = Shown {
            version: draft.version,
            fingerprint: draft.fingerprint(),
            signatures: Vec::new(),
            changes: draft.changes_since(None),
        };
        return context.output.result(&shown, text(&shown));
    };
    let mut before: Option<&Body> = None;
    for version in history.versions() {
        let Some(body) = version.body() else { continue };
        let signatures = version.0.iter().map(|signature| Signature {
            signer: signature.signer().clone(),
            time: signature.document().time,
        });
        let shown = Shown {
            version: body.version,
            fingerprint: body.fingerprint(),
            signatures: signatures.collect(),
            changes: body.changes_since(before),
        };
        context.output.result(&shown, text(&shown))?;
        before = Some(body);
    }
    Ok(())
}

fn text(shown: &Shown) -> String {
    let signed = match shown.signatures.as_slice() {
        [] => "by no administrator yet".to_owned(),
        signatures => {
            let line = |signature: &Signature| {
                format!("{} at {}", signature.signer, output::time(signature.time))
            };
            signatures.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    fields(&[
        ("version", shown.version.to_string()),
        ("fingerprint", shown.fingerprint.to_string()),
        ("signed", signed),
        ("changes", lines(&shown.changes)),
    ])
}

fn lines(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Shows what is to be signed before it asks, and signs exactly that.
fn sign(context: &Context, pinned: Option<&Digest>) -> Result<()> {
    let administrator = Administrator::new(context.session_refreshed(None)?.session);
    let draft = context.block_on(async { Ok(administrator.draft().await?) })?;
    let fingerprint = draft.enrolment.fingerprint();
    if !draft.changed {
        let newest = administrator.session().profile().enrolment();
        return Err(Failure::Problem(
            datapact_api::problem::Problem::new(
                datapact_api::problem::Kind::Conflict,
                format!(
                    "version {} of the enrolment says all that management's configuration says",
                    newest.version
                ),
            )
            .hint("there is nothing to sign"),
        ));
    }
    if pinned.is_some_and(|pinned| *pinned != fingerprint) {
        return Err(Failure::untrusted(
            format!("the draft has another fingerprint: {fingerprint}"),
            "nothing was signed; compare with the other administrators what each of you is shown",
        ));
    }
    context.output.note(described(&draft, &fingerprint));
    context.output.confirm(format_args!(
        "sign this as version {} of what all users trust?",
        draft.enrolment.version
    ))?;
    let (progress, _) =
        context.block_on(async { Ok(administrator.sign_enrolment(&draft).await?) })?;
    let state = if progress.published {
        "published: users fetch it by themselves".to_owned()
    } else {
        format!("{} of {} administrators have signed it", progress.signed, progress.threshold)
    };
    let text = fields(&[
        ("version", progress.version.to_string()),
        ("fingerprint", progress.fingerprint.to_string()),
        ("state", state),
    ]);
    context.output.result(&Signed { progress: &progress, changes: &draft.changes }, text)
}

/// Does not look for newer versions first: a management that has lost some is not believed.
fn publish(context: &Context) -> Result<()> {
    let administrator = Administrator::new(Session::connect(context.profile()?)?);
    context.block_on(async { Ok(administrator.publish_enrolment().await?) })?;
    let enrolment = administrator.session().profile().enrolment();
    let published = Published { version: enrolment.version, fingerprint: enrolment.fingerprint() };
    let text = fields(&[
        ("version", published.version.to_string()),
        ("fingerprint", published.fingerprint.to_string()),
        ("state", "published".to_owned()),
    ]);
    context.output.result(&published, text)
}

/// The draft for who is asked to sign it.
fn described(draft: &Draft, fingerprint: &Digest) -> String {
    let head = match draft.enrolment.version {
        1 => "version 1 of the enrolment: what users will trust".to_owned(),
        version => format!("version {version} of the enrolment: what changes"),
    };
    let mut text = format!("{head}\n");
    for change in &draft.changes {
        text.push_str(&format!("  {}\n", plain(&change.to_string())));
    }
    for signer in &draft.signed_by {
        text.push_str(&format!("signed by {}, says management\n", plain(&signer.to_string())));
    }
    text.push_str(&format!("fingerprint: {fingerprint}"));
    text
}
