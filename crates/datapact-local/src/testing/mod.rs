//! What tests of several crates share: signers, trust, signed documents, the contract's
//! corpus, a log that lies, a PostgreSQL server (feature `testing`).

pub mod corpus;
mod documents;
mod log;
mod measure;
pub mod postgres;
mod realm;

pub use datapact_core::policy::ShareState;
pub use documents::{Fixture, TestShare, TestUser};
pub use log::{MemoryLog, signing_key};
pub use measure::cpu_seconds;
pub use realm::{TestRealm, trust};
