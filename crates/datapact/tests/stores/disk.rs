//! Disks that are full or read-only for a while.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use datapact_api::problem::Kind;
use datapact_core::permission::AccessTimes;
use serde_json::Value;

use crate::support::{ROLES, Site, data, operator, until_done};
use crate::{PLAIN, assert_unavailable};

/// The option by which `unshare` gives a process mounts of its own: as root, or as root of a user
/// namespace. None where the system allows neither; then the test is skipped.
fn namespaces() -> Option<&'static str> {
    let allowed = |option: &&str| {
        let mut unshare = Command::new("unshare");
        unshare.args([option, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).stderr(Stdio::null());
        unshare.status().is_ok_and(|status| status.success())
    };
    let found = ["-m", "-rm"].into_iter().find(allowed);
    if found.is_none() {
        datapact_test_tools::skip("this system does not allow mount namespaces to this user");
    }
    found
}

/// A server whose data folder is a small disk of its own.
struct SmallDisk {
    child: Child,
    data: PathBuf,
    /// The option that `unshare` was given.
    namespaces: &'static str,
    /// What the server said at its start.
    ready: Value,
}

impl SmallDisk {
    /// Starts the server with its data on a small disk, in a mount namespace of its own. None where
    /// the system does not let this user make one.
    fn serve(site: &Site, role: &'static str) -> Option<Self> {
        let namespaces = namespaces()?;
        site.kill(role);
        operator::configure(site, role);
        let data = site.file(&format!("servers/{role}/data"));
        let script = "cp -a \"$1\" \"$1.before\" \
                      && mount -t tmpfs -o size=24m,mode=700 tmpfs \"$1\" \
                      && cp -a \"$1.before/.\" \"$1\" \
                      && exec \"$2\" serve \"$3\" --json --until-eof --config \"$4\"";
        let log = std::fs::File::options()
            .append(true)
            .open(site.file(&format!("logs/{role}.log")))
            .unwrap();
        let mut child = Command::new("unshare")
            .args([namespaces, "sh", "-c", script, "sh"])
            .arg(&data)
            .arg(env!("CARGO_BIN_EXE_datapact"))
            .arg(role)
            .arg(site.config(role))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", site.log(role)));
        Some(Self { child, data, namespaces, ready })
    }

    /// The data folder as the server sees it.
    fn inside(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.child.id());
        PathBuf::from(root).join(self.data.strip_prefix("/").unwrap())
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.inside().join("ballast")).unwrap();
        for size in [64 * 1024, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.inside().join("ballast")).unwrap();
    }

    fn mount(&self, arguments: &[&str]) {
        let mut nsenter = Command::new("nsenter");
        if self.namespaces == "-rm" {
            nsenter.arg(format!("--user=/proc/{}/ns/user", self.child.id()));
        }
        let status = nsenter
            .arg(format!("--mount=/proc/{}/ns/mnt", self.child.id()))
            .args(arguments)
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each server's disk is full for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_survived() {
    let plain = data(2, 400_000);
    for role in ROLES {
        let site = Site::start_on(false);
        let (clinic, lab) = (site.user("clinic"), site.user("lab"));
        let share = clinic.share("before", &plain, AccessTimes::Times(2)).await.unwrap().share;
        let Some(mut disk) = SmallDisk::serve(&site, role) else { return };
        until_done("opening", || async { lab.open(share).await }).await;
        disk.fill();
        assert_unavailable(role, clinic.share("meanwhile", &plain, AccessTimes::Unlimited).await);
        let readiness = operator::wait_ready(&disk.ready, 503);
        assert_eq!(operator::check(&readiness, "database")["ok"], false, "{role}: {readiness}");
        assert!(matches!(disk.child.try_wait(), Ok(None)), "{role} still runs");
        disk.empty();
        // It recovers without a restart.
        operator::wait_ready(&disk.ready, 200);
        until_done("opening", || async { lab.open(share).await }).await;
        let error = lab.open(share).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{role}: two accesses are two: {error}");
        let after = until_done("sharing", || async {
            clinic.share("after", &plain, AccessTimes::Unlimited).await
        });
        let after = after.await.share;
        assert!(until_done("opening", || async { lab.open(after).await }).await.0 == plain);
        assert!(clinic.provider().audit(&share).await.unwrap().good);
    }
}

/// The folder of packages becomes read-only under the running server, and writable again.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_told_and_survived() {
    let site = Site::start_on(false);
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let Some(disk) = SmallDisk::serve(&site, "storage") else { return };
    let packages = disk.data.join("packages");
    let packages = packages.to_str().unwrap();
    let share = until_done("sharing", || async {
        clinic.share("before", PLAIN, AccessTimes::Unlimited).await
    });
    let share = share.await.share;
    disk.mount(&["mount", "--bind", packages, packages]);
    disk.mount(&["mount", "-o", "remount,bind,ro", packages]);
    assert_unavailable("sharing", clinic.share("meanwhile", PLAIN, AccessTimes::Unlimited).await);
    assert_eq!(lab.open(share).await.unwrap().0, PLAIN, "what is there can be read");
    disk.mount(&["umount", packages]);
    let after = clinic.share("after", PLAIN, AccessTimes::Unlimited).await.unwrap().share;
    assert_eq!(lab.open(after).await.unwrap().0, PLAIN);
}
