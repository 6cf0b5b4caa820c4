//! Uploads and downloads that are not what they say.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use crate::calls::{Call, OCTETS, Raw, get, post};
use crate::support::{PATIENCE, now};
use crate::world::World;

/// DS-1, DS-2: uploads that are not what they say, and ranges that are none.
#[tokio::test(flavor = "multi_thread")]
async fn ds_1_ds_2_uploads_and_ranges_are_checked() {
    let world = World::start().await;
    let (clinic, rival, lab) = (&world.clinic, &world.rival, &world.lab);
    let before = world.state().await;
    let package = world.set.package.id;
    let size = world.set.package.size;
    let target = format!("/v1/packages/{package}");
    let whole = lab.storage.call(&get(&target));
    assert_eq!((whole.status, whole.body.len() as u64), (200, size));

    // Only these bytes, at their own place, by their own provider.
    let put = |target: &str, body: &[u8]| {
        Call { method: "PUT", ..post(target, body) }.header("content-type", OCTETS)
    };
    rival.storage.call(&put(&target, &whole.body)).is_problem(
        403,
        "forbidden",
        "is another provider's",
    );
    let id = rival.user.storage_server.register_package().await.unwrap().id;
    let mine = format!("/v1/packages/{id}");
    rival.storage.call(&put(&mine, &whole.body)).is_problem(
        403,
        "forbidden",
        "signed by another provider",
    );
    let clinics = clinic.user.storage_server.register_package().await.unwrap().id;
    let second = clinic.storage.call(&put(&format!("/v1/packages/{clinics}"), &whole.body));
    second.is_problem(400, "malformed", "made for another identifier");
    rival.storage.call(&put(&mine, b"no package")).is_problem(
        400,
        "malformed",
        "is not a complete package",
    );
    rival.storage.call(&put(&mine, b"")).is_problem(400, "malformed", "is not a complete package");
    let cut = &whole.body[..whole.body.len() - 1];
    rival.storage.call(&put(&mine, cut)).is_problem(400, "malformed", "is not a complete package");
    let mut altered = whole.body.clone();
    let middle = altered.len() - 40;
    altered[middle] ^= 1;
    assert_eq!(rival.storage.call(&put(&mine, &altered)).status, 400);
    // Not announced, announced too large, announced and not sent.
    let mut call = put(&mine, b"0\r\n\r\n").header("transfer-encoding", "chunked");
    rival.storage.call(&call).is_problem(400, "malformed", "says its `Content-Length`");
    call = put(&mine, b"x").header("content-length", (u64::MAX / 2).to_string());
    rival.storage.call(&call).is_problem(413, "too-large", "a package may be at most");
    let json = Call { method: "PUT", ..post(&mine, b"{}") };
    rival.storage.call(&json).is_problem(400, "malformed", "a package is uploaded as");
    let left_alone = put(&mine, b"beginning").header("content-length", "100000");
    abandon(&rival.storage, &left_alone);

    // Ranges.
    let range = |value: &str| lab.storage.call(&get(&target).header("range", value));
    for value in [
        "bytes=-5",
        "bytes=5-2",
        "bytes=abc",
        "bytes=0-1,3-4",
        "bytes=99999999999999999999999-",
        "items=0-1",
        "bytes=",
        "",
        "bytes=+1-2",
        "bytes= 0-1",
    ] {
        range(value).is_problem(400, "malformed", "`Range` must be");
    }
    for value in [format!("bytes={size}-"), format!("bytes={}-{}", u64::MAX, u64::MAX)] {
        range(&value).is_problem(400, "malformed", "the range lies outside the package's");
    }
    for (value, expected) in [
        ("bytes=0-0".to_owned(), &whole.body[..1]),
        (format!("bytes=1-{}", u64::MAX), &whole.body[1..]),
        (format!("bytes={}-", size - 1), &whole.body[whole.body.len() - 1..]),
    ] {
        let answer = range(&value);
        assert_eq!((answer.status, answer.body.as_slice()), (206, expected), "{value}");
    }
    // The abandoned upload has left nothing once the server has noticed.
    let until = Instant::now() + PATIENCE;
    while world.state().await.files != before.files && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.unharmed(before).await;
}

/// Sends a call whose body does not come, and goes away.
fn abandon(server: &Raw, call: &Call) {
    let statement = server.signer.as_ref().unwrap().sign(&server.name, now(), call.statement());
    let head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", call.method, call.target, server.name);
    let headers: String =
        call.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{head}{headers}datapact-statement: {}\r\n\r\n", statement.as_str());
    let socket = TcpStream::connect(server.address).unwrap();
    let name = ServerName::try_from(server.name.clone()).unwrap();
    let connection = rustls::ClientConnection::new(server.tls.clone(), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    stream.write_all(&[head.as_bytes(), &call.body].concat()).unwrap();
    stream.flush().unwrap();
    std::thread::sleep(Duration::from_millis(300));
}
