//! Measures accesses against servers that run: the tool of `bench/access.sh`.
//!
//! ```text
//! access SHARE [ROUNDS] [CONSUMERS]      (40 rounds and 32 consumers unless told otherwise)
//! ```
//! Needs a home with a profile `lab`, as `datapact quickstart` leaves it, and a share that it may
//! access without limit. Every access is a real one: recorded on the ledger, proved, and reported.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use datapact_api::key_server::ReleaseKey;
use datapact_api::management::{AccessGrant, Purpose};
use datapact_client::open::{OpenOptions, Output, Target};
use datapact_client::{Consumer, Home, Profile, Session, no_progress};
use datapact_core::document::{AccessRequest, KeyRequest};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::package::{DataKey, Expected, PackageReader};
use datapact_core::release::Recipient;
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Flushes to the disk that the comparison makes.
const FLUSHES: usize = 200;
/// Accesses of each consumer in the concurrent part.
const EACH: usize = 8;
/// Key releases for each access in the concurrent part; the key server allows 32.
const RELEASES: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (share, rounds, consumers) = match arguments.as_slice() {
        [share] => (share, 40, 32),
        [share, rounds] => (share, rounds.parse()?, 32),
        [share, rounds, consumers] => (share, rounds.parse()?, consumers.parse()?),
        _ => return Err("see the comment at the top of this example for its arguments".into()),
    };
    let share: ShareId = share.parse()?;
    let home = Home::locate(std::env::var_os("DATAPACT_HOME").map(PathBuf::from))?;
    let session = Session::connect(Profile::load(&home, "lab", None)?)?;

    println!("| step | least, ms | median, ms | 95 of 100 within, ms |\n|---|---|---|---|");
    row("flush of 4 KiB to this disk (fdatasync)", flushes(&home)?);
    for _ in 0..3 {
        open(&session, &share).await?;
    }
    let mut steps: [Vec<Duration>; 5] = Default::default();
    for _ in 0..rounds {
        let times = Box::pin(calls(&session, &share)).await?;
        steps.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
    }
    let names = [
        "catalog: the provider's policy",
        "request: access, recorded on the ledger",
        "release: the key",
        "proof: of the record, cosigned by the key server",
        "package: downloaded, verified, decrypted",
    ];
    names.into_iter().zip(steps).for_each(|(name, times)| row(name, times));
    let (mut plaintext, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (first, all) = open(&session, &share).await?;
        plaintext.push(first);
        whole.push(all);
    }
    row("**one access, request to plaintext**", plaintext);
    row("one access, until its usage is recorded too", whole);

    let mut sessions = Vec::new();
    for _ in 0..consumers {
        sessions.push(Session::connect(Profile::load(&home, "lab", None)?)?);
    }
    try_join_all(sessions.iter().map(|session| open(session, &share))).await?;
    let start = Instant::now();
    try_join_all(sessions.iter().map(|session| async {
        for _ in 0..EACH {
            open(session, &share).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    }))
    .await?;
    let accesses = (consumers * EACH) as f64 / start.elapsed().as_secs_f64();
    println!("\n{consumers} consumers at once: {accesses:.0} accesses/s, each opened and reported");

    let granted = try_join_all(sessions.iter().map(|session| async move {
        let policy = session.management().catalog_entry(&share, &Purpose::default()).await?.policy;
        let policy = policy.ok_or("management does not show the policy")?;
        request(session, &share, policy.id()).await
    }))
    .await?;
    let start = Instant::now();
    try_join_all(sessions.iter().zip(&granted).map(|(session, (asked, grant))| async move {
        for _ in 0..RELEASES {
            release(session, asked, grant).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    }))
    .await?;
    let releases = (consumers * RELEASES) as f64 / start.elapsed().as_secs_f64();
    println!("{consumers} consumers at once: {releases:.0} key releases/s");
    Ok(())
}

/// One access by the SDK, as `datapact open` makes it: until the last byte of plaintext, and until
/// its end.
async fn open(session: &Session, share: &ShareId) -> Result<(Duration, Duration)> {
    let start = Instant::now();
    let last = Arc::new(Mutex::new(start));
    let output = Output::Stream(Box::new(Last(Arc::clone(&last))));
    let (target, options) = (Target::Share(*share), OpenOptions::default());
    let consumer = Consumer::new(session.clone());
    consumer.open(&target, &options, &|_| Ok(()), output, no_progress()).await?;
    let plaintext = *last.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((plaintext - start, start.elapsed()))
}

/// Remembers when it was last written to.
struct Last(Arc<Mutex<Instant>>);

impl Write for Last {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The calls of one access, one after the other, without the SDK's own bookkeeping.
async fn calls(session: &Session, share: &ShareId) -> Result<[Duration; 5]> {
    let mut watch = Stopwatch(Instant::now());
    let policy = session.management().catalog_entry(share, &Purpose::default()).await?.policy;
    let policy = policy.ok_or("management does not show the policy")?;
    let catalog = watch.lap();

    let (asked, grant) = request(session, share, policy.id()).await?;
    let requested = watch.lap();

    let key = release(session, &asked, &grant).await?;
    let released = watch.lap();

    session.management().proof(grant.position).await?;
    let proved = watch.lap();

    let reference = &grant.permission.package;
    let (_, storage) = session.storage_server_of(&reference.address)?;
    let pieces: Vec<_> = storage.download(&reference.id, None).await?.bytes.try_collect().await?;
    let package = PackageReader::open(pieces.concat())?.unlock(&key, &Expected::default())?;
    package.decrypt_to(&mut io::sink(), &mut |_| {})?;
    Ok([catalog, requested, released, proved, watch.lap()])
}

async fn request(
    session: &Session,
    share: &ShareId,
    policy: Digest,
) -> Result<(Signed<AccessRequest>, AccessGrant)> {
    let body = AccessRequest { share: *share, policy, purpose: None };
    let ledger = &session.profile().enrolment().ledger.id;
    let request = session.profile().signer().sign(ledger, now()?, body);
    let grant = session.management().request_access(&request).await?;
    Ok((request, grant))
}

async fn release(
    session: &Session,
    asked: &Signed<AccessRequest>,
    grant: &AccessGrant,
) -> Result<DataKey> {
    let reference = &grant.permission.key;
    let (endpoint, server) = session.key_server_of(&reference.address)?;
    let recipient = Recipient::generate();
    let body = KeyRequest {
        token: Digest::of(grant.token.as_bytes()),
        request: asked.id(),
        key: reference.id,
        recipient: recipient.public(),
    };
    let key_request = session.profile().signer().sign(endpoint.name()?, now()?, body);
    let id = key_request.id();
    let ask = ReleaseKey { token: grant.token.clone(), request: asked.clone(), key_request };
    let released = server.release(&reference.id, &ask).await?;
    Ok(DataKey::from_bytes(*recipient.open(&id, &released.sealed)?))
}

fn now() -> Result<Timestamp> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}

struct Stopwatch(Instant);

impl Stopwatch {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}

/// What the disk of the home gives without us.
fn flushes(home: &Home) -> Result<Vec<Duration>> {
    let path = home.path().join("flush.tmp");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..FLUSHES {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(times)
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    println!("| {name} | {:.1} | {:.1} | {:.1} |", at(0), at(50), at(95));
}
