//! `ledger.toml`: where a chain is, which contract on it, and who submits.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use datapact_ledger::LedgerError;
use serde::{Deserialize, Serialize};

/// What `kind` says in the `ledger.toml` of a ledger that this crate speaks to.
pub const KIND: &str = "ethereum";

/// A chain and the contract on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvmConfig {
    /// [`KIND`].
    pub kind: String,
    /// The chain's id (EIP-155).
    pub chain_id: u64,
    /// The registry's address.
    pub contract: Address,
    /// The contract whose clones the shares' contracts are, as the registry says.
    pub implementation: Address,
    /// The block in which the registry was made: nothing before it is read.
    #[serde(default)]
    pub from_block: u64,
    /// Nodes of the chain, `http` or `https`, in the order in which they are asked. Each server has
    /// a node of its own.
    pub endpoints: Vec<String>,
    /// How many blocks must follow one before it is final: 0 where finality is immediate (QBFT,
    /// IBFT).
    #[serde(default)]
    pub confirmations: u64,
    /// What a unit of gas costs, in wei. Always stated in the transactions, which are of the legacy
    /// type.
    #[serde(default)]
    pub gas_price: u64,
    /// How far apart blocks are, in seconds, 1 to 60: a node without a new block for five times as
    /// long is behind.
    #[serde(default = "block_seconds")]
    pub block_seconds: u64,
    /// Who submits; management alone needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerConfig>,
}

fn block_seconds() -> u64 {
    1
}

/// The key that transactions are signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// The key file (Web3 Secret Storage, version 3), 0600.
    pub key_file: PathBuf,
    /// The file with its passphrase, 0600.
    pub passphrase_file: PathBuf,
}

impl EvmConfig {
    /// Reads a `ledger.toml`; paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, LedgerError> {
        let wrong =
            |detail: String| LedgerError::Misconfigured(format!("`{}`: {detail}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if config.kind != KIND {
            return Err(wrong(format!("`kind` is `{}`, not `{KIND}`", config.kind)));
        }
        if !(1..=60).contains(&config.block_seconds) {
            return Err(wrong("`block_seconds` must be 1 to 60".to_owned()));
        }
        if let Some(signer) = &mut config.signer {
            let folder = path.parent().unwrap_or(Path::new("."));
            signer.key_file = folder.join(&signer.key_file);
            signer.passphrase_file = folder.join(&signer.passphrase_file);
        }
        Ok(config)
    }

    /// As a `ledger.toml`.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("every member has a form in TOML")
    }
}
