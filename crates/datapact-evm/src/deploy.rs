//! Putting the contract on a chain.

use std::time::{Duration, Instant};

use alloy::consensus::TxLegacy;
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::sol_types::SolCall as _;
use datapact_ledger::LedgerError;
use serde::Deserialize;

use crate::abi::{self, sol_types::Registry};
use crate::config::{EvmConfig, KIND, SignerConfig};
use crate::rpc::Rpc;
use crate::signer::{FileSigner, of_account, sign};

/// The compiled registry; it makes the contract of which all shares' contracts are clones.
const ARTIFACT: &str = include_str!("../../../contracts/artifacts/DatapactRegistry.json");
/// More gas than the deployment needs.
const GAS: u64 = 8_000_000;
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Where and by whom.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Nodes of the chain.
    pub endpoints: Vec<String>,
    /// The chain's id.
    pub chain_id: u64,
    /// What a unit of gas costs, in wei.
    pub gas_price: u64,
    /// How many blocks must follow one before it is final.
    pub confirmations: u64,
    /// How far apart blocks are, in seconds.
    pub block_seconds: u64,
    /// Who deploys, and submits from then on.
    pub signer: SignerConfig,
    /// Who may replace the submitter; the signer's account if not given.
    pub owner: Option<Address>,
}

/// The registry's creation code.
///
/// # Errors
/// [`LedgerError::Misconfigured`] when this program was built with a broken artifact.
pub fn bytecode() -> Result<Bytes, LedgerError> {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let artifact: Result<Artifact, _> = serde_json::from_str(ARTIFACT);
    artifact.map(|artifact| artifact.bytecode).map_err(|e| {
        LedgerError::Misconfigured(format!("this program was built with a broken contract: {e}"))
    })
}

/// Deploys the contract and describes it.
///
/// # Errors
/// [`LedgerError`], as for any call. Deploying again makes another contract.
pub async fn deploy(deployment: Deployment) -> Result<EvmConfig, LedgerError> {
    let rpc = Rpc::new(&deployment.endpoints, deployment.chain_id)?;
    let key = FileSigner::new(deployment.signer.clone()).key().await?;
    let account = key.address();
    let mut input = bytecode()?.to_vec();
    input.extend(abi::constructor(deployment.owner.unwrap_or(account), account));
    let transaction = TxLegacy {
        chain_id: Some(deployment.chain_id),
        nonce: rpc.nonce(account, "pending").await?,
        gas_price: deployment.gas_price.into(),
        gas_limit: GAS,
        to: TxKind::Create,
        value: U256::ZERO,
        input: input.into(),
    };
    let (hash, raw) = sign(&key, transaction)?;
    rpc.send(&raw).await.map_err(|error| of_account(error.into(), account))?;
    let end = Instant::now() + TIMEOUT;
    let receipt = loop {
        match rpc.receipt(hash).await? {
            Some(receipt) => break receipt,
            None if Instant::now() > end => {
                let why = format!(
                    "no block has taken the deployment {hash} within {} s",
                    TIMEOUT.as_secs()
                );
                return Err(LedgerError::Unavailable(why));
            }
            None => tokio::time::sleep(POLL).await,
        }
    };
    let failed = || {
        LedgerError::Misconfigured(format!(
            "the chain refuses the contract (transaction {hash}, {} gas): it needs the rules of \
             Berlin or later",
            receipt.gas_used
        ))
    };
    let contract = receipt.contract_address.filter(|_| receipt.status == 1).ok_or_else(failed)?;
    // The registry has made the contract that all shares' contracts are clones of: it says which.
    let output =
        rpc.view(None, contract, &Registry::implementationCall {}.abi_encode().into()).await?;
    let implementation =
        Registry::implementationCall::abi_decode_returns(&output).map_err(|_| failed())?;
    Ok(EvmConfig {
        kind: KIND.to_owned(),
        chain_id: deployment.chain_id,
        contract,
        implementation,
        from_block: receipt.block_number,
        endpoints: deployment.endpoints,
        confirmations: deployment.confirmations,
        gas_price: deployment.gas_price,
        block_seconds: deployment.block_seconds,
        signer: Some(deployment.signer),
    })
}
