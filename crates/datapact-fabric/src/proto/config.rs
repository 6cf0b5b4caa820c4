//! A channel's configuration (`common/configtx`, `common/configuration`, `orderer/configuration`,
//! `msp/msp_config`).

use std::collections::BTreeMap;

use prost::Message;

/// What a block of the configuration holds.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigEnvelope {
    /// The configuration.
    #[prost(message, optional, tag = "1")]
    pub config: Option<Config>,
}

/// A channel's configuration.
#[derive(Clone, PartialEq, Message)]
pub struct Config {
    /// Its root.
    #[prost(message, optional, tag = "2")]
    pub channel_group: Option<ConfigGroup>,
}

/// A group of values and groups, by their names.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigGroup {
    /// Groups in it.
    #[prost(btree_map = "string, message", tag = "2")]
    pub groups: BTreeMap<String, ConfigGroup>,
    /// Values in it.
    #[prost(btree_map = "string, message", tag = "3")]
    pub values: BTreeMap<String, ConfigValue>,
}

/// A value: a message, by its name.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ConfigValue {
    /// The message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
}

/// `Endpoints` of an orderers' organisation, and the older `OrdererAddresses` of a channel.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct OrdererAddresses {
    /// `HOST:PORT` of each.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
}

/// How the orderers agree.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ConsensusType {
    /// `etcdraft` or `BFT`.
    #[prost(string, tag = "1")]
    pub r#type: String,
}

/// An organisation's membership service.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MspConfig {
    /// For type 0, a [`FabricMspConfig`].
    #[prost(bytes = "bytes", tag = "2")]
    pub config: bytes::Bytes,
}

/// Who certifies an organisation's members and nodes.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct FabricMspConfig {
    /// CAs of TLS certificates, PEM.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub tls_root_certs: Vec<bytes::Bytes>,
    /// CAs below these, PEM.
    #[prost(bytes = "bytes", repeated, tag = "10")]
    pub tls_intermediate_certs: Vec<bytes::Bytes>,
}
