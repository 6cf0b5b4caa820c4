//! The security log: who was refused and why, what administrators did, which limits were hit. A
//! file of JSON lines, each with the digest of the one before, so that none can be changed, taken
//! out or put in unseen; `docs/operations.md` lists the events. Of a person a line has the identity
//! only.

mod chain;
#[cfg(feature = "otel")]
mod otlp;
mod syslog;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use datapact_core::id::{Digest, Timestamp};
use datapact_log::clock::Clock;
use serde::{Deserialize, Serialize};

pub use chain::{ChainError, Verified, verify};
pub(crate) use watch::{Watch, watch, watch_trust};

use crate::operator::traces::TracesConfig;
use syslog::SyslogAddress;
use writer::{Export, Writer};

/// The log, in the data folder, unless configured otherwise.
pub const FILE: &str = "security.log";
/// How many events may wait to be written; of more, the number is written.
const WAITING_MAX: usize = 4096;
/// The longest identity that is written whole, in bytes.
const IDENTITY_BYTES_MAX: usize = 1024;

/// Where the security log is, how large, and where else its lines are sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityLogConfig {
    /// The file; `security.log` in the data folder if not given.
    pub file: Option<PathBuf>,
    /// From which size on the file is put aside as `FILE.NUMBER` and another begun, in bytes.
    pub file_bytes_max: u64,
    /// How many files that were put aside are kept; older ones are deleted.
    pub files_kept: usize,
    /// Where each line is also sent by syslog (RFC 5424): `udp://HOST:PORT`, `tcp://HOST:PORT` or
    /// `unix:///dev/log`.
    pub syslog: Option<SyslogAddress>,
    /// The collector to which each line is also sent as an OpenTelemetry log record.
    pub otlp: Option<TracesConfig>,
}

impl Default for SecurityLogConfig {
    fn default() -> Self {
        let (file_bytes_max, files_kept) = (16 * 1024 * 1024, 20);
        Self { file: None, file_bytes_max, files_kept, syslog: None, otlp: None }
    }
}

impl SecurityLogConfig {
    /// What of it cannot be.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.file_bytes_max < 64 * 1024 {
            return Err("`security_log.file_bytes_max` must be at least 65536".to_owned());
        }
        self.otlp.as_ref().map_or(Ok(()), TracesConfig::validate)
    }

    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.file.iter_mut().chain(self.otlp.iter_mut().flat_map(|otlp| &mut otlp.ca))
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The server began to listen.
    Started,
    /// The server ended as it was asked to.
    Stopped,
    /// A connection's certificate was refused, or its handshake failed.
    ConnectionRefused,
    /// The certificate of a connection that is open does not identify its user any more.
    LoginRefused,
    /// The access list does not admit the caller.
    NotAdmitted,
    /// The call's signed statement is missing, wrong, late or used before.
    StatementRefused,
    /// The caller may not do this.
    CallRefused,
    /// A limit was hit.
    LimitReached,
    /// An administrator has changed something.
    AdministratorDeed,
    /// An access token was revoked.
    TokenRevoked,
    /// A realm has another revocation list now.
    RevocationListRead,
    /// CAs or realms are trusted differently now.
    TrustChanged,
    /// The configuration was read again, with its access list.
    ConfigurationRead,
    /// Some events were not written, since there were too many at once: `count` says how many.
    EventsLost,
    /// What a crash has left of the last line was taken out.
    LineRepaired,
}

impl Kind {
    /// Whether it is about a refusal, not about something that was done.
    fn is_warning(self) -> bool {
        !matches!(
            self,
            Self::Started
                | Self::Stopped
                | Self::AdministratorDeed
                | Self::TokenRevoked
                | Self::RevocationListRead
                | Self::TrustChanged
                | Self::ConfigurationRead
        )
    }
}

/// What is written of an event, besides when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Event {
    pub(crate) event: Kind,
    /// The caller, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    /// The realm that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) realm: Option<String>,
    /// The operation that was called, by its name in the API's description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<&'static str>,
    /// A problem's kind, the contract's rule, or what was wrong with a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// SHA-256 of the caller's signed statement, as the record of actions has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement: Option<Digest>,
}

impl Event {
    pub(crate) fn new(event: Kind) -> Self {
        let (identity, realm, operation) = (None, None, None);
        Self { event, identity, realm, operation, reason: None, statement: None }
    }
}

/// Takes events, and never holds up who reports them.
#[derive(Clone)]
pub(crate) struct SecurityLog {
    events: SyncSender<Report>,
    lost: Arc<AtomicU64>,
    clock: Clock,
}

/// An event and when it happened; none ends the writing.
type Report = Option<(Timestamp, Event)>;

/// The thread that writes; it ends when it is told to, or when no [`SecurityLog`] is left.
pub(crate) struct Writing {
    thread: JoinHandle<()>,
    events: SyncSender<Report>,
}

impl SecurityLog {
    /// Opens the log of `server`, whose default place is `file`, and goes on behind its last line.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn open(
        config: &SecurityLogConfig,
        file: PathBuf,
        server: &str,
        role: &str,
        clock: Clock,
    ) -> Result<(Self, Writing), String> {
        let file = config.file.clone().unwrap_or(file);
        let mut exports: Vec<Box<dyn Export>> = Vec::new();
        if let Some(address) = &config.syslog {
            exports.push(Box::new(address.start(server)));
        }
        exports.extend(otlp(config, role, server)?);
        let writer = Writer::open(file, config, server, exports)?;
        let (events, waiting) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let (counted, now) = (Arc::clone(&lost), Arc::clone(&clock));
        let thread = std::thread::Builder::new().name("security-log".to_owned());
        let thread = thread.spawn(move || writer.run(&waiting, &counted, &now));
        let thread = thread.map_err(|error| error.to_string())?;
        let writing = Writing { thread, events: events.clone() };
        Ok((Self { events, lost, clock }, writing))
    }

    /// Reports an event.
    pub(crate) fn report(&self, mut event: Event) {
        if let Some(identity) = &mut event.identity
            && identity.len() > IDENTITY_BYTES_MAX
        {
            identity.truncate(identity.floor_char_boundary(IDENTITY_BYTES_MAX));
        }
        if let Err(TrySendError::Full(_)) = self.events.try_send(Some(((self.clock)(), event))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writing {
    /// Waits until all is written that was reported before.
    pub(crate) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || {
            let told = self.events.send(None).is_ok();
            self.thread.join().is_ok() && told
        });
        if !ended.await.is_ok_and(|ended| ended) {
            tracing::error!("the security log was not written to its end");
        }
    }
}

#[cfg(feature = "otel")]
fn otlp(
    config: &SecurityLogConfig,
    role: &str,
    server: &str,
) -> Result<Option<Box<dyn Export>>, String> {
    let Some(config) = &config.otlp else { return Ok(None) };
    let exporter = otlp::Exporter::start(config, role, server);
    Ok(Some(Box::new(exporter.map_err(|why| format!("`security_log.otlp`: {why}"))?)))
}

/// Refuses to send what this program cannot.
#[cfg(not(feature = "otel"))]
fn otlp(
    config: &SecurityLogConfig,
    _role: &str,
    _server: &str,
) -> Result<Option<Box<dyn Export>>, String> {
    match config.otlp {
        None => Ok(None),
        Some(_) => Err("this program was built without OpenTelemetry, which `security_log.otlp` \
                        asks for; build it with `--features otel`, or use a release"
            .to_owned()),
    }
}
