//! The provider: shares data under terms, changes and ends shares (7.3.1; DP-1 to DP-10, WR-1 to
//! WR-7).

mod draft;
mod publish;
mod receipt;
mod upload;

pub(crate) use draft::Draft;
pub(crate) use receipt::{check_receipt, expect_address};

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use datapact_api::management::OwnShare;
use datapact_api::operation::Page;
use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::permission::{AccessPermission, KeyReference, PackageReference};
use datapact_core::policy::desensitization::Desensitization;
use datapact_core::policy::{Price, ShareState, SharingPolicy};
use datapact_core::terms::{Name, Terms};
use serde::Serialize;

use crate::error::{ClientError, Result};
use crate::proof::Proven;
use crate::session::{ProgressSink, Session, retry};

/// How old a witness's newest cosignature may be for an audit, in seconds, if not said otherwise.
pub const WITNESS_SECONDS: u64 = 300;

/// A user who shares.
#[derive(Clone)]
pub struct Provider {
    pub(crate) session: Session,
    /// How old a witness's newest cosignature may be for an audit.
    pub(crate) witness_seconds: u64,
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
    /// Holds the input's desensitization once the input was read to its end; none if it has none.
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
    /// Its position in the ledger.
    pub position: u64,
    /// The package.
    pub package: PackageReference,
    /// The key and its address.
    pub key: KeyReference,
    /// The ledger's proof.
    pub proof: Proven,
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
    /// Its position in the ledger.
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
        Self { session, witness_seconds: WITNESS_SECONDS }
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
        let draft = Draft::first(create, key, package)?;
        self.place(input, draft, desensitization, progress).await
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
            return Err(ClientError::untrusted("management shows another user's policy as yours"));
        }
        let trust = self.session.profile().trust();
        Ok(policy.verify(&trust, self.session.ledger(), policy.document().time)?)
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
