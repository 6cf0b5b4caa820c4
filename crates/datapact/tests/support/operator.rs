//! The operator's listener of a server, as its operator asks it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, Site};

/// Gives the server an operator's listener, from its next start on.
pub fn configure(site: &Site, role: &str) {
    let path = site.config(role);
    let config = std::fs::read_to_string(&path).unwrap();
    let operator = "[server.operator]\nlisten = \"127.0.0.1:0\"\n\n[server.access]";
    std::fs::write(&path, config.replace("[server.access]", operator)).unwrap();
}

/// Status and body of `GET path` at the operator's listener of a server that has said `ready` at
/// its start.
pub fn get(ready: &Value, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(ready["operator_listen"].as_str().unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until `/readyz` answers `status`, and gives its checks.
pub fn wait_ready(ready: &Value, status: u16) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let (got, body) = get(ready, "/readyz");
        let readiness: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(readiness["ready"] == true, got == 200, "{body}");
        if got == status {
            return readiness;
        }
        assert!(Instant::now() < until, "{body}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// One of the checks.
pub fn check<'a>(readiness: &'a Value, name: &str) -> &'a Value {
    let checks = readiness["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {readiness}"))
}
