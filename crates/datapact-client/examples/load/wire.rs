//! Sending and receiving, as cheaply as it goes: requests are ready as bytes, and of an answer only
//! its status and its length are looked at.

use datapact_api::endpoint::Endpoint;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Result;

/// A request as it is sent.
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    /// The status of success.
    pub(crate) wanted: u16,
}

impl Prepared {
    /// The request `method target` with a signed statement and a JSON body.
    pub(crate) fn new(
        server: &str,
        method: &str,
        target: &str,
        statement: &str,
        body: &[u8],
        wanted: u16,
    ) -> Self {
        let mut bytes = format!(
            "{method} {target} HTTP/1.1\r\nhost: {server}\r\n{}: {statement}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            datapact_api::gate::STATEMENT_HEADER,
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        Self { bytes, wanted }
    }
}

/// An answer.
pub(crate) struct Answer {
    /// Which call it answers.
    pub(crate) call: usize,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        format!("{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint, tls: &Arc<rustls::ClientConfig>) -> Result<Self> {
        let name = ServerName::try_from(endpoint.name()?.to_owned())?;
        let tcp = match endpoint.connect {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect(endpoint.url.trim_start_matches("https://")).await?,
        };
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(&mut self, call: usize, prepared: &Prepared) -> Result<Answer> {
        let (head, status) = self.send(prepared).await?;
        let text = std::str::from_utf8(self.read.get(..head).unwrap_or_default())?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.ok_or("an answer without a length")?.parse::<usize>()?;
        while self.read.len() < head + length {
            self.more().await?;
        }
        let body = self.read.get(head..head + length).unwrap_or_default().to_vec();
        Ok(Answer { call, status, body })
    }

    /// Sends a request for events.
    pub(crate) async fn listen(&mut self, prepared: &Prepared) -> Result<()> {
        let (head, status) = self.send(prepared).await?;
        self.read.drain(..head);
        if status == prepared.wanted {
            Ok(())
        } else {
            Err(format!("a subscriber was answered {status}").into())
        }
    }

    /// Waits for the next event.
    pub(crate) async fn next_event(&mut self) -> Result<()> {
        loop {
            if let Some(data) = find(&self.read, b"data:")
                && let Some(end) = find(self.read.get(data..).unwrap_or_default(), b"\n\n")
            {
                self.read.drain(..data + end);
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// Sends a request; how long the head of the answer is, and its status.
    async fn send(&mut self, prepared: &Prepared) -> Result<(usize, u16)> {
        self.stream.write_all(&prepared.bytes).await?;
        self.stream.flush().await?;
        self.read.clear();
        let head = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(self.read.get(..head).unwrap_or_default())?;
        Ok((head, text.get(9..12).ok_or("an answer without a status")?.parse()?))
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err("a server has closed a connection".into()),
            _ => Ok(()),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
