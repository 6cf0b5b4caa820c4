//! The contract's host: `datapact-core`'s rules over Fabric's world state.
