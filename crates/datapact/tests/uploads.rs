//! DS-1: an upload goes on where it was, though the storage server is killed in the middle of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use datapact_client::Progress;
use datapact_core::permission::AccessTimes;
use support::{PATIENCE, Site, data};

const PACKAGE_BYTES: usize = 24 * 1024 * 1024;
/// So much is to be kept when the server is killed.
const KEPT_BYTES_MIN: u64 = 1024 * 1024;

/// How much of the one upload under way has arrived.
fn arrived(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().map_or(0, |meta| meta.len())).sum()
}

#[derive(Default)]
struct Seen {
    /// What the server had kept when it was killed.
    kept: Option<u64>,
    /// What was told after that.
    after: Vec<u64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn ds_1_an_upload_goes_on_where_a_killed_server_has_it() {
    let site = Arc::new(Site::start());
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let uploads = site.file("servers/storage/data/uploads");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let progress = {
        let (site, seen, uploads) = (Arc::clone(&site), Arc::clone(&seen), uploads.clone());
        move |progress| {
            let Progress::Uploading { done, total } = progress else { return };
            let mut seen = seen.lock().unwrap();
            if seen.kept.is_some() {
                seen.after.push(done);
            } else if done >= total / 3 {
                let until = Instant::now() + PATIENCE;
                while arrived(&uploads) < KEPT_BYTES_MIN {
                    assert!(Instant::now() < until, "nothing arrives");
                    std::thread::sleep(Duration::from_millis(10));
                }
                site.kill("storage");
                seen.kept = Some(arrived(&uploads));
                site.restart("storage");
            }
        }
    };
    let plain = data(5, PACKAGE_BYTES);
    let set = clinic
        .share_telling("large", &plain, AccessTimes::Times(1), Arc::new(progress))
        .await
        .unwrap();

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let kept = seen.kept.expect("the server was killed");
    assert!(kept >= KEPT_BYTES_MIN);
    // Nothing that was kept is sent again, and the rest is sent to the end.
    let least = seen.after.iter().min().expect("something was sent afterwards");
    assert!(*least > kept, "{least} bytes after {kept} were kept");
    assert_eq!(seen.after.last(), Some(&set.package.size));
    assert_eq!(arrived(&uploads), 0, "an upload that became a package must be gone");
    let (opened, _) = lab.open(set.share).await.unwrap();
    assert!(opened == plain);
}
