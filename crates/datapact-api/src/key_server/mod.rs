//! What a key server offers (6.2.3), a folder a noun.

pub mod key;
pub mod policy;
pub mod release;

pub use key::{KeyStatus, Keys, StoreKey};
pub use policy::{ShownPolicies, ShownPolicy, Withhold};
pub use release::{
    ErasedRelease, ReleaseEntry, ReleaseKey, ReleasedKey, Releases, TokenRevocation,
};

use axum::Router;

use crate::gate::Caller;
use crate::operation::Operation;
use crate::user::{self, Users};

/// A key server, as one caller sees it: all of its nouns.
pub trait KeyServer: Keys + ShownPolicies + Releases + Users {}

impl<T: Keys + ShownPolicies + Releases + Users> KeyServer for T {}

/// All operations of a key server.
pub const OPERATIONS: [&[Operation]; 4] =
    [key::OPERATIONS, policy::OPERATIONS, release::OPERATIONS, user::OPERATIONS];

/// The routes of all nouns, behind the gate. `called` makes the key server as one caller sees it.
pub fn routes<T, F>(called: F) -> Router
where
    T: KeyServer + 'static,
    F: Fn(Caller) -> T + Clone + Send + Sync + 'static,
{
    key::routes(called.clone())
        .merge(policy::routes(called.clone()))
        .merge(release::routes(called.clone()))
        .merge(user::routes(called))
}
