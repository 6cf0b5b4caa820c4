//! The OpenAPI 3.1 document of each server, which follows from the declarations of its operations.

use axum::Router;
use axum::routing::get;
use http::header;

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
