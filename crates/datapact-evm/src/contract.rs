//! The registry as a node shows it, and whether it is what the configuration says.

use alloy::primitives::Address;
use alloy::sol_types::SolCall;
use datapact_core::contract::CONTRACT_VERSION;
use datapact_ledger::LedgerError;

use crate::abi::sol_types::Registry;
use crate::config::EvmConfig;
use crate::rpc::Rpc;

/// What a reading function of the contract at `to` says; none when the contract has no such
/// function.
pub(crate) async fn ask<C: SolCall>(
    rpc: &Rpc,
    to: Address,
    call: C,
) -> Result<Option<C::Return>, LedgerError> {
    match rpc.view(None, to, &call.abi_encode().into()).await {
        Ok(output) => Ok(C::abi_decode_returns(&output).ok()),
        Err(error) if error.reverted().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks that the contract is what the configuration says, and takes calls from `account`, if
/// there is one.
pub(crate) async fn check(
    rpc: &Rpc,
    config: &EvmConfig,
    account: Option<Address>,
) -> Result<(), LedgerError> {
    let EvmConfig { contract, implementation, chain_id, .. } = config;
    let is_empty = rpc.code(*contract).await?.is_empty();
    let node = rpc.preferred().to_owned();
    if is_empty {
        return Err(LedgerError::Misconfigured(format!(
            "there is no contract at {contract} on the chain {chain_id} of `{node}`; correct \
             `contract`, or deploy one with `datapact ledger contract deploy`"
        )));
    }
    let other = |what: &str| {
        LedgerError::Misconfigured(format!(
            "the contract at {contract} on the chain {chain_id} of `{node}` is not a Datapact \
             registry that this program knows: {what}"
        ))
    };
    let version = ask(rpc, *contract, Registry::contractVersionCall {})
        .await?
        .ok_or_else(|| other("no version"))?;
    if version != CONTRACT_VERSION {
        return Err(other(&format!("its rules have version {version}")));
    }
    let found = ask(rpc, *contract, Registry::implementationCall {}).await?;
    if found != Some(*implementation) {
        return Err(other(&format!("its `implementation` is not {implementation}")));
    }
    match account {
        Some(account)
            if ask(rpc, *contract, Registry::submitterCall {}).await? != Some(account) =>
        {
            Err(not_submitter(config, account))
        }
        _ => Ok(()),
    }
}

pub(crate) fn not_submitter(config: &EvmConfig, account: Address) -> LedgerError {
    LedgerError::Misconfigured(format!(
        "the contract at {} takes no calls from the account {account}; its owner must call \
         `replaceSubmitter`, or `key_file` is another account's",
        config.contract
    ))
}
