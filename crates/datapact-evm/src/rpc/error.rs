//! Why a node gave no result, by what can be done about it.

use alloy::primitives::Bytes;
use datapact_ledger::LedgerError;

/// What Geth and its kin answer to a call that was reverted.
const REVERTED: i64 = 3;

/// Why a node gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RpcError {
    /// It answered with an error.
    #[error("the node at `{endpoint}` says: {message}")]
    Node {
        /// The node.
        endpoint: String,
        /// The error's number.
        code: i64,
        /// Its text.
        message: String,
        /// A revert's data.
        data: Option<Bytes>,
    },
    /// No node answered.
    #[error("no node of the chain answers: {0}")]
    Unreachable(String),
    /// A node that answers took too long, or its answer was too long: less may be asked for.
    #[error("no node of the chain answers: {0}")]
    TooMuch(String),
    /// The node is on another chain.
    #[error(
        "the node at `{endpoint}` is on chain {found}, not on chain {expected}; correct \
         `endpoints` or `chain_id`"
    )]
    WrongChain {
        /// The node.
        endpoint: String,
        /// The chain configured.
        expected: u64,
        /// The chain that the node is on.
        found: u64,
    },
}

impl RpcError {
    /// The data of a call that the contract reverted; none when that is not what happened.
    pub fn reverted(&self) -> Option<Bytes> {
        match self {
            Self::Node { data: Some(data), .. } => Some(data.clone()),
            Self::Node { code, message, .. } if is_revert(*code, message) => Some(Bytes::new()),
            _ => None,
        }
    }
}

impl From<RpcError> for LedgerError {
    fn from(error: RpcError) -> Self {
        match &error {
            RpcError::WrongChain { .. } => Self::Misconfigured(error.to_string()),
            RpcError::Node { message, .. } => match operators_hint(message) {
                Some(hint) => Self::Misconfigured(format!("{error}: {hint}")),
                None => Self::Unavailable(error.to_string()),
            },
            RpcError::Unreachable(why) | RpcError::TooMuch(why) => Self::Unavailable(why.clone()),
        }
    }
}

/// Whether a node says that a call was reverted: by the code that Geth has for it. Other nodes have
/// a general code, and say so in words alone when the contract gives no reason.
fn is_revert(code: i64, message: &str) -> bool {
    code == REVERTED || message.to_lowercase().contains("revert")
}

/// What the operator has to change, for what nodes say when they take no transaction. JSON-RPC has
/// no codes for it, and the words may change: an unfamiliar text is passed on without a
/// hint.
fn operators_hint(message: &str) -> Option<&'static str> {
    let said = message.to_lowercase();
    let has = |part: &str| said.contains(part);
    if has("insufficient funds") || has("upfront cost") {
        Some(
            "the submitting account cannot pay the gas; fund it, or use `gas_price = 0` where the \
             network allows it",
        )
    } else if has("underpriced") || has("gas price") || has("fee cap") || has("base fee") {
        Some("the network wants another `gas_price`")
    } else if has("exceeds block gas limit") || has("intrinsic gas") {
        Some("the network's block gas limit is too low")
    } else {
        None
    }
}
