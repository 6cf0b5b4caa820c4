//! The policies that the key server was shown, and how they agree with its copy of the ledger.

mod standing;
pub(super) mod table;

pub(super) use standing::{OnLedger, standing};
