//! Networks of Fabric's real programs on this machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Command;

use datapact_fabric::network::{Network, Orderers};
use support::{TestNetwork, options};

/// What `peer` says when an organisation's administrator asks its own peer.
fn peer(network: &TestNetwork, organisation: &str, args: &[&str]) -> Result<String, String> {
    let dir = network.network.dir();
    let users = dir.join(format!("crypto/peerOrganizations/{organisation}.localhost/users"));
    let output = Command::new(&network.programs.peer)
        .env("FABRIC_CFG_PATH", dir.join(format!("peer-{organisation}")))
        .env("CORE_PEER_MSPCONFIGPATH", users.join(format!("Admin@{organisation}.localhost/msp")))
        .args(args)
        .output()
        .unwrap();
    let [said, errors] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if output.status.success() { Ok(said) } else { Err(errors) }
}

/// The channel on an organisation's peer: its height and newest block's hash.
fn channel(network: &TestNetwork, organisation: &str) -> (u64, String) {
    let said =
        peer(network, organisation, &["channel", "getinfo", "--channelID", "datapact"]).unwrap();
    let json = said.lines().find_map(|line| line.strip_prefix("Blockchain info: ")).unwrap();
    let info: serde_json::Value = serde_json::from_str(json).unwrap();
    (info["height"].as_u64().unwrap(), info["currentBlockHash"].as_str().unwrap().to_owned())
}

/// What the chaincode on an organisation's peer says of itself.
fn info(network: &TestNetwork, organisation: &str) -> Option<serde_json::Value> {
    let query =
        ["chaincode", "query", "-C", "datapact", "-n", "datapact", "-c", r#"{"Args":["info"]}"#];
    let said = peer(network, organisation, &query).ok()?;
    Some(serde_json::from_str(said.trim()).unwrap())
}

fn nodes(network: &Network) -> Vec<String> {
    network.running().into_iter().map(|node| node.node).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raft_network_goes_on_where_it_was_and_another_runs_beside_it() {
    let Some(mut one) = TestNetwork::channel(Orderers::Raft).await else { return };
    assert_eq!(nodes(&one.network), ["orderer-1", "peer-management", "peer-key"]);
    let before = channel(&one, "management");
    assert_eq!(channel(&one, "key"), before);

    let two = TestNetwork::channel(Orderers::Raft).await.unwrap();
    assert_ne!(channel(&two, "management").1, before.1, "it has a channel of its own");

    // A crash of a peer, and what is left when only this network is ended.
    one.network.stop_node("peer-key", true).await.unwrap();
    assert_eq!(nodes(&one.network), ["orderer-1", "peer-management"]);
    one.network.down().await.unwrap();
    assert!(nodes(&one.network).is_empty());
    assert_eq!(nodes(&two.network).len(), 3);

    // As another program would find it later.
    reopen(&mut one, Orderers::Raft);
    one.network.start_channel(&one.programs).await.unwrap();
    assert_eq!(channel(&one, "management"), before);
    assert_eq!(channel(&one, "key"), before);

    // Once more, with everything running, changes nothing.
    let running: Vec<u32> = one.network.running().iter().map(|node| node.process).collect();
    one.network.start_channel(&one.programs).await.unwrap();
    assert_eq!(one.network.running().iter().map(|node| node.process).collect::<Vec<_>>(), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interruption_has_left_is_gone_on_with() {
    let Some(mut one) = TestNetwork::channel(Orderers::Raft).await else { return };
    let before = channel(&one, "management");
    // As if everything had died before anything was noted but the processes and the ports.
    for node in nodes(&one.network) {
        one.network.stop_node(&node, true).await.unwrap();
    }
    let record = one.network.dir().join("network.json");
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains("\"made\": true"));
    std::fs::write(&record, text.replace("\"made\": true", "\"made\": false")).unwrap();
    reopen(&mut one, Orderers::Raft);
    one.network.start_channel(&one.programs).await.unwrap();
    assert_eq!(channel(&one, "management"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bft_orderers_make_a_channel_and_one_of_four_may_be_missing() {
    let Some(mut network) = TestNetwork::channel(Orderers::Bft).await else { return };
    assert_eq!(nodes(&network.network).len(), 6);
    let before = channel(&network, "management");
    network.network.stop_node("orderer-3", true).await.unwrap();
    network.network.start_node(&network.programs, "orderer-3").await.unwrap();
    assert_eq!(channel(&network, "key"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_organisations_have_the_chaincode_and_it_comes_back_after_a_crash() {
    let Some(mut network) = TestNetwork::up(Orderers::Raft).await else { return };
    let set_up = info(&network, "management").unwrap();
    assert_eq!(set_up["set_up"]["ledger"], support::ID);
    assert_eq!(set_up["set_up"]["submitter"], "ManagementMSP");
    assert_eq!(info(&network, "key").unwrap(), set_up);

    network.network.stop_node("chaincode-key", true).await.unwrap();
    network.network.start_node(&network.programs, "chaincode-key").await.unwrap();
    // The peer notices the broken stream by itself, and connects again when it is asked the next
    // time.
    let mut tries = 0;
    while info(&network, "key").as_ref() != Some(&set_up) {
        tries += 1;
        assert!(tries < 1_000, "the peer does not find its chaincode again");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    network.network.down().await.unwrap();
    let height =
        network.network.up(&network.programs).await.map(|_| channel(&network, "key").0).unwrap();
    assert_eq!(info(&network, "key").unwrap(), set_up);
    assert_eq!(channel(&network, "management").0, height, "what is done is not done again");
}

#[test]
fn a_folder_that_is_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "mine").unwrap();
    let error = Network::open(dir.path(), &options(Orderers::Raft)).unwrap_err().to_string();
    assert!(
        error.contains("is not empty and holds no network") && error.contains("--dir DIR"),
        "{error}"
    );
    let missing = Network::existing(dir.path()).unwrap_err().to_string();
    assert!(missing.contains("holds no network"), "{missing}");
}

#[test]
fn a_network_keeps_its_orderers_and_its_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let made = Network::open(dir.path(), &options(Orderers::Raft)).unwrap();
    let busy = Network::open(dir.path(), &options(Orderers::Raft)).unwrap_err().to_string();
    assert!(busy.contains("another program works on the network"), "{busy}");
    drop(made);
    let other = Network::open(dir.path(), &options(Orderers::Bft)).unwrap_err().to_string();
    assert!(other.contains("has other orderers"), "{other}");
    let ledger = datapact_fabric::network::Options {
        ledger: "other.example".into(),
        ..options(Orderers::Raft)
    };
    let other = Network::open(dir.path(), &ledger).unwrap_err().to_string();
    assert!(other.contains("has another ledger id"), "{other}");
}

fn reopen(network: &mut TestNetwork, orderers: Orderers) {
    let dir: &Path = &network.dir.path().join("network");
    // The lock is this process's until its holder is gone.
    let elsewhere =
        Network::open(&network.dir.path().join("elsewhere"), &options(orderers)).unwrap();
    drop(std::mem::replace(&mut network.network, elsewhere));
    network.network = Network::open(dir, &options(orderers)).unwrap();
}
