//! What goes wrong between this machine and the network, by what an operator can do about it.

use datapact_chaincode::contract::Failure;
use datapact_ledger::LedgerError;
use prost::Message as _;
use tonic::Code;

use super::words::{endorsers_differ, is_of_other_endorsers, operators_hint, tls_hint};
use crate::proto::gateway::{ErrorDetail, Status};

/// The most characters of what a node says that are passed on.
const SAID_MAX: usize = 600;

/// Why the network did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// No node answered; what was asked may have happened.
    #[error("{0}")]
    Unreachable(String),
    /// A file or a setting here is wrong, or does not fit the node's.
    #[error("{0}")]
    Misconfigured(String),
    /// The chaincode refuses.
    #[error("the chaincode refuses: {failure}")]
    Refused {
        /// Why.
        failure: Failure,
        /// Whether the own organisation's peer says so, rather than another endorser.
        own: bool,
    },
    /// A node answered with an error.
    #[error("the peer at `{node}` says: {said}")]
    Said {
        /// The node.
        node: String,
        /// gRPC's code.
        code: Code,
        /// What it says, and what those say whom it asked.
        said: String,
    },
    /// Something on this machine, or what is clear about the ledger already.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl GatewayError {
    /// Of a call to the node at `address` that failed.
    pub(crate) fn of(address: &str, status: &tonic::Status) -> Self {
        if let Some(cause) = transport(status) {
            return match tls_hint(&cause) {
                Some(hint) => Self::Misconfigured(format!("`{address}`: {hint} ({cause})")),
                None => Self::Unreachable(format!("`{address}` cannot be reached: {cause}")),
            };
        }
        let details = details(status.details());
        let message = status.message();
        let said: Vec<&str> = std::iter::once(message)
            .chain(details.iter().map(|detail| detail.message.as_str()))
            .collect();
        if let Some(failure) = said.iter().find_map(|said| Failure::find(said)) {
            let own = !is_of_other_endorsers(message);
            return Self::Refused { failure, own };
        }
        let mut whole = message.to_owned();
        for detail in &details {
            whole.push_str(&format!(
                "; `{}` ({}): {}",
                detail.address, detail.msp_id, detail.message
            ));
        }
        Self::Said { node: address.to_owned(), code: status.code(), said: shorten(&whole) }
    }

    /// Whether asking again may help: another endorser, perhaps some blocks behind, did not agree
    /// with the own peer, or the peer had too much to do.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { own: false, failure } => matches!(
                failure,
                Failure::Refused { .. }
                    | Failure::Documents { .. }
                    | Failure::NotSetUp
                    | Failure::TrustChanged { .. }
            ),
            Self::Said { code: Code::Aborted, said, .. } => endorsers_differ(said),
            Self::Said { code: Code::ResourceExhausted, .. } => true,
            _ => false,
        }
    }

    /// Whether another node may do better.
    pub(crate) fn is_of_node(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Misconfigured(_) => true,
            Self::Said { code, .. } => {
                matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
            }
            Self::Refused { .. } | Self::Ledger(_) => false,
        }
    }
}

impl From<GatewayError> for LedgerError {
    fn from(error: GatewayError) -> Self {
        match &error {
            GatewayError::Ledger(error) => error.clone(),
            GatewayError::Unreachable(why) => Self::Unavailable(why.clone()),
            GatewayError::Misconfigured(why) => Self::Misconfigured(why.clone()),
            GatewayError::Refused { failure, .. } => of_failure(failure),
            GatewayError::Said { said, .. } => match operators_hint(said) {
                Some(hint) => Self::Misconfigured(format!("{error}: {hint}")),
                None => Self::Unavailable(error.to_string()),
            },
        }
    }
}

fn of_failure(failure: &Failure) -> LedgerError {
    let misconfigured = |why: String| LedgerError::Misconfigured(why);
    match failure {
        Failure::Refused { refusal } => LedgerError::Refused(refusal.clone()),
        Failure::Documents { check } => misconfigured(format!(
            "the endorsers refuse the documents (`{check}`), and this server does not: the channel \
             has another trust configuration or ledger id; let an administrator replace it"
        )),
        Failure::Arguments { detail } => misconfigured(format!(
            "the chaincode cannot read the call; it may have another version: {detail}"
        )),
        Failure::Caller { detail } => {
            misconfigured(format!("the chaincode does not take this from `identity`: {detail}"))
        }
        Failure::NotSetUp => misconfigured(
            "the chaincode is not set up, or has no trust configuration yet; let an administrator \
             set both"
                .to_owned(),
        ),
        Failure::Time { time, clock } => LedgerError::Unavailable(format!(
            "an endorser's clock says {clock} when this machine's says {time}; set the clocks"
        )),
        Failure::SetUp { detail } => {
            misconfigured(format!("an endorser's organisation has not agreed to it: {detail}"))
        }
        Failure::TrustChanged { .. } => LedgerError::Unavailable(
            "another administrator has replaced the trust configuration meanwhile".to_owned(),
        ),
        Failure::State { detail } => LedgerError::Corrupt {
            position: None,
            reason: format!("the chaincode cannot read its state: {detail}"),
        },
    }
}

/// The cause of an error that is not a node's answer.
fn transport(status: &tonic::Status) -> Option<String> {
    let mut cause: &dyn std::error::Error = std::error::Error::source(status)?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(shorten(&cause.to_string()))
}

fn shorten(said: &str) -> String {
    let mut text: String = said.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
    if text.len() < said.len() {
        text.push_str(" ...");
    }
    text
}

/// What the nodes said that the gateway asked.
fn details(bytes: &[u8]) -> Vec<ErrorDetail> {
    let Ok(status) = Status::decode(bytes) else { return Vec::new() };
    let of_gateway =
        status.details.iter().filter(|any| any.type_url.ends_with("gateway.ErrorDetail"));
    of_gateway.filter_map(|any| ErrorDetail::decode(any.value.clone()).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use datapact_core::contract::Refusal;

    use super::*;
    use crate::proto::gateway::Any;

    fn aborted(message: &str, said: &[&str]) -> GatewayError {
        let details = said.iter().map(|said| Any {
            type_url: "type.googleapis.com/gateway.ErrorDetail".to_owned(),
            value: ErrorDetail {
                address: "peer0.org1.example:7051".to_owned(),
                msp_id: "Org1MSP".to_owned(),
                message: (*said).to_owned(),
            }
            .encode_to_vec()
            .into(),
        });
        let status = Status { code: 10, message: message.to_owned(), details: details.collect() };
        let status =
            tonic::Status::with_details(Code::Aborted, message, status.encode_to_vec().into());
        GatewayError::of("grpcs://127.0.0.1:7051", &status)
    }

    #[test]
    fn the_chaincodes_refusal_is_found_in_an_errors_details() {
        let first = "failed to endorse transaction, see attached details for more info";
        let others =
            "failed to collect enough transaction endorsements, see attached details for more info";
        let said = "chaincode response 500, {\"failure\":\"refused\",\"refusal\":{\"rule\":\"version\",\"expected\":5}}";
        for (message, own) in [(first, true), (others, false)] {
            let error = aborted(message, &[said]);
            assert_eq!(error.is_passing(), !own);
            assert!(matches!(
                LedgerError::from(error),
                LedgerError::Refused(Refusal::Version { expected: 5 })
            ));
        }
        let said = "chaincode response 500, {\"failure\":\"not-set-up\"}";
        assert!(matches!(
            aborted(first, &[said]),
            GatewayError::Refused { failure: Failure::NotSetUp, .. }
        ));
        let said = "chaincode response 500, {\"failure\":\"trust-changed\"}";
        let none = Failure::TrustChanged { digest: None };
        let error = aborted(first, &["other", said]);
        assert!(matches!(error, GatewayError::Refused { failure, .. } if failure == none));
    }

    #[test]
    fn what_the_operator_can_change_is_said() {
        let first = "failed to endorse transaction, see attached details for more info";
        for (said, part) in [
            (
                "error validating proposal: access denied: channel [c] creator org unknown",
                "`msp_id`",
            ),
            (
                "make sure the chaincode datapact has been successfully defined on channel c",
                "`chaincode`",
            ),
        ] {
            let LedgerError::Misconfigured(told) = aborted(first, &[said]).into() else {
                panic!("not told")
            };
            assert!(
                told.contains(part)
                    && told.contains("127.0.0.1:7051")
                    && told.contains("peer0.org1"),
                "{told}"
            );
        }
        let mismatch = aborted(
            "failed to collect enough transaction endorsements",
            &["ProposalResponsePayloads do not match"],
        );
        assert!(mismatch.is_passing());
        assert!(matches!(
            LedgerError::from(aborted(first, &["whatever"])),
            LedgerError::Unavailable(_)
        ));
    }

    #[test]
    fn what_is_no_status_is_no_reason_to_panic() {
        for bytes in [&[][..], &[0xff; 40], &[0x1a, 0x7f, 0x00]] {
            assert_eq!(details(bytes), []);
        }
        for said in [
            "",
            "chaincode response 500, ",
            "chaincode response 500, {\"failure\":7}",
            "chaincode response 500, [",
        ] {
            assert_eq!(Failure::find(said), None);
        }
        let long = "x".repeat(5000);
        assert!(aborted(&long, &[]).to_string().len() < 1000);
    }
}
