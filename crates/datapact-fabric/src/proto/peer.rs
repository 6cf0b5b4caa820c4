//! Proposals, transactions, chaincode input and events (`peer`).
