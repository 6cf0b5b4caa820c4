//! The SDK for providers, consumers and administrators: what the command line uses.
//!
//! A [`profile::Profile`] is one user on this machine; a [`session::Session`] its servers.

pub mod ca;
pub mod error;
pub mod home;
pub mod join;
pub mod key_file;
mod keys;
pub mod profile;
pub mod session;
pub mod subject;
mod work;

pub use error::{ClientError, Result};
pub use home::Home;
pub use profile::Profile;
pub use session::{Progress, ProgressSink, Session, no_progress};
