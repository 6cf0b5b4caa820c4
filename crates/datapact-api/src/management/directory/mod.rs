//! The directory of users, for the servers that serve them.

use datapact_core::identity::Identity;

use crate::operation::operations;
use crate::user::UserNotice;

operations! {
    /// Who has an account.
    pub trait Directory {
        /// What a user is to the key and storage servers.
        ///
        /// A server asks about a user that it was told nothing of, and is told of changes from
        /// then on.
        get "/v1/users" for Servers;
        fn user(query of: &Identity) -> UserNotice as Json;
    }
}
