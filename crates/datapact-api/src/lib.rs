//! What the three servers offer, over HTTP: a folder a noun, with its types and the declaration of
//! its operations, from which its service trait, its routes, its client and its documentation
//! follow ([`operation`]).
//!
//! Only this crate knows routes and status codes.

pub mod client;
pub mod gate;
pub mod key_server;
pub mod management;
pub mod openapi;
pub mod operation;
pub mod peer;
pub mod problem;
pub mod public;
pub mod storage_server;
pub mod tls;
pub mod trace;
pub mod trust_file;
pub mod user;
pub mod witness;

pub use datapact_core::endpoint;
