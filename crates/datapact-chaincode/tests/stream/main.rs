//! The chaincode as a service, spoken to over a real socket as a peer does. What real peers say is
//! in `recorded`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod peer;
mod process;
mod protocol;
mod tls;
