//! The chaincode side of the stream between a peer and its chaincode, as a service.
