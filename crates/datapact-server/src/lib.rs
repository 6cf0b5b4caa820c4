//! The three servers: management, key server and storage server.

pub mod config;
pub mod tls;
