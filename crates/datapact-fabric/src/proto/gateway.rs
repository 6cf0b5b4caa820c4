//! The gateway service (`gateway`).
