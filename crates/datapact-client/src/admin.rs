//! The administrator: accounts, invitations and the enrolment (MG-1, PR-10).

use std::path::Path;

use datapact_api::management::{
    Account, AccountUpdate, Action, EnrolmentProgress, InvitationFile, NewInvitation, check_actions,
};
use datapact_api::operation::Page;
use datapact_api::problem::{Kind, Problem};
use datapact_api::user::Deletion;
use datapact_core::enrolment::{Change, Enrolment, History, Invitation};
use datapact_core::id::{AccountId, Digest, Timestamp};
use datapact_core::identity::Identity;
use serde::Serialize;

use crate::custody::advanced;
use crate::enrolment::{KnownEnrolment, distrusted, log_policy_of};
use crate::error::{ClientError, Result};
use crate::home::{NewFile, write_new_json};
use crate::session::{Refreshed, Session, retry};

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

/// What would be the next version of the enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// As management's configuration has it.
    pub enrolment: Enrolment,
    /// Whether it says something else than the version that the profile has verified, or there is
    /// none yet.
    pub changed: bool,
    /// Who has signed it, as management says.
    pub signed_by: Vec<Identity>,
    /// What it changes against the version that the profile has verified; all that it trusts if
    /// there is none.
    pub changes: Vec<Change>,
}

impl Administrator {
    /// The administrator of a session.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Promises an account and writes the invitation to a new `file` (0600) for `datapact join`.
    ///
    /// # Errors
    /// As [`Administrator::invitation`].
    pub async fn invite(&self, new: &NewInvitation, file: &Path) -> Result<Invited> {
        // The file comes first: an invitation that cannot be kept is not asked for.
        let output = NewFile::create(file)?;
        let (invitation, expires) = self.invitation(new).await?;
        write_new_json(output, &invitation)?;
        Ok(Invited { file: file.to_owned(), expires })
    }

    /// Promises an account. The invitation brings the enrolment that this profile has verified, not
    /// what management says now, and is signed; it is good until the time returned.
    ///
    /// # Errors
    /// [`Kind::Conflict`] before version 1 of the enrolment is published, or when a newer one is;
    /// [`Kind::Untrusted`] when management shows another enrolment than this profile has verified;
    /// [`Kind::Forbidden`] when the enrolment does not name the user among its administrators.
    pub async fn invitation(&self, new: &NewInvitation) -> Result<(InvitationFile, Timestamp)> {
        let session = &self.session;
        if session.newer_enrolment(None).await?.is_some() {
            let problem =
                Problem::new(Kind::Conflict, "management has published a newer enrolment");
            return Err(problem.hint("run `datapact identity refresh`, and invite again").into());
        }
        let profile = session.profile();
        let history = profile.known().history().ok_or_else(|| {
            let detail = "no version of the enrolment is signed yet";
            let hint = "the administrators sign it with `datapact enrolment sign`";
            ClientError::Problem(Problem::new(Kind::Conflict, detail).hint(hint))
        })?;
        let enrolment = history.newest();
        let signer = profile.signer();
        if !enrolment.administrators.identities.contains(signer.identity()) {
            let detail = format!(
                "the enrolment does not name `{}` among its administrators",
                signer.identity()
            );
            let hint = "have it added to `administrators` in management's configuration and the \
                        next version signed, or let one of those invite whom it names";
            return Err(Problem::forbidden(detail).hint(hint).into());
        }
        if !enrolment.realms.contains_key(&new.realm) {
            let detail = format!("the enrolment names no CA of a realm `{}`", new.realm);
            let hint = "add the realm to management's trust configuration, and run `datapact \
                        enrolment sign`";
            return Err(ClientError::usage(detail, hint));
        }
        let promised = retry(|| session.management().invite(new)).await?;
        let invitation = Invitation {
            code: Digest::of(promised.code.as_bytes()),
            expires: promised.expires,
            realm: new.realm.clone(),
            enrolment: enrolment.fingerprint(),
        };
        let file = InvitationFile::Invitation {
            code: promised.code,
            invitation: Box::new(signer.sign(session.ledger(), session.now(), invitation)),
            versions: history.versions().to_vec(),
        };
        Ok((file, promised.expires))
    }

    /// What management's configuration says, as the version that would follow the one known, with
    /// what it changes.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when it does not continue the versions that this profile has verified; a
    /// usage error when it cannot be an enrolment.
    pub async fn draft(&self) -> Result<Draft> {
        let session = &self.session;
        let draft = retry(|| session.management().enrolment_draft()).await?;
        let known = session.profile().known();
        let before = known.history().map(History::newest);
        let enrolment = draft.enrolment;
        let placed = enrolment.clone().following(before);
        if placed != enrolment {
            return Err(distrusted(
                "management's draft does not continue the enrolment that this profile has verified",
                "run `datapact identity refresh` first",
            ));
        }
        let wrong = |error: String| {
            ClientError::usage(
                format!("management's configuration makes no enrolment: {error}"),
                "have its operator correct the configuration",
            )
        };
        enrolment.validate().map_err(wrong)?;
        log_policy_of(&enrolment)?;
        let changes = enrolment.changes_since(before);
        let changed = before.is_none_or(|before| !before.says_the_same(&enrolment));
        Ok(Draft { changed, signed_by: draft.signed_by, changes, enrolment })
    }

    /// Hands in all versions that this profile has verified, for a management that was
    /// restored from an older backup and has lost the newest. What is published already stays.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when management has published other versions.
    pub async fn publish_enrolment(&self) -> Result<()> {
        let session = &self.session;
        let versions = session.profile().known().history().map(History::versions);
        for signature in versions.unwrap_or_default().iter().flat_map(|version| &version.0) {
            retry(|| session.management().sign_enrolment(signature)).await?;
        }
        Ok(())
    }

    /// Signs a draft and hands the signature in. If that publishes the version, the session
    /// returned has it.
    ///
    /// # Errors
    /// What management refuses: a user whom the version before does not name among its
    /// administrators, or a draft that another version has overtaken.
    pub async fn sign_enrolment(&self, draft: &Draft) -> Result<(EnrolmentProgress, Refreshed)> {
        let session = &self.session;
        let profile = session.profile();
        let body = draft.enrolment.clone();
        let signature = profile.signer().sign(session.ledger(), session.now(), body);
        let progress = retry(|| session.management().sign_enrolment(&signature)).await?;
        // What one signs is what one believes, also while the others have not signed yet.
        let session = match profile.known() {
            KnownEnrolment::Draft(known) if **known != draft.enrolment => {
                let known = KnownEnrolment::Draft(Box::new(draft.enrolment.clone()));
                Session::connect(profile.with(known)?)?
            }
            _ => session.clone(),
        };
        let refreshed = session.refresh_enrolment(None).await?;
        Ok((progress, refreshed))
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
    /// right `now`: no link from the ledger to the person is left then. The statement of this call
    /// names the account's holder, and a key server destroys nothing without it.
    pub async fn delete(&self, account: &Account, now: bool) -> Result<Account> {
        let deletion = Deletion::of(account.identity.clone(), now);
        retry(|| self.session.management().delete_account(&account.id, &deletion)).await
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
