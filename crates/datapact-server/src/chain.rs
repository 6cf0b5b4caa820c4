//! Ledgers that are chains: the adapter that a `ledger.toml` names.

use std::path::Path;
use std::sync::Arc;

use datapact_api::gate::Source;
use datapact_core::trust::Trust;
#[cfg(any(feature = "evm", feature = "fabric"))]
use datapact_ledger::chain::ChainOptions;
use datapact_ledger::{Ledger, LedgerError};
use datapact_log::clock::Clock;
use serde::Deserialize;

/// What every `ledger.toml` says.
#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// Opens the chain that the `ledger.toml` at `path` describes, as the ledger `id`.
///
/// # Errors
/// [`LedgerError::Misconfigured`] when the file is wrong, or this program has no such adapter.
pub(crate) fn open(
    path: &Path,
    id: &str,
    trust: Source<Trust>,
    clock: Clock,
) -> Result<Arc<dyn Ledger>, LedgerError> {
    let wrong =
        |detail: String| LedgerError::Misconfigured(format!("`{}`: {detail}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let Kind { kind } = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    match kind.as_str() {
        "ethereum" => ethereum(path, id, trust, clock),
        "fabric" => fabric(path, id, trust, clock),
        other => Err(wrong(format!("this program does not know the kind of ledger `{other}`"))),
    }
}

#[cfg(feature = "evm")]
fn ethereum(
    path: &Path,
    id: &str,
    trust: Source<Trust>,
    clock: Clock,
) -> Result<Arc<dyn Ledger>, LedgerError> {
    let options = ChainOptions { id: id.to_owned(), trust: Arc::new(move || trust()), clock };
    Ok(Arc::new(datapact_evm::EvmLedger::open(path, options)?))
}

#[cfg(not(feature = "evm"))]
fn ethereum(
    path: &Path,
    _: &str,
    _: Source<Trust>,
    _: Clock,
) -> Result<Arc<dyn Ledger>, LedgerError> {
    Err(LedgerError::Misconfigured(format!(
        "`{}` is of an Ethereum-family ledger, and this program was built without them; \
         build it with `cargo build --release --features evm`",
        path.display()
    )))
}

#[cfg(feature = "fabric")]
fn fabric(
    path: &Path,
    id: &str,
    trust: Source<Trust>,
    clock: Clock,
) -> Result<Arc<dyn Ledger>, LedgerError> {
    use datapact_fabric::gateway::FabricLedger;
    let options = ChainOptions { id: id.to_owned(), trust: Arc::new(move || trust()), clock };
    Ok(Arc::new(FabricLedger::open(path, options)?))
}

#[cfg(not(feature = "fabric"))]
fn fabric(
    path: &Path,
    _: &str,
    _: Source<Trust>,
    _: Clock,
) -> Result<Arc<dyn Ledger>, LedgerError> {
    Err(LedgerError::Misconfigured(format!(
        "`{}` is of Hyperledger Fabric, and this program was built without it; build it with \
         `cargo build --release -p datapact -p datapact-chaincode --features datapact/fabric`",
        path.display()
    )))
}
