//! The administrator: accounts and invitations (MG-1, PR-10).

use std::path::Path;

use datapact_api::management::{
    Account, AccountUpdate, Action, Deletion, Invitation, NewInvitation, check_actions,
};
use datapact_api::operation::Page;
use datapact_core::id::{AccountId, Timestamp};
use serde::Serialize;

use crate::custody::advanced;
use crate::error::{ClientError, Result};
use crate::home::{NewFile, write_new_json};
use crate::session::{Session, retry};

/// A user who manages accounts.
#[derive(Clone)]
pub struct Administrator {
    session: Session,
}

/// An invitation that was written to a file. Only the file has the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invited {
    /// The file, to be given to the user over a safe way.
    pub file: std::path::PathBuf,
    /// Until when it may be taken.
    pub expires: Timestamp,
}

impl Administrator {
    /// The administrator of a session.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// Promises an account and writes the invitation to a new `file` (0600) for `datapact join`.
    pub async fn invite(&self, invitation: &NewInvitation, file: &Path) -> Result<Invited> {
        // The file comes first: an invitation that cannot be kept is not asked for.
        let output = NewFile::create(file)?;
        let invitation: Invitation = self.session.management().invite(invitation).await?;
        write_new_json(output, &invitation)?;
        Ok(Invited { file: file.to_owned(), expires: invitation.expires })
    }

    /// All accounts, oldest first.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = retry(|| self.session.management().accounts(Page { after })).await?;
            let Some(last) = page.last() else { break };
            after = Some(advanced(&self.session.profile().enrolment().management, after, last.id)?);
            all.extend(page);
        }
        all.sort_by_key(|account: &Account| (account.created, account.id));
        Ok(all)
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Account> {
        retry(|| self.session.management().account_of(id)).await
    }

    /// Disables an account on all servers and has it erased when management's retention is over, or
    /// right `now`: no link from the ledger to the person is left then.
    pub async fn delete(&self, id: &AccountId, now: bool) -> Result<Account> {
        let when = Deletion { now };
        retry(|| self.session.management().delete_account(id, &when)).await
    }

    /// What was done to accounts, oldest first. The record is checked: none is missing or changed,
    /// and where the signed statement of an action is still kept, it is the one on record.
    pub async fn history(&self) -> Result<Vec<Action>> {
        let mut all = Vec::new();
        let mut at = None;
        loop {
            let page = Page { after: at.map(|(sequence, _)| sequence) };
            let page = retry(|| self.session.management().actions(page)).await?;
            if page.is_empty() {
                return Ok(all);
            }
            at = check_actions(at, &page).map_err(ClientError::untrusted)?;
            all.extend(page);
        }
    }

    /// Sets role, attributes or status; what is not given stays.
    pub async fn update(&self, id: &AccountId, update: &AccountUpdate) -> Result<Account> {
        retry(|| self.session.management().update_account(id, update)).await
    }
}
