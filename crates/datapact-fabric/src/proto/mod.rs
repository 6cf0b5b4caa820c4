//! Fabric's messages, as far as a client needs them besides those of the chaincode
//! ([`datapact_chaincode::proto`]), written from the field numbers of its published protocol
//! buffers.

pub mod block;
pub mod config;
pub mod gateway;
pub mod transaction;
