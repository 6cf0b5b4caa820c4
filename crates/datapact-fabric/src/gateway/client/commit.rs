//! What became of a transaction.

use datapact_ledger::LedgerError;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The validation code, 0 for valid.
    pub code: i32,
    /// Its block.
    pub block: u64,
}

impl Commit {
    /// Whether the transaction counts.
    pub fn is_valid(self) -> bool {
        self.code == 0
    }

    /// Whether something that the transaction had read was changed before it, or the transaction
    /// is on the channel twice: asking again tells what holds now.
    pub fn is_conflict(self) -> bool {
        matches!(self.code, 9 | 11 | 12)
    }
}

/// A validation code's name in Fabric's published protocol buffers.
pub(crate) fn code_name(code: i32) -> &'static str {
    const NAMES: [&str; 26] = [
        "VALID",
        "NIL_ENVELOPE",
        "BAD_PAYLOAD",
        "BAD_COMMON_HEADER",
        "BAD_CREATOR_SIGNATURE",
        "INVALID_ENDORSER_TRANSACTION",
        "INVALID_CONFIG_TRANSACTION",
        "UNSUPPORTED_TX_PAYLOAD",
        "BAD_PROPOSAL_TXID",
        "DUPLICATE_TXID",
        "ENDORSEMENT_POLICY_FAILURE",
        "MVCC_READ_CONFLICT",
        "PHANTOM_READ_CONFLICT",
        "UNKNOWN_TX_TYPE",
        "TARGET_CHAIN_NOT_FOUND",
        "MARSHAL_TX_ERROR",
        "NIL_TXACTION",
        "EXPIRED_CHAINCODE",
        "CHAINCODE_VERSION_CONFLICT",
        "BAD_HEADER_EXTENSION",
        "BAD_CHANNEL_HEADER",
        "BAD_RESPONSE_PAYLOAD",
        "BAD_RWSET",
        "ILLEGAL_WRITESET",
        "INVALID_WRITESET",
        "INVALID_CHAINCODE",
    ];
    let named = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    named.copied().unwrap_or(if code == 254 { "NOT_VALIDATED" } else { "INVALID_OTHER_REASON" })
}

/// A transaction that will never count.
pub(crate) fn invalid(commit: Commit) -> LedgerError {
    let said = format!(
        "the transaction in block {} is not valid: {}",
        commit.block,
        code_name(commit.code)
    );
    match commit.code {
        4 | 10 | 17 | 18 | 25 => LedgerError::Misconfigured(said),
        _ => LedgerError::Unavailable(said),
    }
}
