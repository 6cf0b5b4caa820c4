//! The stream between a peer and its chaincode (`peer/chaincode_shim`).
