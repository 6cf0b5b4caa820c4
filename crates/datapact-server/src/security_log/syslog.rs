//! Lines to a syslog server: RFC 5424 over UDP (RFC 5426), TCP with octet counting (RFC 6587), or a
//! socket of this machine. A server that is away costs lines and delays nothing for long.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use datapact_core::id::Timestamp;
use datapact_core::permission::TIME_MAX;
use humantime::format_rfc3339_seconds;
use serde::Deserialize;

use super::Kind;
use super::writer::Export;

/// How long one attempt to reach the server may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a server that is away is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// How many lines wait while it is away; later ones are not sent.
const WAITING_MAX: usize = 4096;
/// The facility `log audit`.
const FACILITY: u8 = 13;
/// The severity of refusals, and that of what was done.
const WARNING: u8 = 4;
const NOTICE: u8 = 5;

/// Where a syslog server is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SyslogAddress {
    /// A host and port, by datagrams.
    Udp(String),
    /// A host and port, by a connection.
    Tcp(String),
    /// A datagram socket of this machine.
    Unix(PathBuf),
}

impl TryFrom<String> for SyslogAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let host = |rest: &str| {
            let port = rest.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.and_then(|(_, port)| port.parse::<u16>().ok()).map(|_| rest.to_owned())
        };
        let found = match text.split_once("://") {
            Some(("udp", rest)) => host(rest).map(Self::Udp),
            Some(("tcp", rest)) => host(rest).map(Self::Tcp),
            Some(("unix", path)) if path.starts_with('/') => Some(Self::Unix(path.into())),
            _ => None,
        };
        found.ok_or_else(|| {
            format!("`{text}` is not `udp://HOST:PORT`, `tcp://HOST:PORT` or `unix:///PATH`")
        })
    }
}

/// An open way to the server.
enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixDatagram),
}

impl SyslogAddress {
    /// Starts the thread that sends.
    pub(super) fn start(&self, server: &str) -> Syslog {
        let (messages, waiting) = sync_channel::<String>(WAITING_MAX);
        let address = self.clone();
        let thread = std::thread::Builder::new().name("syslog".to_owned()).spawn(move || {
            let mut way = None;
            while let Ok(message) = waiting.recv() {
                address.send(&mut way, &message);
            }
        });
        if let Err(error) = thread {
            tracing::error!(%error, "the security log is not sent by syslog");
        }
        Syslog { server: server.to_owned(), messages, is_behind: false }
    }

    /// Sends a message, twice at most: a connection may have been closed since the last.
    fn send(&self, way: &mut Option<Way>, message: &str) {
        for _ in 0..2 {
            let sent = match way.take().map_or_else(|| self.open(), Ok) {
                Ok(mut open) => open.send(message).map(|()| open),
                Err(error) => Err(error),
            };
            match sent {
                Ok(open) => {
                    *way = Some(open);
                    return;
                }
                Err(error) => tracing::warn!(%error, "a line was not sent by syslog"),
            }
        }
        std::thread::sleep(PAUSE);
    }

    fn open(&self) -> io::Result<Way> {
        match self {
            Self::Udp(host) => {
                let address = resolve(host)?;
                let any: SocketAddr = if address.is_ipv4() {
                    ([0, 0, 0, 0], 0).into()
                } else {
                    ([0u16; 8], 0).into()
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Way::Udp(socket))
            }
            Self::Tcp(host) => {
                let stream = TcpStream::connect_timeout(&resolve(host)?, TIMEOUT)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(Way::Tcp(stream))
            }
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(TIMEOUT))?;
                socket.connect(path)?;
                Ok(Way::Unix(socket))
            }
        }
    }
}

fn resolve(host: &str) -> io::Result<SocketAddr> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
    host.to_socket_addrs()?.next().ok_or_else(unknown)
}

impl Way {
    fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Unix(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Tcp(stream) => {
                stream.write_all(format!("{} {message}", message.len()).as_bytes())
            }
        }
    }
}

/// Lines on their way to the thread that sends.
pub(super) struct Syslog {
    server: String,
    messages: SyncSender<String>,
    /// The last line found no room.
    is_behind: bool,
}

impl Export for Syslog {
    fn send(&mut self, time: Timestamp, kind: Kind, line: &str) {
        let message = message(&self.server, time, kind, line);
        let is_behind = self.messages.try_send(message).is_err();
        if is_behind && !self.is_behind {
            tracing::warn!("the syslog server is away; lines are not sent until it is back");
        }
        self.is_behind = is_behind;
    }
}

/// A syslog message (RFC 5424, 6): the event's kind is its MSGID, the line its text.
pub(super) fn message(server: &str, time: Timestamp, kind: Kind, line: &str) -> String {
    let severity = if kind.is_warning() { WARNING } else { NOTICE };
    // A message without a time has a dash there.
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(time)).filter(|_| time <= TIME_MAX);
    let at = at.map_or_else(|| "-".to_owned(), |at| format_rfc3339_seconds(at).to_string());
    let name = serde_json::to_value(kind).unwrap_or_default();
    format!(
        "<{}>1 {at} {server} datapact {} {} - {line}",
        FACILITY * 8 + severity,
        std::process::id(),
        name.as_str().unwrap_or("-"),
    )
}
