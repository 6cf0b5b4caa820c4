//! A thousand hostile clients do not keep an honest user out: clients that say nothing, that send
//! byte by byte, that never read an answer and that never finish a call, from a few addresses, the
//! honest user's among them. Without a certificate, or with a real user's.
//!
//! `DATAPACT_STORM=SECONDS` makes the attack last so long (`cargo xtask soak`, `bench/hostile.sh`).
#![cfg(target_os = "linux")] // Other systems have one loopback address.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datapact_api::problem::Kind;
use datapact_api::trust_file::ReloadableTrust;
use datapact_core::id::ShareId;
use datapact_core::permission::AccessTimes;
use futures_util::{StreamExt as _, stream};
use rustls::pki_types::ServerName;
use support::user::tls;
use support::{Site, data, operator, storm};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

const CLIENTS: usize = 1000;
/// How long a hostile client whose connection was ended waits: making connections costs a debug
/// build, and this process, more than it would an attacker.
const PAUSE: Duration = Duration::from_secs(3);
/// How often the honest user opens, before the attack and at least while it lasts.
const OPENS: usize = 7;
/// What no `open` may take while it lasts; a few times what a slow machine needs without it.
const OPEN_TIME_MAX: Duration = Duration::from_secs(120);

/// What a hostile client does.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Idle,
    ByteByByte,
    NeverReading,
    NeverFinishing,
}

/// Fewer of those that shake hands: in a debug build that costs this process and the servers more
/// than all else that the attack does.
const MANNERS: [Manner; 8] = [
    Manner::Idle,
    Manner::ByteByByte,
    Manner::NeverReading,
    Manner::Idle,
    Manner::ByteByByte,
    Manner::NeverFinishing,
    Manner::Idle,
    Manner::ByteByByte,
];

/// A listener of a server, and how a hostile client gets there.
#[derive(Clone)]
struct Target {
    name: ServerName<'static>,
    address: SocketAddr,
    /// The public listener's, or a real user's of the main one.
    tls: TlsConnector,
    is_public: bool,
}

/// Hostile clients, until they are dropped.
struct Attack {
    clients: JoinSet<()>,
    connections: Arc<AtomicU64>,
}

impl Attack {
    fn begin(targets: &[Target], clients: usize) -> Self {
        let connections = Arc::new(AtomicU64::new(0));
        let mut attack = JoinSet::new();
        for number in 0..clients {
            let manner = MANNERS[number % MANNERS.len()];
            let target = targets[number / MANNERS.len() % targets.len()].clone();
            let from = IpAddr::from([127, 0, 0, 1 + u8::try_from(number / 7 % 5).unwrap()]);
            let connections = Arc::clone(&connections);
            attack.spawn(async move {
                loop {
                    if let Ok(stream) = connect(from, target.address).await {
                        connections.fetch_add(1, Ordering::Relaxed);
                        let _ = harm(manner, &target, stream).await;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { clients: attack, connections }
    }

    /// Waits until each client has connected once.
    async fn wait_for_all(&self) {
        let until = Instant::now() + support::PATIENCE;
        while self.connections.load(Ordering::Relaxed) < self.clients.len() as u64 {
            assert!(Instant::now() < until, "the hostile clients do not get to connect");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    // What is not read fills up soon.
    socket.set_recv_buffer_size(4096)?;
    socket.connect(to).await
}

/// Does harm until the server ends the connection.
async fn harm(manner: Manner, target: &Target, mut stream: TcpStream) -> std::io::Result<()> {
    match manner {
        Manner::Idle => wait_for_end(stream).await,
        Manner::ByteByByte => {
            // The beginning of a ClientHello.
            let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3].into_iter().chain([0; 512]);
            for byte in hello {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            wait_for_end(stream).await
        }
        Manner::NeverReading => {
            let mut stream = target.tls.connect(target.name.clone(), stream).await?;
            let path = if target.is_public { "/openapi.json" } else { "/v1/catalog" };
            let call = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            // Pipelined until nothing more is taken; the server ends it.
            loop {
                stream.write_all(call.as_bytes()).await?;
                stream.flush().await?;
            }
        }
        Manner::NeverFinishing => {
            let mut stream = target.tls.connect(target.name.clone(), stream).await?;
            let call = "POST /v1/join HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{";
            stream.write_all(call.as_bytes()).await?;
            stream.flush().await?;
            wait_for_end(stream).await
        }
    }
}

async fn wait_for_end(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// The main and the public listener of each server, attacked by the user `name`.
fn targets(site: &Site, name: &str) -> Vec<Target> {
    let anonymous = ReloadableTrust::load(&site.file("servers/trust.toml")).unwrap();
    let anonymous = datapact_api::tls::client_config(anonymous, None).unwrap();
    let known = tls(&site.profile(name));
    let of = |role: &str| {
        let ready = site.ready(role);
        let target = |listener: &str, config: &rustls::ClientConfig, is_public| Target {
            name: format!("{role}.quickstart.test").try_into().unwrap(),
            address: ready[listener].as_str().unwrap().parse().unwrap(),
            tls: TlsConnector::from(Arc::new(config.clone())),
            is_public,
        };
        [target("listen", &known, false), target("public_listen", &anonymous, true)]
    };
    support::ROLES.into_iter().flat_map(of).collect()
}

/// How long the user `lab` takes to open the share, over new connections; the median of `OPENS`
/// and of as many as fit into `at_least`.
async fn opens(site: &Site, share: ShareId, at_least: Duration) -> Duration {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < OPENS || begun.elapsed() < at_least {
        let since = Instant::now();
        let opened = tokio::time::timeout(OPEN_TIME_MAX, site.user("lab").open(share)).await;
        opened.expect("an honest user waits too long").expect("an honest user is refused");
        times.push(since.elapsed());
        // Within what one user may call.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Lets the server have these limits from its next start on.
fn limit(site: &Site, role: &str, limits: &str) {
    let path = site.config(role);
    let config = std::fs::read_to_string(&path).unwrap();
    // In place of those that it had.
    let (before, rest) = config.split_once("[server.access]").unwrap();
    let before = before.split("[server.limits]").next().unwrap();
    let config = format!("{before}[server.limits]\n{limits}\n\n[server.access]{rest}");
    std::fs::write(&path, config).unwrap();
}

/// Issue 13, point 3: with the default limits on connections, and with limits that the clients
/// exhaust many times.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_clients_leave_an_honest_user_served() {
    let site = Site::start();
    for role in support::ROLES {
        operator::configure(&site, role);
        site.restart(role);
    }
    let clinic = site.user("clinic");
    let share = clinic.share("wanted", &data(9, 10_000), AccessTimes::Unlimited).await.unwrap();
    let usual = opens(&site, share.share, Duration::ZERO).await;
    // What a user may call by the default limits takes all of a debug build's processor.
    let few_calls = "calls_a_second = 20";
    let exhausted = "connections = 64\nconnections_of_address = 32\nhandshakes = 32";
    for limits in [few_calls.to_owned(), format!("{few_calls}\n{exhausted}")] {
        for role in support::ROLES {
            limit(&site, role, &limits);
            site.restart(role);
        }
        let attack = Attack::begin(&targets(&site, "lab-overseas"), CLIENTS);
        attack.wait_for_all().await;
        let during = opens(&site, share.share, storm(5) / 2).await;
        let ratio = during.as_secs_f64() / usual.as_secs_f64();
        eprintln!(
            "open: usually {usual:?}, with {CLIENTS} hostile clients {during:?} ({ratio:.2} \
             times), {} connections of theirs, limits `{}`",
            attack.connections.load(Ordering::Relaxed),
            limits.replace('\n', ", ")
        );
        let (_, figures) = operator::get(&site.ready("management"), "/metrics");
        let of = |start: &str| {
            let lines = figures.lines().filter(|line| line.starts_with(start));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
        };
        assert!(of("datapact_connections{") >= 32.0, "{figures}");
        if limits.contains(exhausted) {
            assert!(of("datapact_connections{") <= 4.0 * 64.0, "{figures}");
            assert!(of("datapact_connections_limited_total{") > 100.0, "{figures}");
        }
        drop(attack);
    }
    for role in support::ROLES {
        assert!(site.runs(role), "{role} has ended");
    }
    assert!(clinic.provider().audit(&share.share).await.unwrap().good);
}

/// One user's calls and event streams are bounded, and cost the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_user_who_calls_without_pause_is_told_to_wait_and_others_are_not() {
    let site = Site::start();
    limit(&site, "management", "calls_a_second = 20\nevent_streams = 2\nconnections = 100");
    site.restart("management");
    let (greedy, honest) = (site.user("lab-overseas"), site.user("lab"));
    let management = greedy.session.management();
    let calls = stream::iter(0..300).map(|_| management.account());
    let answers: Vec<_> = calls.buffer_unordered(50).collect().await;
    let mut busy = 0;
    for problem in answers.into_iter().filter_map(Result::err) {
        assert_eq!((problem.kind, problem.detail.as_str()), (Kind::Busy, "you call too often"));
        assert!(problem.retry_after.is_some_and(|seconds| (1..=6).contains(&seconds)));
        busy += 1;
    }
    assert!(busy > 50, "{busy}");
    honest.session.management().account().await.unwrap();
    // It is served again after a while.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let streams = [management.publications(None).await, management.publications(None).await];
    assert!(streams.iter().all(Result::is_ok));
    let problem = management.publications(None).await.err().unwrap();
    assert_eq!(problem.kind, Kind::Busy, "{problem}");
    assert!(honest.session.management().publications(None).await.is_ok());
    drop(streams);
    let mut again = management.publications(None).await;
    for _ in 0..20 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        again = management.publications(None).await;
    }
    assert!(again.is_ok(), "an ended stream counts no more");
}
