//! The chain, the file and what is sent by syslog.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use super::*;

fn clock() -> Clock {
    Arc::new(|| 1_800_000_000)
}

fn event(identity: &str) -> Event {
    let (identity, reason) = (Some(identity.to_owned()), Some("unauthenticated"));
    Event { identity, reason, ..Event::new(Kind::StatementRefused) }
}

/// Writes these events, one line each, as a server that starts and ends.
async fn write(config: &SecurityLogConfig, file: &Path, identities: &[&str]) {
    let opened = SecurityLog::open(config, file.to_owned(), "keys.example", "key", clock());
    let (log, writing) = opened.unwrap();
    identities.iter().for_each(|identity| log.report(event(identity)));
    drop(log);
    writing.end().await;
}

fn check(text: &[u8]) -> Result<Verified, ChainError> {
    verify(BufReader::new(text), None)
}

#[tokio::test]
async fn each_line_continues_the_one_before_over_restarts_and_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let config = SecurityLogConfig::default();
    write(&config, &file, &["clinic:CN=Ann", "clinic:CN=Bob"]).await;
    write(&config, &file, &["clinic:CN=Cy"]).await;
    let text = std::fs::read(&file).unwrap();
    let found = check(&text).unwrap();
    assert_eq!((found.first, found.last, found.previous), (Some(1), 3, None));
    let first: serde_json::Value =
        serde_json::from_slice(text.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(first["event"], "statement-refused");
    assert_eq!(first["identity"], "clinic:CN=Ann");
    assert_eq!(
        (first["server"].as_str(), first["time"].as_u64()),
        (Some("keys.example"), Some(1_800_000_000))
    );

    // Killed in the middle of a line.
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"sequen").unwrap();
    write(&config, &file, &["clinic:CN=Dee"]).await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(check(text.as_bytes()).unwrap().last, 5);
    assert!(text.contains("line-repaired") && !text.contains("sequen{"), "{text}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_was_changed_taken_out_or_put_in_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    write(&SecurityLogConfig::default(), &file, &["a:CN=A", "a:CN=B", "a:CN=C", "a:CN=D"]).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    assert!(matches!(
        check(text.replace("a:CN=B", "a:CN=X").as_bytes()),
        Err(ChainError::Chain(3))
    ));
    assert!(matches!(
        check(joined(&[lines[0], lines[2], lines[3]]).as_bytes()),
        Err(ChainError::Sequence { line: 2, expected: 2, found: 3 })
    ));
    assert!(matches!(
        check(joined(&[lines[0], lines[0], lines[1]]).as_bytes()),
        Err(ChainError::Sequence { line: 2, expected: 2, found: 1 })
    ));
    assert!(matches!(check(text.trim_end().as_bytes()), Err(ChainError::Line(4))));
    assert!(matches!(check(b"{}\n"), Err(ChainError::Line(1))));
    let long = format!("{{\"sequence\":1,\"previous\":null,\"x\":\"{}\"}}\n", "x".repeat(20_000));
    assert!(matches!(check(long.as_bytes()), Err(ChainError::Line(1))));
    // A beginning that was taken off.
    let rest = joined(&lines[1..]);
    assert_eq!(check(rest.as_bytes()).unwrap().first, Some(2));
    let renumbered = lines[1].replace("\"sequence\":2", "\"sequence\":1");
    assert!(matches!(check(joined(&[&renumbered]).as_bytes()), Err(ChainError::Chain(1))));
    // The first half was verified before.
    let half = check(joined(&lines[..2]).as_bytes()).unwrap();
    let found = verify(joined(&lines[2..]).as_bytes(), Some(&half)).unwrap();
    assert_eq!((found.first, found.last), (Some(3), 4));
    assert!(verify(joined(&lines[3..]).as_bytes(), Some(&half)).is_err());
}

#[tokio::test]
async fn a_long_file_is_put_aside_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let config = SecurityLogConfig { file_bytes_max: 1, files_kept: 3, ..Default::default() };
    for identity in ["a:CN=A", "a:CN=B", "a:CN=C", "a:CN=D", "a:CN=E", "a:CN=F"] {
        write(&config, &file, &[identity]).await;
    }
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let aside = |number: u64| format!("{FILE}.{number:020}");
    assert_eq!(names, [FILE.to_owned(), aside(3), aside(4), aside(5)]);
    let mut before = None;
    for name in [aside(3), aside(4), aside(5), FILE.to_owned()] {
        let file = std::fs::File::open(dir.path().join(name)).unwrap();
        before = Some(verify(BufReader::new(file), before.as_ref()).unwrap());
    }
    assert_eq!(before.unwrap().last, 6);
    // The newest file is lost: the chain goes on behind what was put aside.
    std::fs::remove_file(&file).unwrap();
    write(&config, &file, &["a:CN=G"]).await;
    let found = check(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((found.first, found.last), (Some(6), 6));
}

#[tokio::test]
async fn alike_events_at_once_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    write(&SecurityLogConfig::default(), &file, &["a:CN=A", "a:CN=A", "a:CN=B", "a:CN=A"]).await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(check(text.as_bytes()).unwrap().last, 2);
    assert!(text.lines().next().unwrap().contains("\"count\":3"), "{text}");
}

#[tokio::test]
async fn lines_are_sent_by_syslog() {
    let dir = tempfile::tempdir().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = dir.path().join("log.socket");
    let socket = std::os::unix::net::UnixDatagram::bind(&unix).unwrap();
    let expected = |text: &str, file: &Path| {
        let line = std::fs::read_to_string(file).unwrap();
        let id = std::process::id();
        let head =
            format!("<108>1 2027-01-15T08:00:00Z keys.example datapact {id} statement-refused - ");
        assert_eq!(text, head + line.trim_end());
    };
    for (n, address) in [
        format!("udp://{}", udp.local_addr().unwrap()),
        format!("tcp://{}", tcp.local_addr().unwrap()),
        format!("unix://{}", unix.display()),
    ]
    .into_iter()
    .enumerate()
    {
        let syslog = Some(SyslogAddress::try_from(address).unwrap());
        let file = dir.path().join(format!("{n}.log"));
        write(&SecurityLogConfig { syslog, ..Default::default() }, &file, &["a:CN=A"]).await;
        let mut bytes = vec![0; 4096];
        let length = match n {
            0 => udp.recv(&mut bytes).unwrap(),
            1 => tcp.accept().unwrap().0.read(&mut bytes).unwrap(),
            _ => socket.recv(&mut bytes).unwrap(),
        };
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        match n {
            1 => {
                let (count, message) = text.split_once(' ').unwrap();
                assert_eq!(count.parse::<usize>().unwrap(), message.len());
                expected(message, &file);
            }
            _ => expected(&text, &file),
        }
    }
    for bad in ["", "/dev/log", "udp://", "udp://:514", "tcp://host", "unix://log", "http://a:1"] {
        assert!(SyslogAddress::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}
