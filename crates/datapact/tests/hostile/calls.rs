//! Calls that are written by hand, sent over TLS, and what a server answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use datapact_api::endpoint::Endpoint;
use datapact_core::document::Statement;
use datapact_core::id::Digest;
use datapact_core::jws::{Signed, Signer};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};

use crate::support::now;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Asserts a problem document of this kind whose detail contains `detail`.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, kind: &str, detail: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert!(
            self.head.to_ascii_lowercase().contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["type"], format!("urn:datapact:problem:{kind}"), "{text}");
        assert_eq!(problem["status"], status);
        assert!(
            problem["detail"].as_str().unwrap().contains(detail),
            "`{detail}` is not said by {text}"
        );
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A client that writes what it likes to one server.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) signer: Option<Arc<Signer>>,
}

/// One call, to be spoilt.
#[derive(Clone, Default)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn get(target: &str) -> Call {
    Call { method: "GET", target: target.to_owned(), ..Call::default() }
}

pub(crate) fn post(target: &str, body: &[u8]) -> Call {
    Call { method: "POST", target: target.to_owned(), body: body.to_owned(), ..Call::default() }
}

/// A POST of one signed document.
pub(crate) fn document(target: &str, jws: &str) -> Call {
    post(target, json!({ "document": jws }).to_string().as_bytes())
}

impl Call {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn statement(&self) -> Statement {
        let streamed =
            self.headers.iter().any(|(name, value)| *name == "content-type" && value == OCTETS);
        let content = (!streamed && !self.body.is_empty()).then(|| Digest::of(&self.body));
        Statement { method: self.method.to_owned(), target: self.target.clone(), content }
    }
}

pub(crate) const OCTETS: &str = "application/octet-stream";

impl Raw {
    pub(crate) fn new(
        endpoint: &Endpoint,
        tls: rustls::ClientConfig,
        signer: Option<Arc<Signer>>,
    ) -> Self {
        let name = endpoint.name().unwrap().to_owned();
        Self { tls: Arc::new(tls), name, address: endpoint.connect.unwrap(), signer }
    }

    /// Sends `bytes` over a new connection and reads until the server closes it.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> std::io::Result<Answer> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(45)))?;
        let server = ServerName::try_from(self.name.clone()).unwrap();
        let connection = rustls::ClientConnection::new(self.tls.clone(), server)
            .map_err(std::io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(connection, socket);
        // The server may answer and close before it has read everything.
        let written = stream.write_all(bytes).and_then(|()| stream.flush());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            // What the server said about it counts for more than that it did not read on.
            read.and(written)?;
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head, body: answer[end + 4..].to_vec() })
    }

    /// Sends `call` with this `Datapact-Statement`, if any.
    pub(crate) fn send(&self, call: &Call, statement: Option<&str>) -> Answer {
        self.exchange(&self.bytes(call, statement, "close")).unwrap()
    }

    /// The call as it is sent, with this header field `connection`.
    pub(crate) fn bytes(&self, call: &Call, statement: Option<&str>, connection: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: {connection}\r\n",
            call.method, call.target, self.name
        );
        if let Some(statement) = statement {
            head += &format!("datapact-statement: {statement}\r\n");
        }
        for (name, value) in &call.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !call
            .headers
            .iter()
            .any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding"))
        {
            head += &format!("content-length: {}\r\n", call.body.len());
        }
        [head.as_bytes(), b"\r\n", &call.body].concat()
    }

    /// Sends `call`, rightly signed.
    pub(crate) fn call(&self, call: &Call) -> Answer {
        let statement =
            self.signer.as_ref().map(|signer| signer.sign(&self.name, now(), call.statement()));
        self.send(call, statement.as_ref().map(Signed::as_str))
    }
}
