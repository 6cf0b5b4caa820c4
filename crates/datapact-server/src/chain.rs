//! Ledgers that are chains: the adapter that a `ledger.toml` names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datapact_api::gate::Source;
use datapact_core::enrolment::Chain;
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

/// What users are told of the chain that the `ledger.toml` at `path` describes: the contract, the
/// network's parameters and the CAs of its nodes. Where this server's nodes are and who submits is
/// not among it.
///
/// # Errors
/// [`LedgerError::Misconfigured`] when the file or one that it names cannot be read.
pub(crate) fn describe(path: &Path) -> Result<Chain, LedgerError> {
    let wrong =
        |detail: String| LedgerError::Misconfigured(format!("`{}`: {detail}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let of = |key: &str| match table.get(key) {
        Some(toml::Value::String(text)) => Some(text.clone()),
        Some(value @ toml::Value::Integer(_)) => Some(value.to_string()),
        _ => None,
    };
    let needed = |key: &str| of(key).ok_or_else(|| wrong(format!("`{key}` is missing")));
    let kind = needed("kind")?;
    let (contract, told): (_, &[&str]) = match kind.as_str() {
        "ethereum" => (
            format!("eip155:{}:{}", needed("chain_id")?, needed("contract")?),
            &["implementation", "from_block", "confirmations", "block_seconds"],
        ),
        _ => {
            let chaincode = of("chaincode").unwrap_or_else(|| "datapact".to_owned());
            (format!("{}/{chaincode}", needed("channel")?), &["consensus"])
        }
    };
    let parameters = told.iter().filter_map(|key| Some(((*key).to_owned(), of(key)?))).collect();
    let mut certificates = BTreeMap::new();
    let nodes = ["peers", "orderers"].into_iter().filter_map(|kind| table.get(kind)?.as_array());
    for node in nodes.flatten() {
        let of_node = |key: &str| Some(node.get(key)?.as_str()?.to_owned());
        if let (Some(address), Some(file)) = (of_node("address"), of_node("tls_ca_file")) {
            let file = path.parent().unwrap_or(Path::new(".")).join(file);
            let pem = std::fs::read_to_string(&file)
                .map_err(|e| wrong(format!("`{}`: {e}", file.display())))?;
            certificates.insert(address, pem);
        }
    }
    Ok(Chain { kind, contract, parameters, certificates })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn described(text: &str) -> Result<Chain, LedgerError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("peer-ca.pem"), "the CA of the peer").unwrap();
        let path = folder.path().join("ledger.toml");
        std::fs::write(&path, text).unwrap();
        describe(&path)
    }

    #[test]
    fn us_4_users_are_told_the_contract_the_parameters_and_the_nodes_cas() {
        let chain = described(
            "kind = \"ethereum\"\nchain_id = 1337\ncontract = \"0xab\"\nfrom_block = 7\n\
             implementation = \"0xcd\"\nendpoints = [\"http://own-node.example:8545\"]\n\
             [signer]\nkey_file = \"signer.json\"\npassphrase_file = \"signer.passphrase\"\n",
        )
        .unwrap();
        assert_eq!(
            (chain.kind.as_str(), chain.contract.as_str()),
            ("ethereum", "eip155:1337:0xab")
        );
        assert_eq!((&*chain.parameters["from_block"], chain.parameters.len()), ("7", 2));
        assert!(chain.certificates.is_empty());

        let fabric = "kind = \"fabric\"\nchannel = \"data\"\n[identity]\nmsp_id = \"M\"\n\
                      certificate_file = \"c.pem\"\nkey_file = \"k.pem\"\n[[peers]]\n\
                      address = \"grpcs://peer.example:7051\"\ntls_ca_file = \"FILE\"\n";
        let chain = described(&fabric.replace("FILE", "peer-ca.pem")).unwrap();
        assert_eq!(chain.contract, "data/datapact");
        assert_eq!(chain.certificates["grpcs://peer.example:7051"], "the CA of the peer");
        assert!(described(fabric).is_err(), "a CA's file is missing");
        assert!(described("kind = \"ethereum\"\nchain_id = 1\n").is_err(), "no contract");
    }
}
