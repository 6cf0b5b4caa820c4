//! What Fabric's programs and the TLS library say, where nothing but their words tells one case
//! from another: Fabric answers most mistakes with the same gRPC code, and HTTP/2 passes on only
//! the text of a TLS error.
//!
//! The words may change with every version. An unfamiliar text is passed on without a hint, and no
//! call is taken for recorded or refused because of one.

/// Whether a gateway's message is about the second of its two steps: it asks the own organisation's
/// peer first, and then the other endorsers.
pub(super) fn is_of_other_endorsers(message: &str) -> bool {
    message.contains("collect enough")
}

/// Whether endorsers gave different results: one of them is some blocks behind.
pub(super) fn endorsers_differ(said: &str) -> bool {
    is_of_other_endorsers(said) && said.contains("do not match")
}

/// Whether a peer says that it knows no such transaction.
pub(super) fn is_unknown_transaction(said: &str) -> bool {
    said.contains("no such transaction ID")
}

/// What the operator has to change for a connection that TLS does not let come about.
pub(super) fn tls_hint(cause: &str) -> Option<&'static str> {
    let has = |part: &str| cause.contains(part);
    if has("certificate expired") || has("certificate not valid yet") {
        Some("its TLS certificate is not valid now; renew it there, or set the clocks")
    } else if has("invalid peer certificate") {
        Some(
            "its TLS certificate is not what the configuration expects; correct `tls_ca_file` or \
             `server_name`",
        )
    } else if has("CertificateRequired") || has("BadCertificate") || has("certificate required") {
        Some("it asks for a client's TLS certificate; add `[tls]` with one that it knows")
    } else if has("corrupt message") || has("InvalidContentType") {
        Some("it does not speak TLS; write `grpc://` if that is intended")
    } else {
        None
    }
}

/// What the operator has to change, for what a node says.
pub(super) fn operators_hint(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    let has = |part: &str| said.contains(part);
    if has("identity expired") || has("certificate has expired") {
        Some("the peer takes the identity's certificate for expired; renew it, or set the clocks")
    } else if has("creator org unknown")
        || has("access denied")
        || has("permission denied")
        || has("accessdenied")
    {
        Some(
            "the peer does not know the identity; correct `msp_id` and `certificate_file`, and see \
             that the certificate is issued by that organisation and is not revoked",
        )
    } else if has("no peers available to evaluate chaincode")
        || has("no endorsers found in the gateway's organization")
        || has("failed to find any endorsing peers")
        || has("has been successfully defined on channel")
        || (has("chaincode") && has("not found"))
    {
        Some(
            "no peer of the own organisation has that chaincode on that channel, or it has just \
             been started; correct `msp_id`, `channel` or `chaincode`, or install and commit it",
        )
    } else if has("could not get last config for channel")
        || has("channel not found")
        || has("no such channel")
        || has("not a member of channel")
        || has("ledger not found")
        || has("invalid chain id")
    {
        Some("the peer has not joined that channel; correct `channel`, or let the peer join it")
    } else if has("endorsement_policy_failure") {
        Some("the endorsements that the gateway collected do not satisfy the chaincode's policy")
    } else {
        None
    }
}
