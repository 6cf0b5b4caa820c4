//! What `doctor` looks at. Every check gives a finding, also the good ones, so that one sees what
//! was looked at.

mod enrolment;
pub(crate) mod profile;
pub(crate) mod server;

use std::fmt::Display;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use datapact_api::client::Http;
use datapact_api::gate::STATEMENT_SECONDS_MAX;
use datapact_api::public::Public as _;
use datapact_core::id::Timestamp;
use datapact_log::note::{Checkpoint, VerifyingKey};
use datapact_server::operator::expiry::Ends;
use datapact_server::operator::space;
use serde::Serialize;

use crate::context::now;

/// From how many seconds on a clock is worth a warning.
const CLOCK_SECONDS_WARNING: u64 = 5;
/// The least part of a disk that should be free, in percent, and the least that must be.
const DISK_PERCENT_WARNING: u64 = 10;
const DISK_PERCENT_ERROR: u64 = 1;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// As it should be.
    Good,
    /// To be repaired soon.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Error => "ERROR",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    /// The file, server or certificate.
    pub(crate) subject: String,
    pub(crate) level: Level,
    pub(crate) detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

/// The findings so far.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    fn good(&mut self, check: &'static str, subject: impl Display, detail: impl Display) {
        self.add(check, subject, Level::Good, detail, None);
    }

    fn warning(
        &mut self,
        check: &'static str,
        subject: impl Display,
        detail: impl Display,
        advice: &str,
    ) {
        self.add(check, subject, Level::Warning, detail, Some(advice));
    }

    fn error(
        &mut self,
        check: &'static str,
        subject: impl Display,
        detail: impl Display,
        advice: &str,
    ) {
        self.add(check, subject, Level::Error, detail, Some(advice));
    }

    fn add(
        &mut self,
        check: &'static str,
        subject: impl Display,
        level: Level,
        detail: impl Display,
        advice: Option<&str>,
    ) {
        let (subject, detail) = (subject.to_string(), detail.to_string());
        let advice = advice.map(str::to_owned);
        self.0.push(Finding { check, subject, level, detail, advice });
    }

    /// A file or folder that only its owner may use.
    fn private(&mut self, path: &Path) {
        let check = "file-mode";
        match std::fs::metadata(path) {
            Err(error) => {
                self.error(
                    check,
                    path.display(),
                    error,
                    "restore it from a backup, or correct the configuration",
                );
            }
            Ok(meta) => {
                let mode = meta.permissions().mode() & 0o7777;
                let wanted = if meta.is_dir() { "700" } else { "600" };
                if mode & 0o077 == 0 {
                    self.good(check, path.display(), format_args!("mode {mode:o}"));
                } else {
                    let advice = format!(
                        "chmod {wanted} {}; replace a secret that others may have read",
                        path.display()
                    );
                    self.error(
                        check,
                        path.display(),
                        format_args!("others may use it (mode {mode:o})"),
                        &advice,
                    );
                }
            }
        }
    }

    /// Something that ends some day; `advice` if the usual one does not fit.
    fn ends(&mut self, ends: &Ends, advice: Option<&str>) {
        let what = match ends.kind {
            "ca" => format!("CA of {}", ends.name),
            "crl" => format!("revocation list of {}", ends.name),
            _ => format!("certificate of {}", ends.name),
        };
        let advice = advice.unwrap_or(ends.advice());
        let now = now();
        match ends.days_left(now) {
            None => self.error("expiry", what, "it has ended", advice),
            Some(days) if ends.is_due(now) => {
                self.warning("expiry", what, format_args!("it ends in {days} days"), advice);
            }
            Some(days) => self.good("expiry", what, format_args!("it ends in {days} days")),
        }
    }

    /// The disk of a folder.
    fn disk(&mut self, folder: &Path) {
        let advice = "make room: a full disk answers `unavailable`, and nothing is lost";
        match space(folder) {
            Err(error) => self.error("disk", folder.display(), error, "correct the configuration"),
            Ok((free, size)) => {
                let percent = free.saturating_mul(100) / size.max(1);
                let detail = format!("{} MiB free, {percent} %", free / (1024 * 1024));
                if percent < DISK_PERCENT_ERROR {
                    self.error("disk", folder.display(), detail, advice);
                } else if percent < DISK_PERCENT_WARNING {
                    self.warning("disk", folder.display(), detail, advice);
                } else {
                    self.good("disk", folder.display(), detail);
                }
            }
        }
    }

    /// A server: whether it answers with the right certificate, and what its clock says.
    async fn server(&mut self, kind: &str, http: &Http) -> bool {
        let subject = format!("{kind} `{}`", http.endpoint().url);
        match http.probe().await {
            Err(problem) => {
                let advice = problem.hint.as_deref().unwrap_or("see its log");
                self.error("server", subject, &problem.detail, advice);
                false
            }
            Ok(date) => {
                self.good("server", &subject, "it answers, and its certificate is right");
                if let Some(date) = date {
                    self.clock(&subject, date);
                }
                true
            }
        }
    }

    fn clock(&mut self, subject: &str, date: Timestamp) {
        let apart = date.abs_diff(now());
        let detail = format!("its clock and this machine's are {apart} seconds apart");
        let advice = "let both machines take the time from the network (NTP)";
        if apart > STATEMENT_SECONDS_MAX {
            self.error("clock", subject, detail, advice);
        } else if apart > CLOCK_SECONDS_WARNING {
            self.warning("clock", subject, detail, advice);
        } else {
            self.good("clock", subject, detail);
        }
    }

    /// Management's public listener: health, version, and whether the log is the one configured.
    async fn management(&mut self, http: Http, ledger: &str, log: &VerifyingKey) {
        if !self.server("management's public listener", &http).await {
            return;
        }
        let subject = format!("management `{}`", http.endpoint().url);
        let public = http;
        match public.health().await {
            Ok(health) => {
                let own = env!("CARGO_PKG_VERSION");
                self.good("health", &subject, "it works");
                if health.version == own {
                    self.good("version", &subject, format_args!("{own}, as this program"));
                } else {
                    let detail = format!("it has {}, this program {own}", health.version);
                    self.warning(
                        "version",
                        &subject,
                        detail,
                        "use the same version, the servers first",
                    );
                }
            }
            Err(problem) => {
                let advice = problem.hint.as_deref().unwrap_or("see its log");
                self.error("health", &subject, &problem.detail, advice);
            }
        }
        let note = match public.log("checkpoint").await {
            Ok(note) => note,
            Err(problem) => {
                return self.error("ledger", &subject, &problem.detail, "see management's log");
            }
        };
        // Without witnesses: only the log's own signature is in question here.
        match Checkpoint::open(&note, log, &[]) {
            Ok(checkpoint) if checkpoint.origin() == ledger => {
                self.good(
                    "ledger",
                    &subject,
                    format_args!("`{ledger}`, {} entries", checkpoint.size()),
                );
            }
            Ok(checkpoint) => {
                let detail = format!("its log is `{}`, not `{ledger}`", checkpoint.origin());
                self.error("ledger", &subject, detail, "correct the ledger's id, or the address");
            }
            Err(error) => {
                let detail = format!("its log is not signed by the key configured: {error}");
                let advice = "stop here: ask management's operator over another channel which log \
                              key is right";
                self.error("ledger", &subject, detail, advice);
            }
        }
    }
}
