//! A node that answers as a test tells it to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// What the node does with a request.
pub(crate) enum Reply {
    /// A JSON-RPC answer: an object with `result` or `error`.
    Json(Value),
    /// This status and body.
    Raw(u16, Vec<u8>),
    /// Nothing at all, for so long.
    Silence(Duration),
}

impl From<Value> for Reply {
    fn from(answer: Value) -> Self {
        Self::Json(answer)
    }
}

/// Starts a node on loopback and gives its address; `answer` is asked by method and parameters.
pub(crate) fn start(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || serve(stream, answer.as_ref()));
        }
    });
    url
}

fn serve(stream: TcpStream, answer: &dyn Fn(&str, &Value) -> Reply) -> Option<()> {
    let mut writing = stream.try_clone().ok()?;
    let mut reading = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reading.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reading.read_exact(&mut body).ok()?;
        let asked: Value = serde_json::from_slice(&body).ok()?;
        let (status, body) = match answer(asked["method"].as_str().unwrap(), &asked["params"]) {
            Reply::Json(answer) => (200, answer.to_string().into_bytes()),
            Reply::Raw(status, body) => (status, body),
            Reply::Silence(time) => {
                std::thread::sleep(time);
                return None;
            }
        };
        write!(writing, "HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", body.len()).ok()?;
        writing.write_all(&body).ok()?;
    }
}
