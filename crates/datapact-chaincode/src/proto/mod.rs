//! Fabric's messages, as far as a chaincode needs them, written from the field numbers of its
//! published protocol buffers.

pub mod common;
pub mod peer;
pub mod shim;
