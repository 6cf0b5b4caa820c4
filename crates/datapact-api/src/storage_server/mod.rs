//! What a storage server offers (6.2.4), a folder a noun. It never sees a key.

pub mod package;
mod stream;
pub mod upload;

pub use package::{ByteRange, Download, PackageAddress, PackageStatus, Packages};
pub use stream::ByteStream;
pub use upload::{Part, UploadOffset, Uploads};

use axum::Router;

use crate::gate::Caller;
use crate::operation::Operation;
use crate::user::{self, Users};

/// A storage server, as one caller sees it: all of its nouns.
pub trait StorageServer: Packages + Uploads + Users {}

impl<T: Packages + Uploads + Users> StorageServer for T {}

/// All operations of a storage server.
pub const OPERATIONS: [&[Operation]; 3] =
    [package::OPERATIONS, upload::OPERATIONS, user::OPERATIONS];

/// The routes of all nouns, behind the gate. `called` makes the storage server as one caller sees
/// it.
pub fn routes<T, F>(called: F) -> Router
where
    T: StorageServer + 'static,
    F: Fn(Caller) -> T + Clone + Send + Sync + 'static,
{
    package::routes(called.clone())
        .merge(upload::routes(called.clone()))
        .merge(user::routes(called))
}
