//! From data and terms to a policy on the ledger: sealing, storing, setting, and undoing what was
//! left half done.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use datapact_api::key_server::{KeyServer, StoreKey, Withhold};
use datapact_api::management::OwnShare;
use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{Digest, ShareId};
use datapact_core::jws::Signed;
use datapact_core::package::{DataKey, SealSpec, Sealed, seal};
use datapact_core::permission::KeyReference;
use datapact_core::policy::desensitization::Desensitization;
use datapact_core::policy::{ShareState, SharingPolicy};
use zeroize::Zeroizing;

use super::draft::Draft;
use super::receipt::check_receipt;
use super::upload::upload;
use super::{Provider, SetShare};
use crate::error::{ClientError, Result};
use crate::home::new_file;
use crate::proof::prove;
use crate::session::{Progress, ProgressSink, retry};
use crate::work::{Job, Work};

impl Provider {
    /// Seals `input` under the key and package that `draft` names, both registered just now,
    /// stores them, and sets the policy.
    pub(crate) async fn place(
        &self,
        input: Box<dyn Read + Send>,
        draft: Draft,
        desensitization: Option<Arc<OnceLock<Desensitization>>>,
        progress: ProgressSink,
    ) -> Result<SetShare> {
        let session = &self.session;
        let (share, key, package) = (draft.share(), draft.key().clone(), draft.package());
        let (_, key_server) = session.key_server_of(&key.address)?;
        let (_, storage) = session.storage_server_of(&package.address)?;
        let job = |policy| Job::Create {
            share,
            key: key.clone(),
            package: package.id,
            package_address: package.address.clone(),
            policy,
        };
        let work = Work::begin(&session.state()?)?;
        work.save(&job(None))?;

        let stored = async {
            let (secret, sealed) = self.seal(input, &work.spool(), &draft, &progress).await?;
            let desensitization = match desensitization {
                Some(done) => {
                    let undone = "the data ended before they were desensitized";
                    Some(done.get().ok_or_else(|| ClientError::defect(undone))?.clone())
                }
                None => None,
            };
            let policy = draft.finish(&sealed, desensitization)?;
            store_key(&**key_server, &key, share, sealed.metadata.id(), &secret).await?;
            drop(secret);
            upload(storage, &work.spool(), &policy.information.package, &progress).await?;
            work.drop_spool();
            Ok(session.profile().signer().sign(session.ledger(), session.now(), policy))
        };
        let signed = match stored.await {
            Ok(signed) => signed,
            Err(error) => {
                // Nothing names key and package yet. If deleting them fails now, the next run does
                // it.
                let _ = self.undo(work, share).await;
                return Err(error);
            }
        };
        work.save(&job(Some(signed.clone())))?;
        self.set(work, &signed, false).await
    }

    async fn seal(
        &self,
        mut input: Box<dyn Read + Send>,
        spool: &Path,
        draft: &Draft,
        progress: &ProgressSink,
    ) -> Result<(DataKey, Sealed)> {
        let spec = SealSpec {
            package: draft.package().id,
            key: draft.key().id,
            management: self.session.profile().enrolment().management.url.clone(),
            share: Some(draft.share()),
            media_type: draft.media_type().to_owned(),
        };
        let mut output = new_file(spool).map_err(|e| ClientError::file(spool, e))?;
        let (signer, now) = (Arc::clone(self.session.profile().signer()), self.session.now());
        let (spool, progress) = (spool.to_owned(), Arc::clone(progress));
        let sealing = move || {
            let key = DataKey::random();
            let mut tell = |done| progress(Progress::Sealing { done });
            let sealed = seal(&mut input, &mut output, &key, &spec, &signer, now, &mut tell)?;
            output.sync_all().map_err(|e| ClientError::file(&spool, e))?;
            Ok((key, sealed))
        };
        tokio::task::spawn_blocking(sealing).await.map_err(ClientError::defect)?
    }

    pub(super) async fn succeed(
        &self,
        share: &ShareId,
        withhold: bool,
        change: impl FnOnce(&mut SharingPolicy),
    ) -> Result<SetShare> {
        let own = self.own(share).await?;
        let mut policy = self.next_version(&own)?;
        change(&mut policy);
        policy.validate()?;
        let session = &self.session;
        let signed = session.profile().signer().sign(session.ledger(), session.now(), policy);
        let work = Work::begin(&session.state()?)?;
        work.save(&Job::Successor { policy: signed.clone(), withhold })?;
        self.set(work, &signed, withhold).await
    }

    /// The next version of a share, as its newest one is.
    pub(crate) fn next_version(&self, own: &OwnShare) -> Result<SharingPolicy> {
        let mut policy = self.checked(own)?.policy;
        if policy.state == ShareState::Revoked {
            return Err(Problem::from(datapact_core::contract::Refusal::Revoked).into());
        }
        policy.version = policy.version.checked_add(1).ok_or_else(|| {
            ClientError::usage("the share has no versions left", "make a new share")
        })?;
        policy.previous = Some(own.policy.id());
        Ok(policy)
    }

    /// Hands a signed policy in. What fails for the moment is kept for the next run.
    pub(crate) async fn set(
        &self,
        work: Work,
        policy: &Signed<SharingPolicy>,
        withhold: bool,
    ) -> Result<SetShare> {
        match self.hand_in(policy, withhold).await {
            Ok(set) => {
                work.finish()?;
                Ok(set)
            }
            Err(error) if error.is_temporary() => Err(ClientError::Problem(Problem {
                hint: Some(
                    "the signed policy is kept: the next `datapact share` command finishes it"
                        .to_owned(),
                ),
                ..error.to_problem()
            })),
            Err(error) => {
                let _ = match work.job() {
                    Ok(Some(Job::Create { .. })) => {
                        self.undo(work, policy.body().share).await.map(drop)
                    }
                    _ => work.finish(),
                };
                Err(error)
            }
        }
    }

    async fn hand_in(&self, policy: &Signed<SharingPolicy>, withhold: bool) -> Result<SetShare> {
        let session = &self.session;
        let body = policy.body();
        // A key server that cannot be reached now reads the ledger before it releases anything, so
        // the ledger must have it all the same.
        let mut unconfirmed = None;
        if withhold {
            let (_, key_server) = session.key_server_of(&body.information.key.address)?;
            let withheld = Withhold { policy: policy.clone() };
            match retry(|| key_server.withhold(&withheld)).await {
                Err(error) if error.is_temporary() => unconfirmed = Some(error),
                outcome => outcome?,
            }
        }
        let receipt = retry(|| session.management.set_policy(policy)).await?;
        let call = check_receipt(policy, &receipt)?;
        let call =
            call.ok_or_else(|| ClientError::untrusted("management's receipt lacks openings"))?;
        if let Some(error) = unconfirmed {
            return Err(error);
        }
        // Whatever management says instead of a proof: without one, the policy is not known to be
        // on the ledger, and the work is not done.
        let proof = match prove(session, receipt.position, &call).await {
            Ok(proof) => proof,
            Err(error) if error.kind() == Kind::Untrusted => return Err(error),
            Err(error) => {
                let detail = format!("the ledger's proof of the policy is not there yet: {error}");
                return Err(Problem::new(Kind::Unavailable, detail).into());
            }
        };
        Ok(SetShare {
            share: body.share,
            version: body.version,
            state: body.state,
            policy: policy.id(),
            contract: receipt.contract,
            position: receipt.position,
            package: body.information.package.clone(),
            key: body.information.key.clone(),
            proof,
        })
    }

    /// Deletes key and package of a share that was not made; leaves them if it was made after all.
    pub(crate) async fn undo(&self, work: Work, share: ShareId) -> Result<&'static str> {
        let Some(Job::Create { key, package, package_address, .. }) = work.job()? else {
            work.finish()?;
            return Ok("there was nothing to undo");
        };
        match self.own(&share).await {
            Ok(own) if own.policy.body().information.key.id == key.id => {
                work.finish()?;
                return Ok("the share was made after all");
            }
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            _ => {}
        }
        let (_, key_server) = self.session.key_server_of(&key.address)?;
        unless_temporary(retry(|| key_server.delete_key(&key.id)).await)?;
        let (_, storage) = self.session.storage_server_of(&package_address)?;
        unless_temporary(retry(|| storage.delete_package(&package)).await)?;
        work.finish()?;
        Ok("the share was not made; its key and package are deleted")
    }
}

/// What cannot be deleted for good (it never was stored, or is gone) needs no deleting.
fn unless_temporary(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_temporary() => Err(error),
        _ => Ok(()),
    }
}

async fn store_key(
    server: &dyn KeyServer,
    key: &KeyReference,
    share: ShareId,
    package: Digest,
    secret: &DataKey,
) -> Result<()> {
    let stored = StoreKey { key: Zeroizing::new(hex::encode(secret.as_bytes())), share, package };
    let status = retry(|| server.store_key(&key.id, &stored)).await?;
    let same = status.key == *key
        && status.stored
        && (status.share, status.package) == (Some(share), Some(package));
    if same {
        Ok(())
    } else {
        Err(ClientError::untrusted("the key server stored another key than asked"))
    }
}
