//! The SDK for providers, consumers and administrators: what the command line uses.
//!
//! A [`profile::Profile`] is one user on this machine, a [`session::Session`] its servers;
//! [`Provider`], [`Consumer`] and [`Administrator`] are what a user does there. Nothing that a
//! server says is used before it is checked.

pub mod admin;
pub mod audit;
pub mod ca;
pub mod consumer;
pub mod custody;
pub mod enrolment;
pub mod error;
pub mod home;
pub mod invitation;
pub mod join;
pub mod key_file;
pub mod open;
mod pending;
pub mod profile;
pub mod proof;
pub mod provider;
mod remote;
mod revocation;
pub mod session;
mod settings;
pub mod subject;
#[cfg(test)]
mod tests;
mod work;

pub use admin::Administrator;
pub use consumer::Consumer;
pub use error::{ClientError, Result};
pub use home::Home;
pub use profile::Profile;
pub use provider::Provider;
pub use session::{Progress, ProgressSink, Session, no_progress};
