//! Envelopes, headers, blocks, identities and policies (`common`, `msp`).
