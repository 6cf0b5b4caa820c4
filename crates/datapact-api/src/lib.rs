//! What the three servers offer, over HTTP: their traits, routes, HTTP client and problem details.
//!
//! Only this crate knows routes and status codes.

pub mod administration;
pub mod endpoint;
pub mod gate;
pub mod http_api;
pub mod key_server;
pub mod management;
pub mod openapi;
pub mod peer;
pub mod problem;
pub mod storage_server;
pub mod subscription;
pub mod tls;
pub mod trace;
pub mod trust_file;
