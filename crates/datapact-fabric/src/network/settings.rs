//! The settings of the channel, of orderers and of peers: what has to be said, and what makes a
//! network on one machine quick to start and to see who is back. All else is as Fabric has it.

use serde_json::{Value, json};

use super::files::HOST;
use super::nodes::{Node, Orderers, Organisation};
use super::{CHANNEL, Network, ORDERER_DOMAIN, ORDERER_MSP, Programs};

/// The profile in `configtx.yaml` that the channel's first block is made by.
pub(super) const PROFILE: &str = "Datapact";
/// A port that no other node connects to: the system chooses it when the program listens.
const ANY_PORT: &str = "127.0.0.1:0";

impl Network {
    /// `configtx.yaml`.
    pub(super) fn channel_settings(&self) -> Value {
        let record = &self.record;
        let orderers = || 1..=record.orderers.number();
        let signature = |rule: String| json!({ "Type": "Signature", "Rule": rule });
        let implicit = |rule: &str| json!({ "Type": "ImplicitMeta", "Rule": rule });
        let group = || {
            json!({
                "Readers": implicit("ANY Readers"), "Writers": implicit("ANY Writers"),
                "Admins": implicit("MAJORITY Admins"),
            })
        };
        let organisation = |organisation: Organisation| {
            let msp = organisation.msp();
            json!({
                "Name": msp, "ID": msp, "MSPDir": self.organisation_dir(organisation).join("msp"),
                "Policies": {
                    "Readers":
                        signature(format!("OR('{msp}.admin', '{msp}.peer', '{msp}.client')")),
                    "Writers": signature(format!("OR('{msp}.admin', '{msp}.client')")),
                    "Admins": signature(format!("OR('{msp}.admin')")),
                    "Endorsement": signature(format!("OR('{msp}.peer')")),
                },
                "AnchorPeers": [{ "Host": HOST, "Port": self.port(Node::Peer(organisation)) }],
            })
        };
        let orderer_organisation = json!({
            "Name": ORDERER_MSP, "ID": ORDERER_MSP, "MSPDir": self.orderers_dir().join("msp"),
            "Policies": {
                "Readers": signature(format!("OR('{ORDERER_MSP}.member')")),
                "Writers": signature(format!("OR('{ORDERER_MSP}.member')")),
                "Admins": signature(format!("OR('{ORDERER_MSP}.admin')")),
            },
            "OrdererEndpoints":
                orderers().map(|at| self.address(Node::Orderer(at))).collect::<Vec<_>>(),
        });
        let certificate = |at: u16| self.orderer_crypto(at).join("tls/server.crt");
        let common = json!({
            "BatchTimeout": self.batch_timeout(),
            "BatchSize": {
                "MaxMessageCount": 500, "AbsoluteMaxBytes": "10 MB", "PreferredMaxBytes": "2 MB",
            },
            "Capabilities": { "V2_0": true },
            "Organizations": [orderer_organisation],
            "Policies": with(group(), json!({ "BlockValidation": implicit("ANY Writers") })),
        });
        let consensus = match record.orderers {
            Orderers::Raft => {
                let consenter = |at| {
                    json!({
                        "Host": HOST, "Port": self.port(Node::Orderer(at)),
                        "ClientTLSCert": certificate(at), "ServerTLSCert": certificate(at),
                    })
                };
                json!({ "OrdererType": "etcdraft", "EtcdRaft": {
                    "Consenters": orderers().map(consenter).collect::<Vec<_>>(),
                    // A second until the only orderer elects itself, instead of five.
                    "Options": { "TickInterval": "100ms" },
                } })
            }
            Orderers::Bft => {
                let consenter = |at| {
                    let name = format!("orderer-{at}.{ORDERER_DOMAIN}-cert.pem");
                    json!({
                        "ID": at, "Host": HOST, "Port": self.port(Node::Orderer(at)),
                        "MSPID": ORDERER_MSP,
                        "Identity": self.orderer_crypto(at).join("msp/signcerts").join(name),
                        "ClientTLSCert": certificate(at), "ServerTLSCert": certificate(at),
                    })
                };
                json!({
                    "OrdererType": "BFT",
                    "ConsenterMapping": orderers().map(consenter).collect::<Vec<_>>(),
                    // One of four that is gone or silent is noticed within seconds, not a minute.
                    "SmartBFT": {
                        "RequestBatchMaxInterval": self.batch_timeout(),
                        "RequestForwardTimeout": "1s",
                        "RequestComplainTimeout": "5s", "RequestAutoRemoveTimeout": "3m0s",
                        "ViewChangeResendInterval": "2s", "ViewChangeTimeout": "10s",
                        "LeaderHeartbeatTimeout": "10s", "LeaderHeartbeatCount": 10,
                        "CollectTimeout": "1s",
                        "IncomingMessageBufferSize": 200, "RequestPoolSize": 10_000,
                    },
                })
            }
        };
        let application = json!({
            "Capabilities": { "V2_5": true },
            "Organizations": Organisation::ALL.map(organisation),
            "Policies": with(group(), json!({
                "Endorsement": implicit("MAJORITY Endorsement"),
                "LifecycleEndorsement": implicit("MAJORITY Endorsement"),
            })),
        });
        // BFT came with V3_0; Raft alone needs nothing that Fabric 2.5 lacks.
        let capability = if record.orderers == Orderers::Bft { "V3_0" } else { "V2_0" };
        json!({ "Profiles": { PROFILE: {
            "Policies": group(), "Capabilities": { capability: true },
            "Orderer": with(common, consensus), "Application": application,
        } } })
    }

    /// `orderer.yaml`.
    pub(super) fn orderer_settings(&self, at: u16) -> Value {
        let node = Node::Orderer(at);
        let [crypto, dir] = [self.orderer_crypto(at), self.node_dir(node)];
        let tls = |client_auth: bool| {
            json!({
                "Enabled": true, "Certificate": crypto.join("tls/server.crt"),
                "PrivateKey": crypto.join("tls/server.key"), "RootCAs": [crypto.join("tls/ca.crt")],
                "ClientAuthRequired": client_auth, "ClientRootCAs": [crypto.join("tls/ca.crt")],
            })
        };
        json!({
            "General": {
                "ListenAddress": HOST, "ListenPort": self.port(node), "BootstrapMethod": "none",
                "TLS": tls(false),
                "Cluster": {
                    "ClientCertificate": crypto.join("tls/server.crt"),
                    "ClientPrivateKey": crypto.join("tls/server.key"),
                },
                "LocalMSPDir": crypto.join("msp"), "LocalMSPID": ORDERER_MSP,
            },
            "FileLedger": { "Location": dir.join("ledger") },
            "Consensus": { "WALDir": dir.join("wal"), "SnapDir": dir.join("snapshots") },
            "Operations": { "ListenAddress": ANY_PORT },
            "Admin": { "ListenAddress": self.admin_address(at), "TLS": tls(true) },
            "ChannelParticipation": { "Enabled": true, "MaxRequestBodySize": "1 MB" },
        })
    }

    /// `core.yaml`.
    pub(super) fn peer_settings(&self, organisation: Organisation, programs: &Programs) -> Value {
        let node = Node::Peer(organisation);
        let [crypto, dir, address] =
            [self.peer_crypto(organisation), self.node_dir(node), self.address(node).into()];
        let file = |name: &str| json!({ "file": crypto.join("tls").join(name) });
        let mut filters = vec!["DefaultAuth", "ExpirationCheck"];
        // A peer that has no such filter does not start.
        if programs.version.is_none_or(|version| version >= (3, 0)) {
            filters.push("TimeWindowCheck");
        }
        let filters: Vec<Value> = filters.into_iter().map(|name| json!({ "name": name })).collect();
        json!({
            "peer": {
                "id": node.name(), "networkId": CHANNEL,
                "address": address, "listenAddress": address, "chaincodeListenAddress": ANY_PORT,
                "localMspId": organisation.msp(), "mspConfigPath": crypto.join("msp"),
                "localMspType": "bccsp",
                "BCCSP": { "Default": "SW", "SW": { "Hash": "SHA2", "Security": 256 } },
                "fileSystemPath": dir.join("ledger"),
                "tls": {
                    "enabled": true, "clientAuthRequired": false, "cert": file("server.crt"),
                    "key": file("server.key"), "rootcert": file("ca.crt"),
                },
                "gateway": {
                    "enabled": true, "endorsementTimeout": "30s", "broadcastTimeout": "30s",
                    "dialTimeout": "10s",
                },
                // Everything here is near: who is back is seen within seconds.
                "gossip": {
                    "bootstrap": address, "endpoint": address, "externalEndpoint": address,
                    "useLeaderElection": false, "orgLeader": true, "state": { "enabled": false },
                    "publishStateInfoInterval": "1s", "requestStateInfoInterval": "1s",
                    "aliveTimeInterval": "1s", "aliveExpirationTimeout": "5s",
                    "reconnectInterval": "2s", "membershipTrackerInterval": "5s",
                    "pvtData": {
                        "pullRetryThreshold": "60s", "transientstoreMaxBlockRetention": 1000,
                        "pushAckTimeout": "3s", "btlPullMargin": 10, "reconcileBatchSize": 10,
                        "reconcileSleepInterval": "1m", "reconciliationEnabled": true,
                    },
                },
                "client": { "connTimeout": "10s" },
                "deliveryclient": {
                    "connTimeout": "3s", "reconnectTotalTimeThreshold": "3600s",
                    "reConnectBackoffThreshold": "1s", "policy": "cluster",
                },
                "authentication": { "timewindow": "15m" },
                "handlers": {
                    "authFilters": filters,
                    "decorators": [{ "name": "DefaultDecorator" }],
                    "endorsers": { "escc": { "name": "DefaultEndorsement" } },
                    "validators": { "vscc": { "name": "DefaultValidation" } },
                },
                "discovery": {
                    "enabled": true, "authCacheEnabled": true, "authCacheMaxSize": 1000,
                    "authCachePurgeRetentionRatio": 0.75,
                },
                "limits": { "concurrency": {
                    "endorserService": 2500, "deliverService": 2500, "gatewayService": 2500,
                } },
            },
            "vm": { "endpoint": "" },
            "chaincode": {
                "mode": "net", "installTimeout": "60s", "startuptimeout": "60s",
                "executetimeout": "30s",
                "externalBuilders": [{ "name": "datapact", "path": self.dir().join("builder") }],
                "system": {
                    "_lifecycle": "enable", "cscc": "enable", "lscc": "enable", "qscc": "enable",
                },
                "logging": { "level": "info", "shim": "warning" },
            },
            "ledger": {
                "state": { "stateDatabase": "goleveldb", "totalQueryLimit": 100_000 },
                "history": { "enableHistoryDatabase": true },
                "pvtdataStore": {
                    "collElgProcMaxDbBatchSize": 5000, "collElgProcDbBatchesInterval": 1000,
                    "deprioritizedDataReconcilerInterval": "60m", "purgeInterval": 100,
                },
                "snapshots": { "rootDir": dir.join("snapshots") },
            },
            "operations": { "listenAddress": ANY_PORT, "tls": { "enabled": false } },
            "metrics": { "provider": "disabled" },
        })
    }

    fn batch_timeout(&self) -> String {
        format!("{}ms", self.record.batch_timeout_ms)
    }
}

/// An object with another's members besides its own.
fn with(object: Value, others: Value) -> Value {
    match (object, others) {
        (Value::Object(mut object), Value::Object(others)) => {
            object.extend(others);
            Value::Object(object)
        }
        (object, _) => object,
    }
}
