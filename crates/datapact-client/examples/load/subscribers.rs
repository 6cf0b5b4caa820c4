//! Many subscribers: what they cost, and how soon each hears of a new share.

use std::io::Cursor;
use std::time::{Duration, Instant, SystemTime};

use datapact_client::provider::CreateShare;
use datapact_client::{Home, Profile, Provider, Session, no_progress};
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::terms::Terms;
use futures_util::future::{join_all, try_join_all};

use crate::calls::Client;
use crate::processes::Processes;
use crate::{Failure, Result};

/// Shares that are published while the subscribers listen.
const SHARES: usize = 10;
/// Subscribers that connect at once.
const AT_ONCE: usize = 50;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Connects `count` subscribers and publishes shares.
pub(crate) async fn run(
    home: &Home,
    client: &Client,
    count: usize,
    processes: &Processes,
) -> Result<()> {
    let provider = Provider::new(Session::connect(Profile::load(home, "clinic", None)?)?);
    publish(&provider, 0).await?;
    let before = processes.resident()?;
    let mut subscribers = Vec::with_capacity(count);
    while subscribers.len() < count {
        let next = (0..AT_ONCE.min(count - subscribers.len())).map(|_| client.subscriber());
        subscribers.extend(try_join_all(next).await?);
    }
    let after = processes.resident()?;
    println!("| process | before, MB | with {count} subscribers, MB |\n|---|---|---|");
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        println!("| {name} | {:.1} | {:.1} |", *before as f64 / 1e6, *after as f64 / 1e6);
    }
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for share in 1..=SHARES {
        let heard = join_all(subscribers.iter_mut().map(|subscriber| async {
            subscriber.next_event().await?;
            Ok::<_, Failure>(Instant::now())
        }));
        let (published, heard) = tokio::join!(publish(&provider, share), heard);
        let published = published?;
        let heard = heard.into_iter().collect::<Result<Vec<Instant>>>()?;
        let mut late: Vec<Duration> =
            heard.iter().map(|at| at.saturating_duration_since(published)).collect();
        late.sort_unstable();
        first.extend(late.first().copied());
        all.extend(late);
    }
    first.sort_unstable();
    all.sort_unstable();
    let at = |times: &[Duration], percent: usize| {
        let time = times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    println!(
        "\n| after the provider's call returned | p50, ms | p99, ms | at most, ms |\n\
         |---|---|---|---|"
    );
    for (name, times) in [("the first subscriber", &first), ("every subscriber", &all)] {
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            at(times, 50),
            at(times, 99),
            at(times, 100)
        );
    }
    Ok(())
}

/// Publishes a share, and says when the provider had its answer.
async fn publish(provider: &Provider, number: usize) -> Result<Instant> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let create = CreateShare {
        title: format!("share {number}"),
        media_type: "text/plain".to_owned(),
        categories: Vec::new(),
        introduction: String::new(),
        usage: String::new(),
        price: None,
        terms: Terms { anyone: true, ..Terms::default() },
        permission: AccessPermission {
            access_times: AccessTimes::Unlimited,
            not_before: now - 60,
            expires: now + DAY_SECONDS,
            read_only: true,
        },
        key_server: None,
        storage_server: None,
        desensitization: None,
    };
    provider.create_share(Box::new(Cursor::new(vec![7; 1000])), create, no_progress()).await?;
    Ok(Instant::now())
}
