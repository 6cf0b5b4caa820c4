//! Loads servers that run with requests for access and with redemptions of tokens: the tool of `bench/load.sh`.
//!
//! ```text
//! load SHARE [SECONDS] [CONNECTIONS...]      (10 seconds each, and 1, 16 and 128 connections unless told otherwise)
//! ```
//! Needs a home with a profile `lab`, as `datapact quickstart` leaves it, and a share that it may access without
//! limit. Every access is signed, decided and recorded on the ledger; every redemption is checked and put on record.
//! Each connection is a session of its own, kept alive, and has one call under way at a time.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use datapact_api::key_server::ReleaseKey;
use datapact_api::management::AccessGrant;
use datapact_client::{Home, Profile, Session};
use datapact_core::document::{AccessRequest, KeyRequest};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::release::Recipient;
use futures_util::future::{join_all, try_join_all};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How often a key server releases for one access; then another access is redeemed.
const RELEASES: usize = 32;

/// The calls of one phase: how long each took, and how many failed.
#[derive(Default)]
struct Calls {
    times: Vec<Duration>,
    failed: usize,
    first_failure: Option<String>,
}

impl Calls {
    async fn make(&mut self, call: impl Future<Output = Result<()>>) {
        let start = Instant::now();
        match call.await {
            Ok(()) => self.times.push(start.elapsed()),
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (share, rest) = arguments.split_first().ok_or("see the comment at the top of this example")?;
    let share: ShareId = share.parse()?;
    let (seconds, connections) = match rest.split_first() {
        None => (10, vec![1, 16, 128]),
        Some((seconds, [])) => (seconds.parse()?, vec![1, 16, 128]),
        Some((seconds, some)) => {
            let some = some.iter().map(|number| number.parse::<usize>());
            (seconds.parse()?, some.collect::<std::result::Result<Vec<_>, _>>()?)
        }
    };
    let span = Duration::from_secs(seconds);
    println!(
        "| calls | connections | calls/s | p50, ms | p99, ms | p99.9, ms | failed |\n|---|---|---|---|---|---|---|"
    );
    for count in connections {
        let home = Home::locate(std::env::var_os("DATAPACT_HOME").map(PathBuf::from))?;
        let sessions = (0..count).map(|_| Ok(Session::connect(Profile::load(&home, "lab", None)?)?));
        let sessions = sessions.collect::<Result<Vec<Session>>>()?;
        let first = sessions.first().ok_or("at least one connection is needed")?;
        let policy = first.management().catalog_entry(&share, None).await?.policy;
        let policy = policy.ok_or("management does not show the policy")?.id();

        // The first call of each makes its connections, and its token for the second phase.
        let granted = try_join_all(sessions.iter().map(|session| request(session, &share, policy))).await?;
        let start = Instant::now();
        let calls = join_all(sessions.iter().map(|session| async move {
            let mut calls = Calls::default();
            while start.elapsed() < span {
                calls.make(async { request(session, &share, policy).await.map(drop) }).await;
            }
            calls
        }));
        report("accesses", count, calls.await, start.elapsed());

        let start = Instant::now();
        let calls = join_all(sessions.iter().zip(granted).map(|(session, granted)| async move {
            let mut calls = Calls::default();
            let (mut granted, mut left) = (Some(granted), RELEASES);
            while start.elapsed() < span {
                if left == 0 {
                    granted = request(session, &share, policy).await.ok();
                    left = RELEASES;
                }
                let Some((asked, grant)) = &granted else { break };
                calls.make(release(session, asked, grant)).await;
                left -= 1;
            }
            calls
        }));
        // The accesses in between take a part of the time: one for each 32 redemptions.
        report("redemptions", count, calls.await, start.elapsed());
    }
    Ok(())
}

fn report(name: &str, connections: usize, calls: Vec<Calls>, took: Duration) {
    let failed: usize = calls.iter().map(|calls| calls.failed).sum();
    if let Some(why) = calls.iter().find_map(|calls| calls.first_failure.as_ref()) {
        eprintln!("{name} at {connections} connections: {why}");
    }
    let mut times: Vec<Duration> = calls.into_iter().flat_map(|calls| calls.times).collect();
    times.sort_unstable();
    let at = |per_mille: usize| {
        let time = times.get((times.len() * per_mille / 1000).min(times.len().saturating_sub(1)));
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    let rate = times.len() as f64 / took.as_secs_f64();
    println!(
        "| {name} | {connections} | {rate:.0} | {:.1} | {:.1} | {:.1} | {failed} |",
        at(500),
        at(990),
        at(999)
    );
}

async fn request(
    session: &Session,
    share: &ShareId,
    policy: Digest,
) -> Result<(Signed<AccessRequest>, AccessGrant)> {
    let body = AccessRequest { share: *share, policy, purpose: None };
    let ledger = &session.profile().enrolment().ledger;
    let request = session.profile().signer().sign(ledger, now()?, body);
    let grant = session.management().request_access(&request).await?;
    Ok((request, grant))
}

async fn release(session: &Session, asked: &Signed<AccessRequest>, grant: &AccessGrant) -> Result<()> {
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
    recipient.open(&id, &released.sealed)?;
    Ok(())
}

fn now() -> Result<Timestamp> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}
