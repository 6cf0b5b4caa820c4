//! The server processes of the quickstart.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::site::Site;
use crate::failure::{Failure, Result};

/// Each is a process: the three servers, and the lab's witness, which the others do not wait for.
pub(super) const ROLES: [&str; 4] = ["witness", "management", "key", "storage"];
/// How long a server may take to listen, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server processes, none at first. They end when their standard input does, so none outlives
/// the quickstart, however it ends.
#[derive(Default)]
pub(super) struct Servers {
    children: Vec<(&'static str, Child, Option<ChildStdin>)>,
}

impl Servers {
    /// Starts them all, each a process of this program.
    pub(super) async fn start(&mut self, site: &Site) -> Result<()> {
        let program = std::env::current_exe().map_err(|e| {
            Failure::local(format!("cannot find this program: {e}"), "start it by its path")
        })?;
        for role in ROLES {
            self.start_one(&program, site, role).await?;
        }
        Ok(())
    }

    async fn start_one(&mut self, program: &Path, site: &Site, role: &'static str) -> Result<()> {
        let log_path = site.log(role);
        let cannot = |e: &dyn std::fmt::Display| {
            let hint = format!("its log is `{}`", log_path.display());
            Failure::local(format!("the {role} server does not start: {e}"), hint)
        };
        let log =
            File::options().create(true).append(true).open(&log_path).map_err(|e| cannot(&e))?;
        let mut child = Command::new(program)
            .args(["serve", role, "--json", "--until-eof", "--config"])
            .arg(site.config(role))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| cannot(&e))?;
        let stdin = child.stdin.take();
        let ready = child.stdout.take();
        self.children.push((role, child, stdin));
        let mut line = String::new();
        let read = async {
            match ready {
                Some(stdout) => BufReader::new(stdout).read_line(&mut line).await,
                None => Ok(0),
            }
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(length)) if length > 0 => Ok(()),
            Ok(Ok(_)) => Err(cannot(&"it ended at once")),
            Ok(Err(e)) => Err(cannot(&e)),
            Err(_) => Err(cannot(&"it does not listen in time")),
        }
    }

    /// The processes' ids.
    pub(super) fn ids(&self) -> Vec<(&'static str, u32)> {
        self.children.iter().filter_map(|(role, child, _)| Some((*role, child.id()?))).collect()
    }

    /// Waits until one of the servers ends by itself, and says which.
    pub(super) async fn ended(&mut self) -> &'static str {
        let waits = self.children.iter_mut().map(|(role, child, _)| {
            Box::pin(async move {
                let _ = child.wait().await;
                *role
            })
        });
        futures_util::future::select_all(waits).await.0
    }

    /// Ends all of them and waits until they have.
    pub(super) async fn stop(mut self) {
        for (_, _, stdin) in &mut self.children {
            drop(stdin.take());
        }
        for (_, child, _) in &mut self.children {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }
}
