//! Management's process is killed while its transactions are on their way.

use std::time::Duration;

use datapact_core::contract::Refusal;
use datapact_core::permission::AccessTimes;
use serde_json::Value;

use crate::can_run;
use crate::support::{Site, data, until_done};

/// How long the orderer waits for more transactions: so long it is certain that one was handed in
/// and is in no block.
const BATCH_TIMEOUT: u64 = 2000;

/// How many blocks management's own peer has.
fn height(site: &Site) -> u64 {
    let ledger = site.file("network/ledger.toml");
    let info = site.ok("admin", &["ledger", "info", "--chain", ledger.to_str().unwrap()]);
    info[0]["height"].as_u64().unwrap()
}

/// AX-4: killed before, while and after a transaction is endorsed, handed in, committed and
/// projected.
#[tokio::test(flavor = "multi_thread")]
async fn ax_4_management_killed_between_submit_and_commit_neither_loses_nor_doubles_an_access() {
    if !can_run().await {
        return;
    }
    let site = Site::start_on_fabric(BATCH_TIMEOUT);
    let plain = data(1, 100_000);
    let moments: &[u64] = &[20, 100, 400, 1000, 1700, 2050, 2200];
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let times = AccessTimes::Times(moments.len() as u32);
    let share = clinic.share("shared", &plain, times).await.unwrap().share;
    let mut on_its_way = 0;
    for (nth, moment) in (1..).zip(moments) {
        let before = height(&site);
        let opening = until_done("opening", || async { lab.open(share).await });
        let killing = async {
            tokio::time::sleep(Duration::from_millis(*moment)).await;
            site.kill("management");
            let killed = height(&site);
            // No process waits for it, and still it comes into a block.
            tokio::time::sleep(Duration::from_millis(BATCH_TIMEOUT + 1000)).await;
            if killed == before && height(&site) > before {
                on_its_way += 1;
            }
            site.restart("management");
        };
        let ((bytes, opened), ()) = tokio::join!(opening, killing);
        assert!(bytes == plain);
        assert_eq!(
            opened.permission.access, nth,
            "killed after {moment} ms: counted twice, or not at all"
        );
    }
    assert!(on_its_way > 0, "the moments miss the time between submit and commit");
    let error = lab.open(share).await.expect_err("the access times are used up");
    let refusal = Refusal::AccessTimes { access_times: moments.len() as u32 };
    assert_eq!(error.to_problem().refusal, Some(refusal));
    let audit = until_done("auditing", || async { clinic.provider().audit(&share).await }).await;
    assert!(audit.good && audit.releases_compared, "{:?}", audit.findings);
    assert_eq!(audit.accesses.len(), moments.len());
    let records: Vec<Value> = site.ok("lab", &["record", "list", "--share", &share.to_string()]);
    assert_eq!(records.len(), moments.len());
}
