//! Opening a share (7.3.2; UW-1 to UW-6): every step is checked against what the provider signed
//! and what the ledger holds, before the next one.

mod access;
mod package;

pub(crate) use package::blocking;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use datapact_api::problem::{Kind, Problem};
use datapact_api::trace::traced;
use datapact_core::contract::{Refusal, RequestedPermission};
use datapact_core::document::{ANYBODY, AccessRequest, PackageMetadata, UsageAction, UsageReport};
use datapact_core::id::{Digest, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::package::{Expected, PackageError};
use datapact_core::policy::SharingPolicy;
use datapact_core::terms::Name;
use serde::Serialize;

use crate::consumer::{Consumer, Offer, hand_in_report};
use crate::error::{ClientError, Result};
use crate::home::NewFile;
use crate::proof::Proven;
use crate::remote::Source;
use crate::session::ProgressSink;
use crate::work::{Job, Work};
use package::{Reader, present};

/// What is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A share; the package comes from its storage server.
    Share(ShareId),
    /// A package that was forwarded; access is asked for all the same (PR-9).
    Package(PathBuf),
}

/// How it is to be opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// What the data is wanted for.
    pub purpose: Option<Name>,
    /// Where to keep the package, which is ciphertext.
    pub keep_package: Option<PathBuf>,
}

/// Where the plaintext goes.
pub enum Output {
    /// Presented, not kept: a pipe or a terminal.
    Stream(Box<dyn Write + Send>),
    /// A new file; only on a share that is not read-only.
    Export(PathBuf),
}

/// Asked once the provider's signature is verified and before an access is spent: an error stops
/// the opening.
pub type Confirm<'a> = &'a (dyn Fn(&Offer) -> Result<()> + Send + Sync);

/// What was opened, and what shows that it was rightly so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// The share.
    pub share: ShareId,
    /// Whose it is.
    pub provider: Identity,
    /// What was permitted.
    pub permission: RequestedPermission,
    /// The access request's document id.
    pub request: Digest,
    /// Whether this repeated an access request of an earlier run that had not come to its end.
    pub repeated: bool,
    /// The contract's address.
    pub contract: String,
    /// The ledger's proof of the access record.
    pub proof: Proven,
    /// The key server's statement of the release: its document id.
    pub release: Digest,
    /// The media type of the plaintext.
    pub media_type: String,
    /// The plaintext's length in bytes.
    pub size: u64,
    /// Whether the usage is on the ledger already; if not, the next run reports it.
    pub usage_reported: bool,
    /// Where the plaintext was exported to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<PathBuf>,
    /// Where the package was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<PathBuf>,
}

/// Where the plaintext goes, made ready before an access is spent.
enum Sink {
    Stream(Box<dyn Write + Send>),
    File(NewFile),
}

impl Consumer {
    /// Opens `target` into `output`.
    ///
    /// The order: the provider's policy is verified and shown to `confirm`; the access request is
    /// signed, written down and sent; the grant must be just what policy and record say; the key is
    /// released to a key pair made for it while the ledger's proof is checked; the package's
    /// metadata must be the policy's; then every group is verified before its plaintext goes out. A
    /// run that is killed or finds no server costs no second access: the next one repeats the
    /// request. All calls to servers are of one trace ([`datapact_api::trace`]).
    ///
    /// # Errors
    /// `Refused` with the contract's rule; `Untrusted` when anything is not what it must be.
    pub async fn open(
        &self,
        target: &Target,
        options: &OpenOptions,
        confirm: Confirm<'_>,
        output: Output,
        progress: ProgressSink,
    ) -> Result<Opened> {
        traced(self.open_traced(target, options, confirm, output, progress)).await
    }

    async fn open_traced(
        &self,
        target: &Target,
        options: &OpenOptions,
        confirm: Confirm<'_>,
        output: Output,
        progress: ProgressSink,
    ) -> Result<Opened> {
        self.session.refresh_revocations().await?;
        let (share, forwarded) = match target {
            Target::Share(share) => (*share, None),
            Target::Package(path) => self.forwarded(path)?,
        };
        let purpose = options.purpose.as_ref();
        let (offer, policy) = self.offer(&share, purpose).await?;
        let pending = match &policy {
            Some(policy) => self.pending(policy, purpose)?,
            None => None,
        };
        let policy = match (&offer.refusal, policy) {
            // A request that may be on the ledger already needs no second judgement.
            (Some(refusal), _) if pending.is_none() => return Err(refused(refusal.clone())),
            (_, Some(policy)) => policy,
            (_, None) => {
                return Err(ClientError::untrusted(
                    "management does not show the provider's policy",
                ));
            }
        };
        if let Some(reader) = &forwarded {
            self.is_of_policy(reader.metadata(), &policy)?;
        }
        // Before an access is spent: what it leads to is on configured servers, and there is room
        // for it.
        let information = &policy.body().information;
        self.session.key_server_of(&information.key.address)?;
        self.session.storage_server_of(&information.package.address)?;
        let (sink, exported) = self.sink(output, &policy)?;
        let kept = options.keep_package.as_deref().map(new_output).transpose()?;
        confirm(&offer)?;

        let access = self.access(&policy, purpose, pending).await?;
        let (key, proof, (reader, kept)) = tokio::try_join!(
            self.key(&access),
            self.prove(&access),
            self.package(&information.package, forwarded, kept, &progress),
        )?;
        let (key, release) = key;
        self.is_of_policy(reader.metadata(), &policy)?;
        let (metadata, signer) = (reader.metadata().body().clone(), policy.signer().clone());
        let expected = Expected {
            metadata: Some(information.package.digest),
            provider: Some(signer),
            provider_key: None,
        };
        let package = blocking(move || Ok(reader.unlock(&key, &expected)?)).await?;

        let action = if exported.is_some() { UsageAction::Exported } else { UsageAction::Opened };
        let (presented, reported) =
            tokio::join!(present(package, sink, progress), self.report(&access.request, action));
        let usage_reported = self.report(&access.request, UsageAction::Closed).await? && reported?;
        if !matches!(&presented, Err(error) if may_repeat(error)) {
            access.work.finish()?;
        }
        presented?;
        if let Some(kept) = kept {
            kept.keep(false)?;
        }
        Ok(Opened {
            share,
            provider: policy.signer().clone(),
            permission: access.grant.permission,
            request: access.request.id(),
            repeated: access.repeated,
            contract: access.grant.contract,
            proof,
            release,
            media_type: metadata.media_type,
            size: metadata.size,
            usage_reported,
            exported,
            package: options.keep_package.clone(),
        })
    }

    /// Share and reader of a forwarded package. Its management is contacted only if it is the
    /// profile's.
    fn forwarded(&self, path: &Path) -> Result<(ShareId, Option<Reader>)> {
        let file = File::open(path).map_err(|e| ClientError::file(path, e))?;
        let reader = Reader::open(Source::File(file))?;
        let metadata = reader.metadata().body();
        let ours = &self.session.profile().enrolment().management.url;
        match metadata.share {
            Some(share) if metadata.management == *ours => Ok((share, Some(reader))),
            Some(_) => Err(ClientError::usage(
                format!(
                    "the package belongs to the management `{}`",
                    metadata.management.escape_debug()
                ),
                format!(
                    "this profile's is `{ours}`; it was not contacted; use a profile that has \
                     joined the other"
                ),
            )),
            None => Err(ClientError::usage(
                "the package belongs to no share",
                "`datapact unwrap` opens it with its key file",
            )),
        }
    }

    /// The metadata is what the provider's policy names, and the provider's own.
    fn is_of_policy(
        &self,
        metadata: &Signed<PackageMetadata>,
        policy: &Signed<SharingPolicy>,
    ) -> Result<()> {
        let (body, information) = (metadata.body(), &policy.body().information);
        if metadata.signer() != policy.signer() {
            return Err(PackageError::WrongProvider {
                found: Box::new(metadata.signer().clone()),
                found_key: metadata.key_digest(),
            }
            .into());
        }
        if metadata.id() != information.package.digest {
            let (expected, found) = (information.package.digest, metadata.id());
            return Err(PackageError::Unexpected { expected, found }.into());
        }
        metadata.verify(&self.session.profile().trust(), ANYBODY, metadata.document().time)?;
        let same = body.share == Some(policy.body().share)
            && (body.package, body.key) == (information.package.id, information.key.id)
            && body.media_type == information.media_type;
        if same {
            Ok(())
        } else {
            Err(ClientError::untrusted("the package says something else than the policy"))
        }
    }

    fn sink(
        &self,
        output: Output,
        policy: &Signed<SharingPolicy>,
    ) -> Result<(Sink, Option<PathBuf>)> {
        match output {
            Output::Stream(stream) => Ok((Sink::Stream(stream), None)),
            Output::Export(_) if policy.body().permission.read_only => Err(ClientError::Problem(
                Problem::new(
                    Kind::Refused,
                    "the permission is read-only: the data may not be exported to a file",
                )
                .hint("open it without `--export`, or ask the provider to allow edits"),
            )),
            Output::Export(path) => Ok((Sink::File(new_output(&path)?), Some(path))),
        }
    }

    /// Reports usage; written down first, so that a lost connection does not lose it. Whether it is
    /// on the ledger.
    async fn report(&self, request: &Signed<AccessRequest>, action: UsageAction) -> Result<bool> {
        let session = &self.session;
        let body = UsageReport { share: request.body().share, request: request.id(), action };
        let report = session.profile().signer().sign(session.ledger(), session.now(), body);
        let work = Work::begin(&session.state()?)?;
        work.save(&Job::Usage { report: report.clone() })?;
        match hand_in_report(session, &report).await {
            Ok(_) => work.finish().map(|()| true),
            Err(error) if error.is_temporary() => Ok(false),
            Err(_) => work.finish().map(|()| false),
        }
    }
}

fn refused(refusal: Refusal) -> ClientError {
    ClientError::Problem(
        Problem::from(refusal)
            .hint("no access was spent; `datapact catalog show` says more about the share"),
    )
}

/// Whether an opening that failed with `error` may be tried again under the same access: nothing
/// came out of it that the user could not get again anyway, and the access is not to be lost.
fn may_repeat(error: &ClientError) -> bool {
    !matches!(error, ClientError::Package(PackageError::Write(_)))
}

fn new_output(path: &Path) -> Result<NewFile> {
    if path.exists() {
        return Err(ClientError::usage(
            format!("`{}` is there already", path.display()),
            "choose another name",
        ));
    }
    NewFile::create(path)
}
