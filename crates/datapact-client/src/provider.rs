//! The provider: shares data under terms, changes and ends shares (7.3.1; DP-1 to DP-10, WR-1 to
//! WR-7).

use std::collections::BTreeMap;
use std::io::{Read, SeekFrom};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::{KeyServer, StoreKey, Withhold};
use datapact_api::management::{OwnShare, PolicyReceipt};
use datapact_api::operation::Page;
use datapact_api::problem::{Kind, Problem};
use datapact_api::storage_server::{
    ByteStream, PackageAddress, PackageStatus, Part, StorageServer,
};
use datapact_core::address::Addressed;
use datapact_core::contract::Call;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::package::{DataKey, SealSpec, Sealed, seal};
use datapact_core::permission::{AccessPermission, KeyReference, PackageReference};
use datapact_core::policy::desensitization::Desensitization;
use datapact_core::policy::{Price, ShareState, SharingInformation, SharingPolicy};
use datapact_core::terms::{Name, Terms};
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::io::AsyncSeekExt as _;
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use crate::error::{ClientError, Result};
use crate::home::new_file;
use crate::proof::{Proven, prove};
use crate::session::{BACKOFF, Progress, ProgressSink, Session, retry};
use crate::work::{Job, Work};

/// Bytes handed to the connection at once.
const UPLOAD_BYTES: usize = 256 * 1024;
/// A package up to this length is uploaded in one request.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long an upload goes on without anything arriving.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause before it does.
const UPLOAD_PAUSE_MAX: Duration = Duration::from_secs(3);

/// A user who shares.
#[derive(Clone)]
pub struct Provider {
    pub(crate) session: Session,
}

/// A share to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateShare {
    /// A name for people.
    pub title: String,
    /// The media type of the plaintext.
    pub media_type: String,
    /// Data categories.
    pub categories: Vec<Name>,
    /// The introduction.
    pub introduction: String,
    /// What the data is meant for.
    pub usage: String,
    /// What it costs.
    pub price: Option<Price>,
    /// Who may access.
    pub terms: Terms,
    /// How often, how long and how.
    pub permission: AccessPermission,
    /// Name or URL of a configured key server; the first if none.
    pub key_server: Option<String>,
    /// Name or URL of a configured storage server; the first if none.
    pub storage_server: Option<String>,
    /// Where the input's desensitization will stand once the input was read to its end; none if it
    /// has none.
    pub desensitization: Option<Arc<OnceLock<Desensitization>>>,
}

/// What changes on a share; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeShare {
    /// A name for people.
    pub title: Option<String>,
    /// Data categories.
    pub categories: Option<Vec<Name>>,
    /// The introduction.
    pub introduction: Option<String>,
    /// What the data is meant for.
    pub usage: Option<String>,
    /// What it costs; `Some(None)` takes the price away.
    pub price: Option<Option<Price>>,
    /// Who may access.
    pub terms: Option<Terms>,
    /// How often, how long and how.
    pub permission: Option<AccessPermission>,
}

/// A policy version that management has set and the ledger holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetShare {
    /// The share.
    pub share: ShareId,
    /// The version.
    pub version: u32,
    /// Whether it gives access.
    pub state: ShareState,
    /// The policy's document id.
    pub policy: Digest,
    /// The contract's address.
    pub contract: String,
    /// Where it stands in the ledger.
    pub position: u64,
    /// The package.
    pub package: PackageReference,
    /// The key and its address.
    pub key: KeyReference,
    /// The ledger's proof; none if no proof could be had now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proven>,
}

/// One of the provider's own shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShareView {
    /// The newest policy.
    #[serde(flatten)]
    pub policy: SharingPolicy,
    /// The newest policy's document id.
    pub id: Digest,
    /// When it was signed, by the provider's clock.
    pub signed: Timestamp,
    /// The contract's address.
    pub contract: String,
    /// Where it stands in the ledger.
    pub position: u64,
    /// How many accesses were granted.
    pub accesses: u64,
}

/// Work of an earlier run that was killed or found no server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FinishedWork {
    /// The share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// What it was: `create`, `set`, `usage`.
    pub work: &'static str,
    /// Whether it is done (or undone) now; if not, it is kept for the next run.
    pub done: bool,
    /// What came of it.
    pub detail: String,
}

impl Provider {
    /// The provider of a session.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Shares everything that `input` yields: seals it, stores key and package, and sets the signed
    /// policy.
    ///
    /// Only ciphertext touches the disk, and only until it is uploaded. Killed at any step, the
    /// next run finishes or undoes it.
    pub async fn create_share(
        &self,
        input: Box<dyn Read + Send>,
        create: CreateShare,
        progress: ProgressSink,
    ) -> Result<SetShare> {
        create.terms.validate().map_err(Problem::malformed)?;
        create.permission.validate().map_err(Problem::malformed)?;
        let session = &self.session;
        session.refresh_revocations().await?;
        let (key_endpoint, key_server) = session.choose_key_server(create.key_server.as_deref())?;
        let (storage_endpoint, storage) =
            session.choose_storage_server(create.storage_server.as_deref())?;
        let key = retry(|| key_server.register_key()).await?;
        expect_address(key_endpoint, &key.id, &key.address)?;
        let package = retry(|| storage.register_package()).await?;
        expect_address(storage_endpoint, &package.id, &package.address)?;
        let desensitization = create.desensitization.clone();
        self.place(input, first_policy(create, key, &package), desensitization, progress).await
    }

    /// Seals `input` under the key and package that `policy` names, both registered just now,
    /// stores them, and sets the policy.
    pub(crate) async fn place(
        &self,
        input: Box<dyn Read + Send>,
        mut policy: SharingPolicy,
        desensitization: Option<Arc<OnceLock<Desensitization>>>,
        progress: ProgressSink,
    ) -> Result<SetShare> {
        policy.validate()?;
        let session = &self.session;
        let share = policy.share;
        let (key, package) = (policy.information.key.clone(), policy.information.package.clone());
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
            let (secret, sealed) = self.seal(input, &work.spool(), &policy, &progress).await?;
            policy.information.package.digest = sealed.metadata.id();
            policy.information.package.size = sealed.size;
            if let Some(done) = desensitization {
                let undone = "the data ended before they were desensitized";
                let done = done.get().ok_or_else(|| ClientError::defect(undone))?;
                policy.information.desensitization = Some(done.clone());
            }
            store_key(&**key_server, &key, share, sealed.metadata.id(), &secret).await?;
            drop(secret);
            upload(storage, &work.spool(), &policy.information.package, &progress).await?;
            work.drop_spool();
            policy.validate()?;
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

    /// Changes terms, permission or information: a successor, signed.
    pub async fn update(&self, share: &ShareId, change: ChangeShare) -> Result<SetShare> {
        self.succeed(share, false, |policy| change.apply(policy)).await
    }

    /// Stops access until [`Provider::resume`]: at the key server at once, then on the ledger.
    /// Success means both.
    pub async fn suspend(&self, share: &ShareId) -> Result<SetShare> {
        self.succeed(share, true, |policy| policy.state = ShareState::Suspended).await
    }

    /// Lets a suspended share give access again.
    pub async fn resume(&self, share: &ShareId) -> Result<SetShare> {
        self.succeed(share, false, |policy| policy.state = ShareState::Active).await
    }

    /// Ends access for good: at the key server at once, then on the ledger. Success means both.
    pub async fn revoke(&self, share: &ShareId) -> Result<SetShare> {
        self.succeed(share, true, |policy| policy.state = ShareState::Revoked).await
    }

    /// The user's own shares, those changed last first.
    pub async fn shares(&self) -> Result<Vec<ShareView>> {
        let mut all: BTreeMap<ShareId, OwnShare> = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = retry(|| self.session.management.shares(Page::after(after))).await?;
            let Some(last) = page.last() else { break };
            if last.event <= after {
                return Err(ClientError::untrusted("management's list of shares is out of order"));
            }
            after = last.event;
            // One that has changed meanwhile comes once more, as it is now.
            all.extend(page.into_iter().map(|own| (own.policy.body().share, own)));
        }
        let mut own: Vec<OwnShare> = all.into_values().collect();
        own.sort_unstable_by_key(|own| std::cmp::Reverse(own.event));
        own.iter().map(|share| self.checked(share)).collect()
    }

    /// One of the user's own shares.
    pub async fn show(&self, share: &ShareId) -> Result<ShareView> {
        self.checked(&self.own(share).await?)
    }

    pub(crate) async fn own(&self, share: &ShareId) -> Result<OwnShare> {
        match retry(|| self.session.management.share(share)).await {
            Ok(own) if own.policy.body().share == *share => Ok(own),
            Ok(_) => Err(ClientError::untrusted("management shows another share than asked for")),
            Err(error) if error.kind() == Kind::NotFound => {
                let detail = format!("you have no share `{share}`");
                Err(ClientError::not_found(detail, "`datapact share list` shows your shares"))
            }
            Err(error) => Err(error),
        }
    }

    /// What management says about a share, if the policy is this user's own and the receipt fits
    /// it.
    pub(crate) fn checked(&self, own: &OwnShare) -> Result<ShareView> {
        let document = own.policy.document();
        self.is_mine(&own.policy)?;
        check_receipt(&own.policy, &own.receipt)?;
        Ok(ShareView {
            policy: document.body.clone(),
            id: own.policy.id(),
            signed: document.time,
            contract: own.receipt.contract.clone(),
            position: own.receipt.position,
            accesses: own.accesses,
        })
    }

    pub(crate) fn is_mine(&self, policy: &Signed<SharingPolicy>) -> Result<()> {
        if policy.signer() != self.session.profile().identity() {
            return Err(ClientError::untrusted("management shows somebody else's policy as yours"));
        }
        let trust = self.session.profile().trust();
        Ok(policy.verify(&trust, self.session.ledger(), policy.document().time)?)
    }

    async fn seal(
        &self,
        mut input: Box<dyn Read + Send>,
        spool: &Path,
        policy: &SharingPolicy,
        progress: &ProgressSink,
    ) -> Result<(DataKey, Sealed)> {
        let information = &policy.information;
        let spec = SealSpec {
            package: information.package.id,
            key: information.key.id,
            management: self.session.profile().enrolment().management.url.clone(),
            share: Some(policy.share),
            media_type: information.media_type.clone(),
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

    async fn succeed(
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
                    "the signed policy is kept: the next `datapact share` command hands it in"
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
        // Without a proof now, the audit will tell; a wrong proof is refused at once.
        let proof = match prove(session, receipt.position, &call).await {
            Ok(proof) => Some(proof),
            Err(error) if error.kind() == Kind::Untrusted => return Err(error),
            Err(_) => None,
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

impl ChangeShare {
    /// Makes the changes.
    pub(crate) fn apply(self, policy: &mut SharingPolicy) {
        let information = &mut policy.information;
        set(&mut information.title, self.title);
        set(&mut information.categories, self.categories);
        set(&mut information.introduction, self.introduction);
        set(&mut information.usage, self.usage);
        set(&mut information.price, self.price);
        set(&mut policy.terms, self.terms);
        set(&mut policy.permission, self.permission);
    }
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

/// What cannot be deleted for good (it never was stored, or is gone) needs no deleting.
fn unless_temporary(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_temporary() => Err(error),
        _ => Ok(()),
    }
}

fn first_policy(create: CreateShare, key: KeyReference, package: &PackageAddress) -> SharingPolicy {
    SharingPolicy {
        share: ShareId::random(),
        version: 1,
        previous: None,
        state: ShareState::Active,
        information: SharingInformation {
            // Digest and size are known once it is sealed.
            package: PackageReference {
                id: package.id,
                address: package.address.clone(),
                digest: Digest([0; 32]),
                size: 1,
            },
            key,
            title: create.title,
            media_type: create.media_type,
            categories: create.categories,
            introduction: create.introduction,
            usage: create.usage,
            price: create.price,
            // Known once all is read.
            desensitization: None,
        },
        terms: create.terms,
        permission: create.permission,
    }
}

/// A server gives out addresses on itself only.
pub(crate) fn expect_address(server: &Endpoint, id: &impl Addressed, address: &str) -> Result<()> {
    if address == id.address_at(&server.url) {
        return Ok(());
    }
    Err(ClientError::untrusted(format!("`{}` gave `{address}` as its own address", server.url)))
}

/// The call that stands on the ledger, if `receipt` is about `policy` and opens its commitments;
/// none where it leaves out named users, who must have been erased.
pub(crate) fn check_receipt(
    policy: &Signed<SharingPolicy>,
    receipt: &PolicyReceipt,
) -> Result<Option<Call>> {
    let body = policy.body();
    if (receipt.share, receipt.version, receipt.policy) != (body.share, body.version, policy.id()) {
        return Err(ClientError::untrusted("management's receipt is for another policy"));
    }
    let named = &body.terms.users;
    if receipt.users.len() < named.len() {
        let known = receipt.users.iter().all(|user| named.contains(&user.identity));
        if known && receipt.owner.identity == *policy.signer() {
            return Ok(None);
        }
        return Err(ClientError::untrusted(
            "management's receipt opens somebody else's commitments",
        ));
    }
    let call = Call::of_policy(policy, &receipt.owner, &receipt.users);
    call.map(Some).map_err(|e| {
        ClientError::untrusted(format!("management's receipt does not fit the policy: {e}"))
    })
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

async fn upload(
    storage: &Arc<dyn StorageServer>,
    spool: &Path,
    package: &PackageReference,
    progress: &ProgressSink,
) -> Result<()> {
    let total = package.size;
    let from = |offset: u64| async move {
        let mut file =
            tokio::fs::File::open(spool).await.map_err(|e| ClientError::file(spool, e))?;
        file.seek(SeekFrom::Start(offset)).await.map_err(|e| ClientError::file(spool, e))?;
        let progress = Arc::clone(progress);
        let mut done = offset;
        let bytes = ReaderStream::with_capacity(file, UPLOAD_BYTES).inspect(move |chunk| {
            done += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            progress(Progress::Uploading { done, total });
        });
        Ok::<_, ClientError>(bytes.boxed())
    };
    let status = if total <= WHOLE_BYTES_MAX {
        retry(|| async {
            let bytes = from(0).await?;
            storage.upload(&package.id, total, bytes).await.map_err(ClientError::from)
        })
        .await?
    } else {
        upload_in_parts(storage, package, from).await?
    };
    if status.stored && status.reference().as_ref() == Some(package) {
        Ok(())
    } else {
        Err(ClientError::untrusted("the storage server stored another package than uploaded"))
    }
}

/// Uploads what the server has not got yet, and goes on after every cut for as long as something
/// arrives.
async fn upload_in_parts<F: Future<Output = Result<ByteStream>>>(
    storage: &Arc<dyn StorageServer>,
    package: &PackageReference,
    from: impl Fn(u64) -> F,
) -> Result<PackageStatus> {
    let (mut arrived, mut since, mut failed) = (0, Instant::now(), 0);
    loop {
        let part = async {
            let at = storage.upload_offset(&package.id).await?;
            if at.offset > arrived {
                (arrived, since, failed) = (at.offset, Instant::now(), 0);
            }
            if at.stored {
                return storage.package_status(&package.id).await.map_err(ClientError::from);
            }
            let bytes = from(at.offset).await?;
            let part = Part { offset: at.offset, size: package.size };
            storage.append(&package.id, &part, bytes).await.map_err(ClientError::from)
        };
        match part.await {
            Err(error) if error.is_temporary() && since.elapsed() < UPLOAD_PATIENCE => {
                failed += 1;
                tokio::time::sleep(UPLOAD_PAUSE_MAX.min(BACKOFF * failed)).await;
            }
            outcome => return outcome,
        }
    }
}
