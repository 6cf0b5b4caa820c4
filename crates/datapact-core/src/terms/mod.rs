//! Terms: who may access a share.

mod code;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::commitment::Opening;
use crate::id::{Commitment, ShareId};
use crate::identity::Identity;

pub use code::{CodeError, Country, Industry, Name};

/// The most values that one kind of term may list.
pub const VALUES_MAX: usize = 256;

/// Why terms were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The terms do not say who may access.
    #[error(
        "the terms name no users, organisations, industries or countries; name some, or say that \
         anyone may access"
    )]
    Unstated,
    /// Both open and restricted.
    #[error(
        "the terms say that anyone may access and restrict access as well; leave out one of the two"
    )]
    AnyoneRestricted,
    /// More than [`VALUES_MAX`] values.
    #[error("the terms list {count} {kind}, and at most {VALUES_MAX} are allowed")]
    TooMany {
        /// The kind, in the plural.
        kind: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Not the identity of a user.
    #[error("`{0}` cannot be a named user")]
    User(Identity),
    /// A named user without an opening, an opening of a user who is not named, or two openings of
    /// one user.
    #[error("the commitments are not exactly one for each named user")]
    Openings,
}

/// How terms name a user: by identity in a signed policy, by commitment on a ledger.
pub trait NamedUser: Ord {
    /// Checks what can be checked of the user itself.
    ///
    /// # Errors
    /// [`TermsError::User`] for an identity that cannot be a user's. A commitment shows nothing to
    /// check.
    fn check(&self) -> Result<(), TermsError>;
}

impl NamedUser for Identity {
    fn check(&self) -> Result<(), TermsError> {
        // A server never consumes data, so a policy that names one is a mistake.
        if self.is_server() || self.validate().is_err() {
            return Err(TermsError::User(self.clone()));
        }
        Ok(())
    }
}

impl NamedUser for Commitment {
    fn check(&self) -> Result<(), TermsError> {
        Ok(())
    }
}

/// Who may access. Values of a kind are alternatives, and every kind that lists values must hold.
///
/// `U` names a user: [`Identity`] in a signed policy, [`Commitment`] on a ledger, where nothing
/// identifies a person (PR-1). All else is the same in both places.
///
/// Terms that list no users, organisations, industries or countries must say `anyone`, so that a
/// share is never open by accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "U: Ord + Deserialize<'de>"))]
pub struct Terms<U = Identity> {
    /// True where none of users, organisations, industries and countries is restricted, and only
    /// there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyone: bool,
    /// Named users.
    #[serde(default = "BTreeSet::new", skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<U>,
    /// Organisations, as administrators set them on accounts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub organisations: BTreeSet<Name>,
    /// Industries; each covers its subdivisions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub industries: BTreeSet<Industry>,
    /// Countries.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub countries: BTreeSet<Country>,
    /// Purposes, one of which the consumer must state.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub purposes: BTreeSet<Name>,
}

/// Terms without any value, which [`Terms::validate`] refuses: a start for filling in.
impl<U> Default for Terms<U> {
    fn default() -> Self {
        Self {
            anyone: false,
            users: BTreeSet::new(),
            organisations: BTreeSet::new(),
            industries: BTreeSet::new(),
            countries: BTreeSet::new(),
            purposes: BTreeSet::new(),
        }
    }
}

impl<U: NamedUser> Terms<U> {
    /// Checks that the terms say who may access, list at most [`VALUES_MAX`] values of a kind, and
    /// name only users.
    ///
    /// # Errors
    /// The first rule that they break: on the number of values, on openness, on users.
    pub fn validate(&self) -> Result<(), TermsError> {
        let restrictions = [
            ("users", self.users.len()),
            ("organisations", self.organisations.len()),
            ("industries", self.industries.len()),
            ("countries", self.countries.len()),
        ];
        for (kind, count) in restrictions.into_iter().chain([("purposes", self.purposes.len())]) {
            if count > VALUES_MAX {
                return Err(TermsError::TooMany { kind, count });
            }
        }
        // A purpose is what the consumer states of itself, so it does not restrict who may access.
        match (self.anyone, restrictions.iter().any(|(_, count)| *count > 0)) {
            (false, false) => Err(TermsError::Unstated),
            (true, true) => Err(TermsError::AnyoneRestricted),
            _ => self.users.iter().try_for_each(NamedUser::check),
        }
    }
}

impl Terms {
    /// These terms as the ledger records them: named users as commitments for `share`.
    ///
    /// # Errors
    /// [`TermsError::Openings`] unless `users` holds exactly one opening for each named user.
    pub fn to_ledger(
        &self,
        share: &ShareId,
        users: &[Opening],
    ) -> Result<Terms<Commitment>, TermsError> {
        let opened: BTreeSet<&Identity> = users.iter().map(|opening| &opening.identity).collect();
        if users.len() != self.users.len() || !opened.into_iter().eq(&self.users) {
            return Err(TermsError::Openings);
        }
        Ok(Terms {
            anyone: self.anyone,
            users: users.iter().map(|opening| opening.commitment(share)).collect(),
            organisations: self.organisations.clone(),
            industries: self.industries.clone(),
            countries: self.countries.clone(),
            purposes: self.purposes.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::id::Salt;

    #[test]
    fn openness_is_said_outright() {
        let closed: Terms =
            Terms { countries: BTreeSet::from(["SE".parse().unwrap()]), ..Terms::default() };
        let purpose = BTreeSet::from(["research".parse().unwrap()]);
        assert_eq!(Terms::<Identity>::default().validate(), Err(TermsError::Unstated));
        assert_eq!(
            Terms { purposes: purpose.clone(), ..Terms::<Identity>::default() }.validate(),
            Err(TermsError::Unstated)
        );
        assert_eq!(
            Terms { anyone: true, purposes: purpose, ..Terms::<Identity>::default() }.validate(),
            Ok(())
        );
        assert_eq!(closed.validate(), Ok(()));
        assert_eq!(Terms { anyone: true, ..closed }.validate(), Err(TermsError::AnyoneRestricted));
    }

    #[test]
    fn terms_are_bounded() {
        let names = |count: usize| (0..count).map(|i| format!("n{i}").parse().unwrap()).collect();
        let with = |count| -> Terms { Terms { organisations: names(count), ..Terms::default() } };
        assert_eq!(with(VALUES_MAX).validate(), Ok(()));
        let refused = TermsError::TooMany { kind: "organisations", count: VALUES_MAX + 1 };
        assert_eq!(with(VALUES_MAX + 1).validate(), Err(refused));
        let server = Identity::server("keys.example");
        let terms = Terms { users: BTreeSet::from([server.clone()]), ..Terms::default() };
        assert_eq!(terms.validate(), Err(TermsError::User(server)));
    }

    #[test]
    fn pr_1_the_ledger_gets_commitments_for_named_users() {
        let share = ShareId([1; 16]);
        let opening = |name: &str, salt: u8| Opening {
            identity: format!("lab:CN={name}").parse().unwrap(),
            salt: Salt([salt; 32]),
        };
        let (ann, bob) = (opening("Ann", 1), opening("Bob", 2));
        let terms = Terms {
            users: [&ann, &bob].map(|o| o.identity.clone()).into_iter().collect(),
            ..Terms::default()
        };
        let ledger = terms.to_ledger(&share, &[bob.clone(), ann.clone()]).unwrap();
        assert_eq!(ledger.users, BTreeSet::from([ann.commitment(&share), bob.commitment(&share)]));
        assert!(!serde_json::to_string(&ledger).unwrap().contains("Ann"));
        for wrong in
            [vec![], vec![ann.clone()], vec![ann.clone(), ann.clone()], vec![ann.clone(), bob, ann]]
        {
            assert_eq!(terms.to_ledger(&share, &wrong), Err(TermsError::Openings));
        }
    }
}
