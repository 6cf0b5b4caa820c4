//! The three servers, management, key server and storage server; and a witness of logs.

pub mod backup;
mod called;
mod chain;
pub mod config;
pub mod erasures;
mod foreign_tls;
pub mod key;
pub mod management;
mod memory;
pub mod operator;
pub mod run;
mod secret_file;
pub mod security_log;
pub mod storage;
pub mod stores;
pub mod tls;
mod users;
pub mod witness;

/// What a server says of its health.
pub(crate) fn health(server: &str, role: &str) -> datapact_api::public::Health {
    datapact_api::public::Health {
        server: server.to_owned(),
        role: role.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
