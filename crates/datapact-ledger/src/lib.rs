//! The ledger: what every adapter offers ([`Ledger`]), the embedded one, and followers of it.

pub mod note;
pub mod store;
pub mod tree;
