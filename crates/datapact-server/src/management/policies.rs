//! Policy management (MG-3 to MG-7, SH-4 to SH-9): what a provider signed is verified, its key and
//! package are confirmed, the key server is shown it, and then it goes on the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use datapact_api::key_server::{KeyServer, ShownPolicy};
use datapact_api::management::{OwnShare, PolicyReceipt};
use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::{Call, Documents, Refusal, Value, check, decide, share_key};
use datapact_core::id::{Digest, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};

use super::failure::{Failure, Result};
use super::intents::Submitted;
use super::schema::{Row, number, row, rows, text};
use super::{Remote, Server, Session};

/// How many shares a page holds.
const PAGE: u64 = 200;
/// Of a share and its newest policy, what an [`OwnShare`] is made of.
const OWN: &str = "SELECT p.id, p.position, p.document, s.event, s.accesses FROM share s JOIN policy p ON p.id = s.policy";

/// Policies that were read and verified, for the next who need them. Forgotten when one is erased,
/// and each minute.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<Digest, Signed<SharingPolicy>>>);

/// The most policies that are kept, and the longest, in bytes.
const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 32 * 1024;

impl Kept {
    fn get(&self, id: &Digest) -> Option<Signed<SharingPolicy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn keep(&self, policy: &Signed<SharingPolicy>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        if policy.as_str().len() <= KEPT_BYTES_MAX {
            kept.insert(policy.id(), policy.clone());
        }
    }

    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Session {
    pub(super) async fn publish(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyReceipt> {
        let account = self.sharing_account().await?;
        let (server, provider) = (&self.service, &account.identity);
        if policy.signer() != provider {
            return Err(Problem::forbidden("somebody else has signed the policy").into());
        }
        if let Some(receipt) = server.policy_receipt(&policy.id()).await? {
            return Ok(receipt);
        }
        let now = server.now();
        policy.verify(&(server.trust)(), &server.ledger_id, now)?;
        let body = policy.body();
        body.validate().map_err(Problem::malformed)?;
        let active = body.state == ShareState::Active;
        let key_server = server.key_server(policy);
        if active {
            server.confirm_package(policy).await?;
            confirm_key(key_server.as_ref().map_err(Clone::clone)?, policy).await?;
        }
        server.confirm_owner(policy).await?;

        let mut openings = server.openings(body.share, identities(policy)).await?;
        let owner = openings.remove(0);
        let users = openings;
        let call = Call::of_policy(policy, &owner, &users)?;
        let documents = Documents::Policy {
            policy: policy.clone(),
            owner: owner.clone(),
            users: users.clone(),
        };
        check(&call, &documents, &(server.trust)(), &server.ledger_id, now)?;
        server.precheck(&call, now).await?;
        let shown = ShownPolicy { policy: policy.clone(), owner, users };
        match show(key_server, &shown).await {
            Err(failure) if active => return Err(failure),
            // What stops access must not hang on another server: this one reads it on the ledger.
            Err(failure) => {
                tracing::warn!(share = %body.share, problem = %failure.0, "could not show a policy")
            }
            Ok(()) => {}
        }
        match server.submit(policy.id(), call, documents, None).await? {
            Submitted::Applied(_) => {}
            Submitted::SaltTaken => return Err(Problem::internal("a kept salt was taken").into()),
        }
        let receipt = server.policy_receipt(&policy.id()).await?;
        receipt.ok_or_else(|| Problem::internal("an applied policy is not there").into())
    }

    pub(super) async fn own_shares(&self, after: u64) -> Result<Vec<OwnShare>> {
        let account = self.active_account().await?;
        // In this order a share that changes meanwhile is on a later page once more, and on none
        // too few.
        let sql = format!("{OWN} WHERE s.provider = $1 AND s.event > $2 ORDER BY s.event LIMIT $3");
        let values = [text(&account.identity), number(after), number(PAGE)];
        let found = rows(self.service.store.read(), &sql, values).await?;
        let mut shares = Vec::with_capacity(found.len());
        for row in &found {
            shares.push(self.service.own_share_of(row).await?);
        }
        Ok(shares)
    }

    pub(super) async fn own_share(&self, id: &ShareId) -> Result<OwnShare> {
        let account = self.active_account().await?;
        let sql = format!("{OWN} WHERE s.id = $1 AND s.provider = $2");
        match row(self.service.store.read(), &sql, [text(id), text(&account.identity)]).await? {
            Some(row) => self.service.own_share_of(&row).await,
            None => Err(Problem::not_found(format!("you have no share `{id}`")).into()),
        }
    }
}

impl Server {
    /// What a provider got for the policy `id`, once it is applied.
    async fn policy_receipt(&self, id: &Digest) -> Result<Option<PolicyReceipt>> {
        let sql = "SELECT id, position, document FROM policy WHERE id = $1";
        match row(self.store.read(), sql, [text(id)]).await? {
            Some(row) => Ok(Some(self.receipt_of(&row).await?.0)),
            None => Ok(None),
        }
    }

    /// From a row of [`OWN`].
    async fn own_share_of(&self, row: &Row) -> Result<OwnShare> {
        let (receipt, policy) = self.receipt_of(row).await?;
        Ok(OwnShare { event: row.number(3)?, receipt, policy, accesses: row.number(4)? })
    }

    /// From a row of id, position and document.
    async fn receipt_of(&self, row: &Row) -> Result<(PolicyReceipt, Signed<SharingPolicy>)> {
        let policy: Signed<SharingPolicy> = row.signed(2)?;
        let share = policy.body().share;
        let owner = self.opening(&share, policy.signer()).await?;
        let owner = owner
            .ok_or_else(|| Problem::internal(format!("the share {share} has no owner's salt")))?;
        // Those of erased users are gone; none is drawn anew for what is on the ledger.
        let mut users = Vec::with_capacity(policy.body().terms.users.len());
        for user in &policy.body().terms.users {
            users.extend(self.opening(&share, user).await?);
        }
        let receipt = PolicyReceipt {
            share,
            version: policy.body().version,
            policy: row.parse(0)?,
            contract: self.ledger.address(&share),
            position: row.number(1)?,
            owner,
            users,
        };
        Ok((receipt, policy))
    }

    /// The signed policy `id`.
    pub(super) async fn policy(&self, id: &Digest) -> Result<Option<Signed<SharingPolicy>>> {
        let row =
            row(self.store.read(), "SELECT document FROM policy WHERE id = $1", [text(id)]).await?;
        Ok(row.map(|row| row.signed(0)).transpose()?)
    }

    /// The same for what need not be the very newest: a policy that was erased since may still be
    /// known.
    pub(super) async fn kept_policy(&self, id: &Digest) -> Result<Option<Signed<SharingPolicy>>> {
        if let Some(policy) = self.policies.get(id) {
            return Ok(Some(policy));
        }
        let policy = self.policy(id).await?;
        policy.iter().for_each(|policy| self.policies.keep(policy));
        Ok(policy)
    }

    /// The configured key server that the policy's key is on.
    fn key_server(&self, policy: &Signed<SharingPolicy>) -> Result<&Remote<dyn KeyServer>> {
        let address = &policy.body().information.key.address;
        find(&self.key_servers, address).ok_or_else(|| elsewhere("key", address, &self.key_servers))
    }

    /// Confirms that the package is stored, and is the provider's own (SH-7).
    async fn confirm_package(&self, policy: &Signed<SharingPolicy>) -> Result<()> {
        let wanted = &policy.body().information.package;
        let server = find(&self.storage_servers, &wanted.address)
            .ok_or_else(|| elsewhere("package", &wanted.address, &self.storage_servers))?;
        let status = match server.client.package_status(&wanted.id).await {
            Ok(status) => status,
            Err(problem) if problem.kind == Kind::NotFound => {
                return Err(not_stored("package", &server.name));
            }
            Err(problem) => return Err(of_server(&server.name, problem)),
        };
        if status.provider != *policy.signer() {
            let detail =
                "the package was stored by another provider; only its own provider can share it";
            return Err(Problem::forbidden(detail).into());
        }
        if !status.stored {
            return Err(not_stored("package", &server.name));
        }
        if status.reference().as_ref() != Some(wanted) {
            let detail =
                format!("the package at `{}` has another digest, size or address", server.name);
            let hint = "name in the policy what the storage server answered to the upload";
            return Err(Problem::new(Kind::Conflict, detail).hint(hint).into());
        }
        Ok(())
    }

    /// Refuses somebody else's share before a salt is drawn for it.
    async fn confirm_owner(&self, policy: &Signed<SharingPolicy>) -> Result<()> {
        let sql = "SELECT provider FROM share WHERE id = $1";
        match row(self.store.read(), sql, [text(policy.body().share)]).await? {
            Some(row) if row.parse::<Identity>(0)? != *policy.signer() => {
                Err(Refusal::Owner.into())
            }
            _ => Ok(()),
        }
    }

    /// The contract's judgement before anybody is shown anything; the ledger's own counts.
    async fn precheck(&self, call: &Call, now: u64) -> Result<()> {
        let share: &ShareId = call.share();
        let mut values = BTreeMap::new();
        if let Some(record) = self.ledger.share(share).await? {
            values.insert(share_key(share), Value::Share(record));
        }
        decide(call, &values, now).map(drop).map_err(Failure::from)
    }
}

/// Confirms that the key is stored, for this share and package (SH-7). Whose it is, the key server
/// checks when it is shown the policy.
async fn confirm_key(server: &Remote<dyn KeyServer>, policy: &Signed<SharingPolicy>) -> Result<()> {
    let (body, information) = (policy.body(), &policy.body().information);
    let status = match server.client.key_status(&information.key.id).await {
        Ok(status) => status,
        Err(problem) if problem.kind == Kind::NotFound => {
            return Err(not_stored("key", &server.name));
        }
        Err(problem) => return Err(of_server(&server.name, problem)),
    };
    if !status.stored {
        return Err(not_stored("key", &server.name));
    }
    let conflict = |detail: &str| Failure::from(Problem::new(Kind::Conflict, detail));
    if status.key != information.key {
        return Err(conflict("the key has another address at its key server"));
    }
    if status.share != Some(body.share) {
        return Err(conflict("the key belongs to another share; store a key for this one"));
    }
    if status.package != Some(information.package.digest) {
        return Err(conflict("the key was stored for another package; store a key for this one"));
    }
    Ok(())
}

/// Shows the key server the policy, under which alone it releases the key (SH-7).
async fn show(server: Result<&Remote<dyn KeyServer>>, shown: &ShownPolicy) -> Result<()> {
    let server = server?;
    server.client.show_policy(shown).await.map_err(|problem| of_server(&server.name, problem))
}

/// Whose commitments a policy needs: its provider's, then the named users'.
fn identities(policy: &Signed<SharingPolicy>) -> Vec<Identity> {
    let users = policy.body().terms.users.iter();
    std::iter::once(policy.signer()).chain(users).cloned().collect()
}

/// The configured server that `address` is on.
pub(super) fn find<'a, T: ?Sized>(
    servers: &'a [Remote<T>],
    address: &str,
) -> Option<&'a Remote<T>> {
    servers.iter().find(|server| server.endpoint.serves(address))
}

fn elsewhere<T: ?Sized>(what: &str, address: &str, servers: &[Remote<T>]) -> Failure {
    let known: Vec<_> = servers.iter().map(|server| server.endpoint.url.as_str()).collect();
    let detail = format!("the {what}'s address `{address}` is on no server of this management");
    Problem::malformed(detail).hint(format!("use {}", known.join(" or "))).into()
}

fn not_stored(what: &str, server: &str) -> Failure {
    let detail = format!("the {what} is not stored at `{server}` yet");
    Problem::new(Kind::Conflict, detail).hint("store it there, then send the policy again").into()
}

fn is_away(problem: &Problem) -> bool {
    matches!(
        problem.kind,
        Kind::Unavailable | Kind::Busy | Kind::Untrusted | Kind::Internal | Kind::Unauthenticated
    )
}

/// Another server's problem as the caller's: what the other server refuses the provider is told,
/// what goes wrong between the servers is no fault of the provider.
fn of_server(name: &str, problem: Problem) -> Failure {
    if !is_away(&problem) {
        return problem.into();
    }
    let detail = format!("the server `{name}` cannot be asked: {}", problem.detail);
    Problem::new(Kind::Unavailable, detail).hint("try again later").into()
}
