//! The OpenAPI 3.1 document of each server, which follows from the declarations of its operations.
//!
//! The documents are files of the specification, `docs/spec/openapi/`. A test makes them
//! by `generate` and fails when the files are out of date, so that servers need no JSON Schema
//! library.

#[cfg(feature = "schema")]
mod answers;
#[cfg(feature = "schema")]
mod description;
#[cfg(feature = "schema")]
mod generate;
#[cfg(all(test, feature = "schema"))]
mod tests;

#[cfg(feature = "schema")]
pub use description::Description;
#[cfg(feature = "schema")]
pub use generate::generate;

use axum::Router;
use axum::routing::get;
use http::header;

use crate::operation::{Operation, Who};
use crate::{key_server, management, public, storage_server};

/// Where each server's public listener serves its document.
pub const PATH: &str = "/openapi.json";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Management.
    Management,
    /// A key server.
    Key,
    /// A storage server.
    Storage,
}

/// The operation that serves the document.
const THIS: Operation = Operation {
    name: "openapi",
    method: "get",
    path: PATH,
    who: Who::Anybody,
    docs: &["This document."],
    headers: &[],
    kinds: &[],
    #[cfg(feature = "schema")]
    describe: |description| description.answer("application/json", serde_json::json!({})),
};

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Management, Self::Key, Self::Storage];

    /// What such a server is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Key => "key server",
            Self::Storage => "storage server",
        }
    }

    /// Its operations, those of its public listener too.
    pub fn operations(self) -> impl Iterator<Item = &'static Operation> {
        let own: &[&[Operation]] = match self {
            Self::Management => &management::OPERATIONS,
            Self::Key => &key_server::OPERATIONS,
            Self::Storage => &storage_server::OPERATIONS,
        };
        own.iter().copied().flatten().chain(public::OPERATIONS).chain([&THIS])
    }
}

/// The document of a server with this role, as it is served.
pub fn document(role: Role) -> &'static str {
    match role {
        Role::Management => include_str!("../../../../docs/spec/openapi/management.json"),
        Role::Key => include_str!("../../../../docs/spec/openapi/key-server.json"),
        Role::Storage => include_str!("../../../../docs/spec/openapi/storage-server.json"),
    }
}

/// The route that serves the document, for a public listener.
pub fn router(role: Role) -> Router {
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], document(role));
    Router::new().route(PATH, get(answer))
}
