//! A reader that is not ours: `contracts/read-share.js` reads a share with ethers.js, as
//! `docs/spec/ethereum.md` says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use datapact_core::contract::{Attributes, Call, Receipt};
use datapact_core::document::UsageAction;
use datapact_core::permission::AccessTimes;
use datapact_core::terms::Terms;
use datapact_evm::config::EvmConfig;
use datapact_evm::network::Kind;
use datapact_ledger::{ContractState as _, Ledger};
use datapact_local::testing::{Fixture, ShareState};
use serde_json::json;
use support::{ID, TestNetwork};

const ETHERS: &str = "ethers@6.17.0";

/// Where npm has put ethers.js; none without npm.
fn ethers() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap();
    let folder = base.join("datapact").join(ETHERS);
    std::fs::create_dir_all(&folder).unwrap();
    let file = std::fs::File::create(folder.join("lock")).unwrap();
    file.lock().unwrap();
    if !folder.join("complete").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(ETHERS);
        if !npm.output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        std::fs::write(folder.join("complete"), "").unwrap();
    }
    Some(folder.join("node_modules"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ethers_js_reads_a_shares_state_and_events_as_documented() {
    let Some(modules) = tokio::task::spawn_blocking(ethers).await.unwrap() else {
        return datapact_test_tools::skip(&format!("npm cannot install {ETHERS}"));
    };
    let Some(network) = TestNetwork::up(Kind::Devnode, 1).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = network.ledger(&fixture);
    let consumer = fixture.consumer("Consumer");
    let mut share = fixture.share(AccessTimes::Times(3), |policy| {
        policy.terms = Terms {
            organisations: ["lab.example".parse().unwrap()].into(),
            industries: ["isic4:86".parse().unwrap(), "nace2:86.10".parse().unwrap()].into(),
            countries: ["DE".parse().unwrap(), "SE".parse().unwrap()].into(),
            ..Terms::default()
        };
    });
    // Another share's events are not this one's.
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    ledger.execute(&call, &documents).await.unwrap();
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();
    let attributes = Attributes {
        organisation: Some("lab.example".parse().unwrap()),
        industry: Some("isic4:8610".parse().unwrap()),
        country: Some("SE".parse().unwrap()),
    };
    let mut accesses = Vec::new();
    let mut last = None;
    for _ in 0..2 {
        let (call, documents) = share.request_with(&consumer, attributes.clone());
        let receipt = ledger.execute(&call, &documents).await.unwrap();
        let Receipt::Access(record) = &receipt.receipt else { panic!("{receipt:?}") };
        accesses.push(json!({
            "request": record.request.request,
            "consumer": record.request.consumer,
            "country": "SE",
            "access": record.access,
            "time": record.time,
        }));
        last = Some(call);
    }
    let (call, documents) = share.report(&consumer, &last.unwrap(), UsageAction::Opened);
    ledger.execute(&call, &documents).await.unwrap();
    let Call::RecordUsage(usage) = &call else { panic!("{call:?}") };
    let (call, documents) = share.next(|policy| policy.state = ShareState::Suspended);
    ledger.execute(&call, &documents).await.unwrap();

    let config = EvmConfig::load(&network.network.ledger_file()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/read-share.js");
    let mut node = Command::new("node");
    node.arg(script)
        .arg(&config.endpoints[0])
        .arg(config.contract.to_string())
        .arg(share.id().to_string());
    node.env("NODE_PATH", modules);
    let output = tokio::task::spawn_blocking(move || node.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let address = read["address"].as_str().unwrap().to_lowercase();
    let ours = ledger.address(&share.id()).to_lowercase();
    assert!(ours.contains(&address), "{ours} and {address}");
    assert_eq!(
        read["policy"],
        json!({
            "version": 2,
            "id": share.policy.id(),
            "state": "suspended",
            "access_times": 3,
            "expires": share.policy.body().permission.expires,
            "organisations": ["lab.example"],
            "industries": ["isic4:86", "nace2:86.10"],
            "countries": ["DE", "SE"],
        })
    );
    assert_eq!(read["accesses"], json!(accesses));
    assert_eq!(read["reports"], json!([usage.report]));
}
