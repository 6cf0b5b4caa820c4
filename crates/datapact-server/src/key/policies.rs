//! The policies that the key server was shown, and those that withhold (SH-7; design "Key
//! release").

use datapact_api::key_server::ShownPolicy;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_core::address::Addressed as _;
use datapact_core::contract::{Call, CheckError, Refusal, SetPolicy, ShareRecord};
use datapact_core::id::{KeyId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};

use super::KeyService;
use super::tables::{self, PolicyRow};

/// How many documents of one version may be shown: only one is recorded, the others were given up.
const SAME_VERSION_MAX: usize = 32;

impl KeyService {
    pub(super) async fn show(&self, shown: &ShownPolicy) -> Result<()> {
        let policy = &shown.policy;
        let signer = policy.signer();
        if tables::policies(self.store.read(), &policy.body().share, &signer.to_string())
            .await?
            .iter()
            .any(|row| row.policy == policy.id() && row.call.is_some())
        {
            return Ok(());
        }
        let row = self.verified(policy)?;
        let call = match Call::of_policy(policy, &shown.owner, &shown.users) {
            Ok(Call::SetPolicy(set)) => set,
            Ok(_) => return Err(Problem::malformed(CheckError::Kind)),
            Err(error) => return Err(Problem::malformed(error)),
        };
        let row = PolicyRow { call: Some(call), ..row };
        let reference = policy.body().information.key.clone();
        if reference.address != reference.id.address_at(&self.url) {
            let detail =
                format!("the policy's key is at `{}`, not at this key server", reference.address);
            return Err(Problem::malformed(detail));
        }
        self.write(move |tx| {
            Box::pin(async move {
                let entry =
                    tables::key(tx, &row.key).await?.filter(|entry| entry.owner == row.owner);
                let refused = |detail: String| Problem::new(Kind::Conflict, detail);
                let Some(stored) = entry.and_then(|entry| entry.stored) else {
                    let detail =
                        format!("the policy's signer has stored no key `{}` here", row.key);
                    return Err(refused(detail).hint("store the key first").into());
                };
                if stored.share != row.share {
                    let detail = format!("the key `{}` belongs to another share", row.key);
                    return Err(refused(detail).hint("each share has keys of its own").into());
                }
                if stored.package != row.package {
                    return Err(
                        refused(format!("the key `{}` opens another package", row.key)).into()
                    );
                }
                let known = tables::policies(tx, &row.share, &row.owner).await?;
                succeeds(&row, &known)?;
                tables::put_policy(tx, &row).await
            })
        })
        .await
    }

    pub(super) async fn withhold(
        &self,
        provider: &Identity,
        policy: &Signed<SharingPolicy>,
    ) -> Result<()> {
        if policy.signer() != provider {
            return Err(Problem::forbidden("only the provider who signed the policy may bring it"));
        }
        if policy.body().state == ShareState::Active {
            return Err(Problem::malformed(
                "the policy is active; only one that suspends or revokes withholds",
            ));
        }
        let row = PolicyRow { withheld: true, ..self.verified(policy)? };
        self.write(move |tx| {
            Box::pin(async move {
                if !tables::owns_key(tx, &row.owner, &row.share).await? {
                    let detail = format!("you keep no key of the share `{}` here", row.share);
                    return Err(Problem::not_found(detail).into());
                }
                // Nothing else is asked: withholding at once matters more than how it fits what is
                // there.
                tables::put_policy(tx, &row).await
            })
        })
        .await
    }

    /// The row of a policy whose signature, audience and content are good.
    fn verified(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyRow> {
        policy.verify(&(self.trust)(), &self.ledger, (self.clock)()).map_err(Problem::forbidden)?;
        policy.body().validate().map_err(Problem::malformed)?;
        Ok(PolicyRow::new(policy.body(), policy.id(), policy.signer(), policy.document().time))
    }
}

/// Whether `row` continues the versions that were shown before.
fn succeeds(row: &PolicyRow, known: &[PolicyRow]) -> Result<()> {
    let same = known
        .iter()
        .filter(|other| other.version == row.version && other.policy != row.policy)
        .count();
    if same >= SAME_VERSION_MAX {
        let detail = format!("too many documents of version {} were shown", row.version);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let previous = row.call.as_ref().and_then(|call| call.previous);
    let earlier = || known.iter().filter(|other| other.version < row.version);
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

/// What the ledger says, in the key server's own copy.
#[derive(Debug, Clone)]
pub(super) struct OnLedger {
    /// The share's newest policy.
    pub(super) newest: ShareRecord,
    /// The policy that stood when the access was recorded.
    pub(super) of_record: SetPolicy,
}

/// Whether the provider's own policies, of which `rows` are all that this server knows, let `key`
/// go at `now`: the ledger must say what the provider signed, both now and when it recorded the
/// access, and nothing that the provider has signed may speak against it.
pub(super) fn standing(
    rows: &[PolicyRow],
    on_ledger: &OnLedger,
    key: &KeyId,
    now: Timestamp,
) -> Result<PolicyRow> {
    let newest = &on_ledger.newest.policy;
    let of_record =
        signed_as_recorded(rows, &on_ledger.of_record, "the access was recorded under a policy")?;
    let newest_row =
        signed_as_recorded(rows, newest, "the share's newest policy on the ledger is one")?;
    if of_record.key != *key {
        return Err(Problem::forbidden("the policy of the access names another key"));
    }
    gives_access(newest_row, now)?;
    for row in rows.iter().filter(|row| row.version > newest.version) {
        gives_access(row, now)?;
    }
    for row in rows.iter().filter(|row| row.withheld) {
        let lifted = row.state != ShareState::Revoked
            && newest_row.version > row.version
            && newest_row.signed >= row.signed;
        if !lifted {
            gives_access(row, now)?;
        }
    }
    Ok(of_record.clone())
}

fn signed_as_recorded<'a>(
    rows: &'a [PolicyRow],
    call: &SetPolicy,
    which: &str,
) -> Result<&'a PolicyRow> {
    let shown = rows.iter().find(|row| row.policy == call.policy && row.call.is_some());
    let row = shown.ok_or_else(|| {
        Problem::forbidden(format!(
            "{which} that was not shown to the key server as the provider's"
        ))
    })?;
    if row.call.as_ref() == Some(call) {
        Ok(row)
    } else {
        Err(Problem::forbidden(format!(
            "{which} that says something else than the provider signed"
        )))
    }
}

fn gives_access(row: &PolicyRow, now: Timestamp) -> Result<()> {
    match row.state {
        ShareState::Suspended => Err(Refusal::Suspended.into()),
        ShareState::Revoked => Err(Refusal::Revoked.into()),
        ShareState::Active if now >= row.expires => {
            Err(Refusal::Expired { expires: row.expires }.into())
        }
        ShareState::Active => Ok(()),
    }
}
