//! What a channel's configuration says of its orderers: how they agree, where they are, and who
//! certifies their TLS.

use datapact_ledger::LedgerError;
use prost::Message as _;

use super::config::Consensus;
use crate::proto::block::{Block, Envelope, Payload};
use crate::proto::config::{
    Config, ConfigEnvelope, ConfigGroup, ConsensusType, FabricMspConfig, MspConfig,
    OrdererAddresses,
};

/// The orderers of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelOrderers {
    pub(crate) consensus: Consensus,
    /// In the order of their organisations' names.
    pub(crate) orderers: Vec<ChannelOrderer>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelOrderer {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// The CAs of its organisation's TLS certificates, PEM one behind the other; empty where there
    /// are none.
    pub(crate) tls_cas: Vec<u8>,
}

impl ChannelOrderers {
    /// Reads the newest block of a channel's configuration.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] when it is not such a block, or the orderers agree in a way
    /// that is not known.
    pub(crate) fn of(block: Block) -> Result<Self, LedgerError> {
        let root = root(block).ok_or_else(|| wrong("it cannot be read"))?;
        let orderers = root.groups.get("Orderer").ok_or_else(|| wrong("it names no orderers"))?;
        let kind: ConsensusType = value(orderers, "ConsensusType")
            .ok_or_else(|| wrong("it does not say how the orderers agree"))?;
        let consensus = match kind.r#type.as_str() {
            "etcdraft" => Consensus::Raft,
            "BFT" => Consensus::Bft,
            other => {
                return Err(wrong(&format!(
                    "its orderers agree by `{other}`, neither Raft nor BFT"
                )));
            }
        };
        let mut found = Vec::new();
        for organisation in orderers.groups.values() {
            let tls_cas = tls_cas(organisation);
            let OrdererAddresses { addresses } =
                value(organisation, "Endpoints").unwrap_or_default();
            found.extend(
                addresses
                    .into_iter()
                    .map(|address| ChannelOrderer { address, tls_cas: tls_cas.clone() }),
            );
        }
        if found.is_empty() {
            // Channels older than Fabric 1.4.2: one list for all organisations.
            let tls_cas: Vec<u8> = orderers.groups.values().flat_map(tls_cas).collect();
            let OrdererAddresses { addresses } =
                value(&root, "OrdererAddresses").unwrap_or_default();
            found.extend(
                addresses
                    .into_iter()
                    .map(|address| ChannelOrderer { address, tls_cas: tls_cas.clone() }),
            );
        }
        if found.is_empty() {
            return Err(wrong("it does not say where the orderers are"));
        }
        Ok(Self { consensus, orderers: found })
    }
}

fn wrong(what: &str) -> LedgerError {
    LedgerError::Misconfigured(format!("the channel's configuration: {what}"))
}

fn root(block: Block) -> Option<ConfigGroup> {
    let envelope = Envelope::decode(block.data?.data.into_iter().next()?).ok()?;
    let payload = Payload::decode(envelope.payload).ok()?;
    let Config { channel_group } = ConfigEnvelope::decode(payload.data).ok()?.config?;
    channel_group
}

fn value<T: prost::Message + Default>(group: &ConfigGroup, name: &str) -> Option<T> {
    T::decode(group.values.get(name)?.value.clone()).ok()
}

fn tls_cas(organisation: &ConfigGroup) -> Vec<u8> {
    let msp = value::<MspConfig>(organisation, "MSP").unwrap_or_default();
    let msp = FabricMspConfig::decode(msp.config).unwrap_or_default();
    let mut pem = Vec::new();
    for certificate in msp.tls_root_certs.iter().chain(&msp.tls_intermediate_certs) {
        pem.extend_from_slice(certificate.trim_ascii_end());
        pem.push(b'\n');
    }
    pem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    /// The first block of a real channel, which is of its configuration.
    fn recorded() -> Vec<u8> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fabric/blocks.json");
        let recorded: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        hex::decode(recorded["blocks"][0].as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_configuration_of_a_real_channel_says_who_orders_and_how() {
        let ChannelOrderers { consensus, orderers } =
            ChannelOrderers::of(Block::decode(recorded().as_slice()).unwrap()).unwrap();
        assert_eq!((consensus, orderers.len()), (Consensus::Raft, 1));
        assert!(orderers[0].address.starts_with("127.0.0.1:"));
        let pem = String::from_utf8(orderers[0].tls_cas.clone()).unwrap();
        assert!(
            pem.starts_with("-----BEGIN CERTIFICATE-----\n")
                && pem.ends_with("-----END CERTIFICATE-----\n")
        );
    }

    #[test]
    fn what_is_no_configuration_is_said_and_cut_bytes_are_no_reason_to_panic() {
        let error = ChannelOrderers::of(Block::default()).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        let good = recorded();
        for at in (0..good.len()).step_by(7) {
            if let Ok(block) = Block::decode(&good[..at]) {
                let _ = ChannelOrderers::of(block);
            }
            let mut changed = good.clone();
            changed[at] ^= 0x81;
            if let Ok(block) = Block::decode(changed.as_slice()) {
                let _ = ChannelOrderers::of(block);
            }
        }
    }
}
