//! What a stolen core dump, swap file or look into the key server's memory would show (KS-2).

use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use datapact_core::id::{ShareId, random};
use datapact_core::jws::Signed;
use rustls::pki_types::ServerName;
use serde_json::json;

use crate::calls::{Call, post};
use crate::support::now;
use crate::world::World;

/// How much of a mapping is read at once, in bytes.
const PIECE: u64 = 1024 * 1024;

/// A line of a file of `/proc/PID` that begins with `name`, and what follows.
fn line(pid: u32, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no `{name}` in {text}")).trim().to_owned()
}

/// Where the process has one of `needles` in memory that it can write to.
fn places(pid: u32, needles: &[(&str, &[u8])]) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let longest = needles.iter().map(|(_, needle)| needle.len()).max().unwrap() as u64;
    let mut bytes = vec![0; (PIECE + longest) as usize];
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        for at in (from..to).step_by(PIECE as usize) {
            // Each piece overlaps the next, so that a needle on their border is found, perhaps
            // twice.
            let bytes = &mut bytes[..(to.min(at + PIECE + longest) - at) as usize];
            // A mapping may have gone meanwhile.
            if memory.read_exact_at(bytes, at).is_ok() {
                for (name, needle) in needles {
                    found.extend((0..count_in(bytes, needle)).map(|_| format!("{name} in {line}")));
                }
            }
        }
    }
    found
}

/// How often `needle` is in `bytes`: fast also where the tests are not optimised.
fn count_in(bytes: &[u8], needle: &[u8]) -> usize {
    let (first, others) = needle.split_first().unwrap();
    let (mut rest, mut found) = (bytes, 0);
    while rest.skip_until(*first).unwrap() > 0 {
        found += usize::from(rest.starts_with(others));
    }
    found
}

/// With the positive control that a key which is still arriving is found.
#[tokio::test(flavor = "multi_thread")]
async fn ks_2_a_key_is_in_memory_only_until_its_answer_is_out() {
    let world = World::start().await;
    let (clinic, pid) = (&world.clinic, world.site.pid("key"));
    let register = clinic.key.call(&post("/v1/keys", b""));
    let id = register.json()["id"].as_str().unwrap().to_owned();
    let mut key: [u8; 32] = random();
    // Memory is full of zeros.
    key[0] = 0xa5;
    let text = hex::encode(key);
    let needles = [("bytes", key.as_slice()), ("text", text.as_bytes())];
    assert_eq!(places(pid, &needles), Vec::<String>::new());

    let body = json!({ "package": "ab".repeat(32), "share": ShareId::random(), "key": text });
    let target = format!("/v1/keys/{id}");
    let call = Call { method: "PUT", ..post(&target, body.to_string().as_bytes()) };
    let call = call.header("content-type", "application/json");
    let statement = clinic.signer.sign(&clinic.key.name, now(), call.statement());
    let statement: &Signed<_> = &statement;
    // The client would keep the connection, and leave the key in its buffers.
    let bytes = clinic.key.bytes(&call, Some(statement.as_str()), "keep-alive");
    let server = ServerName::try_from(clinic.key.name.clone()).unwrap();
    let tls = rustls::ClientConnection::new(clinic.key.tls.clone(), server).unwrap();
    let socket = TcpStream::connect(clinic.key.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
    let mut stream = rustls::StreamOwned::new(tls, socket);
    let (most, last) = bytes.split_at(bytes.len() - 1);
    stream.write_all(most).unwrap();
    stream.flush().unwrap();
    let since = Instant::now();
    while places(pid, &needles).is_empty() {
        assert!(since.elapsed() < Duration::from_secs(30), "the scan finds what is there");
    }
    stream.write_all(last).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // The connection's own task may still be ending.
    let since = Instant::now();
    loop {
        let left = places(pid, &needles);
        if left.is_empty() {
            break;
        }
        let waited = since.elapsed();
        assert!(waited < Duration::from_secs(10), "the key is still there: {}", left.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ks_2_no_server_can_be_dumped_and_the_key_servers_memory_is_locked() {
    let world = World::start().await;
    for role in crate::support::ROLES {
        let limits = line(world.site.pid(role), "limits", "Max core file size");
        assert!(limits.starts_with("0 "), "{role}: {limits}");
    }
    let pid = world.site.pid("key");
    let locked = line(pid, "status", "VmLck:");
    let resident = line(pid, "status", "VmRSS:");
    let effective = line(pid, "status", "CapEff:");
    let may_lock = u64::from_str_radix(&effective, 16).unwrap() >> 14 & 1 == 1
        || line(pid, "limits", "Max locked memory").starts_with("unlimited");
    if may_lock {
        let kilobytes = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap();
        assert!(kilobytes(&locked) >= kilobytes(&resident) / 2, "{locked} of {resident}");
    } else {
        eprintln!("this user may not lock memory, which the server says in its log");
    }
}
