//! The client side: the gateway service of a peer, blocks, and the ledger port on them.
