//! What the three servers offer, over HTTP: their traits, routes, HTTP client and problem details.
//!
//! Only this crate knows routes and status codes.

pub mod peer;
