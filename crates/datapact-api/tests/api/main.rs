//! The routes without sockets: the real gate and routers before services that only say what reached
//! them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so")]

mod common;
mod endpoint;
mod gate;
mod key_server;
mod list;
mod problem;
mod public;
mod storage_server;
