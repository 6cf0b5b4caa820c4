//! Invitations: an administrator promises an account to the user who brings a code (PR-10).

use datapact_api::management::{Account, Deed, NewInvitation, Role};
use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::Attributes;
use datapact_core::id::{AccountId, Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Tx, json, number, text};

use super::action::{Author, record};
use super::table;
use crate::management::failure::{Failure, Result};
use crate::management::salt;

/// How many invitations may be open at once.
const INVITATIONS_MAX: u64 = 10_000;
/// How many accounts there may be.
const ACCOUNTS_MAX: u64 = 1_000_000;

/// An invitation to be added.
pub(super) struct Promise {
    /// The digest of the code.
    pub(super) code: Digest,
    pub(super) invited: NewInvitation,
    pub(super) now: Timestamp,
    pub(super) author: Author,
}

impl Promise {
    /// Adds the invitation. If its code is there already with the same promise, nothing changes.
    /// Returns when the invitation expires.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the code is there with another promise: the caller has used one
    /// idempotency key for both.
    pub(super) fn add(self, tx: &Tx) -> Result<Timestamp> {
        let Self { code, invited, now, author } = self;
        let sql = "DELETE FROM invitation WHERE account IS NULL AND expires <= $1";
        tx.run(sql, [number(now)])?;
        let sql = "SELECT realm, role, attributes, expires FROM invitation WHERE code = $1";
        if let Some(row) = tx.row(sql, [text(code)])? {
            let same = row.text(0)? == invited.realm
                && row.json::<Role>(1)? == invited.role
                && row.json::<Attributes>(2)? == invited.attributes;
            if !same {
                let detail = "this idempotency key was used for another invitation";
                return Err(Problem::new(Kind::Conflict, detail).hint("draw another one").into());
            }
            return Ok(row.number(3)?);
        }
        let open = tx.row("SELECT COUNT(*) FROM invitation WHERE account IS NULL", [])?;
        if open.map_or(Ok(0), |row| row.number(0))? >= INVITATIONS_MAX {
            return Err(Problem::new(Kind::Busy, "too many invitations are open").into());
        }
        let expires = now.saturating_add(invited.seconds);
        let row = [
            text(code),
            text(&invited.realm),
            json(&invited.role)?,
            json(&invited.attributes)?,
            number(expires),
        ];
        tx.insert("invitation (code, realm, role, attributes, expires)", vec![row])?;
        record(tx, now, &author, Deed::Invited { invitation: code, invited })?;
        Ok(expires)
    }
}

/// Gives `identity` the account that was promised to the user who brings the code with the digest
/// `code`. Returns the account, and whether this call has made it: a repeat has not.
///
/// # Errors
/// A refusal when the code is unknown, used, expired, or of another realm; [`Kind::Conflict`] when
/// the identity has an account by another invitation.
pub(super) fn take(
    tx: &Tx,
    code: &Digest,
    identity: &Identity,
    now: Timestamp,
) -> Result<(Account, bool)> {
    let refused = |detail: &str| {
        Failure::from(Problem::forbidden(detail.to_owned()).hint("ask for another invitation"))
    };
    let sql = "SELECT realm, role, attributes, expires, account FROM invitation WHERE code = $1";
    let row = tx.row(sql, [text(code)])?;
    let invitation = row.ok_or_else(|| refused("the invitation code is not valid"))?;
    let taken_by: Option<AccountId> = invitation.optional_parse(4)?;
    match (taken_by, table::find(tx, identity)?) {
        (Some(taken), Some(account)) if account.id == taken => return Ok((account, false)),
        (Some(_), _) => return Err(refused("the invitation has been used")),
        (None, Some(account)) => {
            let detail = format!("`{identity}` has the account `{}` already", account.id);
            return Err(Problem::new(Kind::Conflict, detail).into());
        }
        (None, None) => {}
    }
    if invitation.number(3)? <= now {
        return Err(refused("the invitation has expired"));
    }
    if invitation.text(0)? != identity.realm {
        return Err(refused("the invitation is for another realm than your certificate's"));
    }
    if table::count(tx)? >= ACCOUNTS_MAX {
        return Err(Problem::new(Kind::Busy, "there are too many accounts").into());
    }
    let account = Account {
        id: AccountId::random(),
        identity: identity.clone(),
        role: invitation.json(1)?,
        attributes: invitation.json(2)?,
        active: true,
        created: now,
        erase_at: None,
    };
    table::insert(tx, &account)?;
    let sql = "UPDATE invitation SET account = $2 WHERE code = $1";
    tx.run(sql, [text(code), text(account.id)])?;
    // A user who comes back keeps the salts that were still to be erased.
    salt::keep(tx, identity)?;
    Ok((account, true))
}
