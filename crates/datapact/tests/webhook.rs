//! What management tells by itself, to a real receiver: signed, again after a kill, and kept where
//! it cannot be told; and tokens that are revoked by the command line.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::permission::AccessTimes;
use serde_json::Value;
use support::{PATIENCE, Site};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Accept,
    Refuse,
    /// Reads, and does not answer.
    Hold,
}

#[derive(Clone, Debug, Default)]
struct Call {
    id: String,
    time: String,
    signature: String,
    media_type: String,
    body: String,
    accepted: bool,
}

/// An HTTP server that keeps what it was told.
#[derive(Clone)]
struct Receiver {
    url: String,
    mode: Arc<Mutex<Mode>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let this = Self { url, mode: Arc::new(Mutex::new(Mode::Accept)), calls: Arc::default() };
        let receiver = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let receiver = receiver.clone();
                std::thread::spawn(move || drop(receiver.serve(stream)));
            }
        });
        this
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut call, mut length, mut line) = (Call::default(), 0, String::new());
        while reader.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':') {
                let value = value.trim().to_owned();
                match name.to_ascii_lowercase().as_str() {
                    "webhook-id" => call.id = value,
                    "webhook-timestamp" => call.time = value,
                    "webhook-signature" => call.signature = value,
                    "content-type" => call.media_type = value,
                    "content-length" => length = value.parse().unwrap_or(0),
                    _ => {}
                }
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        call.body = String::from_utf8(body).unwrap();
        let mode = *self.mode.lock().unwrap();
        call.accepted = mode == Mode::Accept;
        self.calls.lock().unwrap().push(call);
        let status = match mode {
            Mode::Accept => "204 No Content",
            Mode::Refuse => "500 Internal Server Error",
            Mode::Hold => {
                while *self.mode.lock().unwrap() == Mode::Hold {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
        };
        (&stream).write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The call that was accepted about the share with this title, once it is there.
    fn accepted(&self, title: &str) -> Call {
        let about = format!("\"title\":\"{title}\"");
        until(&format!("`{title}` is told"), || {
            self.calls().into_iter().find(|call| call.accepted && call.body.contains(&about))
        })
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mg_15_webhooks_are_signed_made_again_after_a_kill_and_kept_when_they_fail() {
    let (site, receiver) = (Site::start(), Receiver::start());
    let clinic = site.user("clinic");
    let create = [
        "subscription",
        "create",
        "--webhook",
        &receiver.url,
        "--secret-out",
        "hook.secret",
        "vitals",
    ];
    // No webhook is called unless the operator says so, and even then none at an inside address.
    let refused = site.run(Some("lab"), &create);
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!site.file("hook.secret").exists());
    let path = site.config("management");
    let config = std::fs::read_to_string(&path).unwrap();
    let configure = |webhooks: &str| {
        std::fs::write(&path, format!("{config}\n[webhooks]\n{webhooks}")).unwrap();
        site.restart("management");
    };
    configure("allow_http = true\n");
    let refused = site.run(Some("lab"), &create);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not of the global Internet"));
    configure("allow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nattempts = 3\n");
    let kept = site.ok("lab", &create).remove(0);
    let id = kept["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&kept["filter"]["text"], &kept["webhook"]),
        (&"vitals".into(), &receiver.url.clone().into())
    );

    let share = async |title: &str| {
        clinic.share(title, b"data", AccessTimes::Unlimited).await.unwrap().share.to_string()
    };
    share("something else").await;
    let one = share("vitals one").await;
    let call = receiver.accepted("vitals one");
    let event: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(call.media_type, "application/cloudevents+json; charset=utf-8");
    assert_eq!(
        (&event["specversion"], &event["type"]),
        (&"1.0".into(), &"datapact.publication".into())
    );
    assert_eq!((&event["subject"], &event["data"]["share"]), (&one.clone().into(), &one.into()));
    assert_eq!(
        (event["id"].as_str(), event["subscription"].as_str()),
        (Some(&*call.id), Some(&*id))
    );
    let secret = std::fs::read_to_string(site.file("hook.secret")).unwrap();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = format!("{}.{}.{}", call.id, call.time, call.body);
    let tag = STANDARD.decode(call.signature.strip_prefix("v1,").unwrap()).unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes(), &tag).unwrap();
    // The same can be read, from the subscription's beginning, any number of times.
    for _ in 0..2 {
        let read = site.ok("lab", &["subscription", "watch", &id, "--count", "1"]);
        assert_eq!(read[0]["information"]["title"], "vitals one");
    }

    // Killed after it was told and before it could note so: told again, as the same event.
    receiver.set(Mode::Hold);
    share("vitals two").await;
    let held = until("a call is held", || {
        receiver.calls().into_iter().find(|call| call.body.contains("vitals two"))
    });
    site.kill("management");
    receiver.set(Mode::Accept);
    site.restart("management");
    let again = receiver.accepted("vitals two");
    assert_eq!((again.id, again.body), (held.id, held.body));

    // What cannot be told is kept, and told when asked for.
    receiver.set(Mode::Refuse);
    share("vitals three").await;
    let dead = until("a dead letter", || {
        let dead = site.ok("lab", &["subscription", "dead", &id]);
        dead.into_iter().next()
    });
    assert_eq!(
        (&dead["attempts"], &dead["error"]),
        (&3.into(), &"the receiver answered 500".into())
    );
    let event = dead["event"].to_string();
    let redeliver = ["subscription", "redeliver", &id, &event];
    let refused = site.run(Some("lab"), &[&redeliver[..], &["777"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(5) && said.contains(&format!("subscription dead {id}")),
        "{said}"
    );
    assert_eq!(site.ok("lab", &["subscription", "dead", &id]).len(), 1, "none of them is sent");
    // A repeat finds it waiting.
    for _ in 0..2 {
        site.ok("lab", &redeliver);
    }
    receiver.set(Mode::Accept);
    receiver.accepted("vitals three");
    until("all is told", || {
        let kept = site.ok("lab", &["subscription", "show", &id]).remove(0);
        (kept["waiting"] == 0 && kept["dead"] == 0).then_some(())
    });
    assert_eq!(site.run(Some("lab"), &redeliver).status.code(), Some(5), "it has been sent");
    assert!(!receiver.calls().iter().any(|call| call.body.contains("something else")));
    site.ok("lab", &["subscription", "delete", &id]);
    assert!(site.ok("lab", &["subscription", "list"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn mg_16_a_token_is_revoked_by_the_command_line() {
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let share = clinic.share("tokens", b"data", AccessTimes::Unlimited).await.unwrap().share;
    let (_, opened) = lab.open(share).await.unwrap();
    let request = opened.request.to_string();
    let told = site.ok("clinic", &["token", "introspect", &request]).remove(0);
    assert_eq!((&told["active"], &told["share"]), (&true.into(), &share.to_string().into()));
    assert_eq!(site.run(Some("lab"), &["token", "revoke", &request]).status.code(), Some(10));
    site.ok("lab", &["token", "revoke", &request, "--yes"]);
    assert_eq!(
        site.ok("lab", &["token", "introspect", &request]),
        [serde_json::json!({ "active": false })]
    );
    // `lab-overseas` had nothing to do with it.
    assert_eq!(
        site.run(Some("lab-overseas"), &["token", "introspect", &request]).status.code(),
        Some(5)
    );
    assert_eq!(lab.open(share).await.unwrap().0, b"data", "another access is not touched");
}
