//! Taking the policies that the key server is shown, and those that withhold (SH-7;
//! `docs/spec/access-token-and-key-release.md`).

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::gate::Source;
use datapact_api::key_server::{ShownPolicies, ShownPolicy, Withhold};
use datapact_api::problem::{self, Kind, Problem};
use datapact_core::address::Addressed as _;
use datapact_core::contract::{Call, CheckError};
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::{Store, Tx};

use super::base::Base;
use super::custody::table::{self as keys, StoredKey};
use super::failure::Result;
use super::policy::table::{self, PolicyRow};
use crate::called::Called;
use crate::config::KeyServerConfig;
use crate::users::Users;

/// How many documents of one version may be shown: only one is recorded, the others were given up.
const SAME_VERSION_MAX: usize = 32;
/// How many policies may withhold a share's keys without having been recorded.
const UNRECORDED_MAX: usize = 32;

/// Takes the policies that providers sign.
pub(super) struct ShownPolicyService {
    store: Store,
    clock: Clock,
    trust: Source<Trust>,
    users: Arc<Users>,
    /// The server's own address.
    url: String,
    /// The ledger's id.
    ledger: String,
}

impl ShownPolicyService {
    pub(super) fn new(base: &Base, config: &KeyServerConfig) -> Self {
        Self {
            store: base.store.clone(),
            clock: Arc::clone(&base.clock),
            trust: Arc::clone(&base.trust),
            users: Arc::clone(&base.users),
            url: config.server.url.clone(),
            ledger: config.ledger.clone(),
        }
    }

    /// Whether management has shown the policy before.
    async fn is_shown(&self, policy: &Signed<SharingPolicy>) -> Result<bool> {
        let (id, share, owner) = (policy.id(), policy.body().share, policy.signer().to_string());
        let rows = self.store.read(move |db| table::policies(db, &share, &owner)).await?;
        Ok(rows.iter().any(|row| row.policy == id && row.call.is_some()))
    }

    /// The row of a policy whose signature, audience and content are good.
    fn verified(&self, policy: &Signed<SharingPolicy>) -> problem::Result<PolicyRow> {
        policy.verify(&(self.trust)(), &self.ledger, (self.clock)()).map_err(Problem::forbidden)?;
        policy.body().validate().map_err(Problem::malformed)?;
        Ok(PolicyRow::new(policy.body(), policy.id(), policy.signer(), policy.document().time))
    }
}

#[async_trait]
impl ShownPolicies for Called<ShownPolicyService> {
    async fn show_policy(&self, shown: &ShownPolicy) -> problem::Result<()> {
        self.users.require_management(&self.caller)?;
        let policy = &shown.policy;
        if self.is_shown(policy).await? {
            return Ok(());
        }
        let row = self.verified(policy)?;
        let call = match Call::of_policy(policy, &shown.owner, &shown.users) {
            Ok(Call::SetPolicy(set)) => set,
            Ok(_) => return Err(Problem::malformed(CheckError::Kind)),
            Err(error) => return Err(Problem::malformed(error)),
        };
        let row = PolicyRow { call: Some(call), ..row };
        let reference = &policy.body().information.key;
        if reference.address != reference.id.address_at(&self.url) {
            let detail =
                format!("the policy's key is at `{}`, not at this key server", reference.address);
            return Err(Problem::malformed(detail));
        }
        Ok(self.store.write(move |tx| put_shown(tx, &row)).await?)
    }

    async fn withhold(&self, withheld: &Withhold) -> problem::Result<()> {
        let provider = self.users.user(&self.caller).await?;
        let policy = &withheld.policy;
        if policy.signer() != provider {
            return Err(Problem::forbidden("only the provider who signed the policy may bring it"));
        }
        if policy.body().state == ShareState::Active {
            let detail = "the policy is active; only one that suspends or revokes withholds";
            return Err(Problem::malformed(detail));
        }
        let row = PolicyRow { withheld: true, ..self.verified(policy)? };
        let put = self.store.write(move |tx| {
            if !keys::owns_key(tx, &row.owner, &row.share)? {
                let detail = format!("you keep no key of the share `{}` here", row.share);
                return Err(Problem::not_found(detail).into());
            }
            put_withheld(tx, &row)
        });
        Ok(put.await?)
    }
}

/// Writes a policy that withholds. How it fits the versions before it is not checked: withholding
/// at once matters more.
fn put_withheld(tx: &Tx, row: &PolicyRow) -> Result<()> {
    let rows = table::policies(tx, &row.share, &row.owner)?;
    let withheld = || rows.iter().filter(|other| other.withheld);
    // A revocation withholds for good; nothing can be added to it.
    if withheld().any(|other| other.state == ShareState::Revoked) {
        return Ok(());
    }
    let unrecorded = withheld().filter(|other| other.call.is_none() && other.policy != row.policy);
    let unrecorded: Vec<_> = unrecorded.collect();
    // The oldest version is the first, and the one that a later version has lifted.
    if unrecorded.len() >= UNRECORDED_MAX
        && let Some(oldest) = unrecorded.first()
    {
        table::delete(tx, &oldest.policy)?;
    }
    Ok(table::put(tx, row)?)
}

/// Writes a policy that was shown, if its key is stored and it continues the versions before it.
fn put_shown(tx: &Tx, row: &PolicyRow) -> Result<()> {
    let conflict = |detail: String| Problem::new(Kind::Conflict, detail);
    let entry = keys::key(tx, &row.data.key)?.filter(|entry| entry.owner == row.owner);
    let Some(StoredKey { share, package, .. }) = entry.and_then(|entry| entry.stored) else {
        let detail = format!("the policy's signer has stored no key `{}` here", row.data.key);
        return Err(conflict(detail).hint("store the key first").into());
    };
    if share != row.share {
        let detail = format!("the key `{}` belongs to another share", row.data.key);
        return Err(conflict(detail).hint("each share has keys of its own").into());
    }
    if package != row.data.digest {
        return Err(conflict(format!("the key `{}` opens another package", row.data.key)).into());
    }
    succeeds(row, &table::policies(tx, &row.share, &row.owner)?)?;
    Ok(table::put(tx, row)?)
}

/// Whether `row` continues the versions that were shown before.
fn succeeds(row: &PolicyRow, others: &[PolicyRow]) -> problem::Result<()> {
    let same = others
        .iter()
        .filter(|other| other.version == row.version && other.policy != row.policy)
        .count();
    if same >= SAME_VERSION_MAX {
        let detail = format!("too many documents of version {} were shown", row.version);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let previous = row.call.as_ref().and_then(|call| call.previous);
    let earlier = || others.iter().filter(|other| other.version < row.version);
    // A share whose earlier versions named keys elsewhere begins here with a later one.
    if earlier().next().is_some()
        && !earlier()
            .any(|other| Some(other.policy) == previous && other.version + 1 == row.version)
    {
        let detail =
            format!("version {} does not follow a version that was shown here", row.version);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok(())
}
