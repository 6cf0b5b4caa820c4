//! What runs on one machine only: networks of nodes, for tests and for trying out, whatever ledger
//! they are, and what tests share (feature `testing`).
//!
//! A network has a folder that one program works on at a time ([`Folder`]), nodes that are
//! processes ([`process`]), ports for them ([`ports`]), and programs that they run ([`program`]).

mod error;
mod folder;
pub mod ports;
pub mod process;
pub mod program;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{NetworkError, Result};
pub use folder::{Folder, replace};
