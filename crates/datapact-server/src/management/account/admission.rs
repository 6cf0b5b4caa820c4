//! Who a caller is to management, and what its role lets it do (MG-2).

use std::sync::Arc;

use datapact_api::gate::Caller;
use datapact_api::management::{Account, Role};
use datapact_api::problem::Problem;
use datapact_core::identity::Identity;
use datapact_store::Reader;

use super::table::find;
use crate::management::failure::Result;
use crate::management::peers::Peers;

const JOIN_HINT: &str = "ask an administrator for an invitation and `join` with it";

/// Admits callers by their accounts, and servers by the configuration.
pub(crate) struct Admission {
    accounts: Reader,
    peers: Arc<Peers>,
}

impl Admission {
    pub(crate) fn new(accounts: Reader, peers: Arc<Peers>) -> Self {
        Self { accounts, peers }
    }

    /// The caller's account, if it is active.
    pub(crate) async fn account(&self, caller: &Caller) -> Result<Account> {
        let identity = caller.require_user()?.clone();
        self.accounts.read(move |db| active(find(db, &identity)?, &identity)).await
    }

    /// The caller's account, if it may share (SH-4).
    pub(crate) async fn provider(&self, caller: &Caller) -> Result<Account> {
        permitted(self.account(caller).await?, Role::may_share, "share data")
    }

    /// The caller's account, if it is an administrator's.
    pub(crate) async fn administrator(&self, caller: &Caller) -> Result<Account> {
        let may = |role| role == Role::Administrator;
        permitted(self.account(caller).await?, may, "manage accounts")
    }

    /// Refuses a caller that is neither a user with an active account nor a configured server.
    pub(crate) async fn user_or_server(&self, caller: &Caller) -> Result<()> {
        if caller.identity().is_server() {
            return self.own_server(caller).map(drop);
        }
        self.account(caller).await.map(drop)
    }

    /// The name of the configured key or storage server that calls.
    pub(crate) fn own_server(&self, caller: &Caller) -> Result<&str> {
        let keys = self.peers.key_servers().iter().map(|server| &server.name);
        let storage = self.peers.storage_servers().iter().map(|server| &server.name);
        let name = keys.chain(storage).find(|name| *caller.identity() == Identity::server(name));
        let refused = || Problem::forbidden("only this management's own servers may call this");
        name.map(String::as_str).ok_or_else(|| refused().into())
    }

    /// Refuses a caller that is not a configured key server.
    pub(crate) fn own_key_server(&self, caller: &Caller) -> Result<()> {
        let mut names = self.peers.key_servers().iter().map(|server| &server.name);
        if names.any(|name| *caller.identity() == Identity::server(name)) {
            return Ok(());
        }
        Err(Problem::forbidden("only this management's key servers cosign its log").into())
    }
}

/// The account that was found for `identity`, if it may access (AX-2).
pub(crate) fn consumer(found: Option<Account>, identity: &Identity) -> Result<Account> {
    permitted(active(found, identity)?, Role::may_access, "access data")
}

fn active(found: Option<Account>, identity: &Identity) -> Result<Account> {
    match found {
        None => {
            let problem = Problem::forbidden(format!("`{identity}` has no account here"));
            Err(problem.hint(JOIN_HINT).into())
        }
        Some(account) if !account.active => Err(crate::users::disabled().into()),
        Some(account) => Ok(account),
    }
}

fn permitted(account: Account, may: impl FnOnce(Role) -> bool, what: &str) -> Result<Account> {
    if may(account.role) {
        return Ok(account);
    }
    let problem = Problem::forbidden(format!("your account's role does not let you {what}"));
    Err(problem.hint("ask an administrator").into())
}
