//! Fabric's messages, as far as they are needed, written from the field numbers of its published
//! protocol buffers.

pub mod common;
pub mod config;
pub mod gateway;
pub mod peer;
pub mod shim;
