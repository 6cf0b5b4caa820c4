//! Following the channel: each block links to the one before it, and what the contract announced
//! stands in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datapact_ledger::LedgerError;
use datapact_ledger::port::{EVENTS_MAX, Event};
use datapact_log::Position;
use tokio::sync::watch;

use super::block::{CommittedBlock, Hash, VALID, block_of, position};
use super::client::Gateway;

/// The most blocks whose events are kept in memory.
const KEPT_BLOCKS_MAX: usize = 1024;
/// How long the peer may send nothing before it is asked whether there is something.
const IDLE: Duration = Duration::from_secs(10);
/// How long the follower rests after a failure.
const REST: Duration = Duration::from_millis(500);
/// How long the own peer may take to get what the orderers have.
const BEHIND: Duration = Duration::from_secs(10);

/// The newest block that the own peer has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    hash: Hash,
}

/// The contract's events on a channel.
pub(crate) struct Chain {
    gateway: Arc<Gateway>,
    head: watch::Sender<Option<Head>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The number of the first block in `blocks`.
    first: u64,
    /// The events of each block, with their transactions.
    blocks: VecDeque<Vec<(String, Event)>>,
    /// No event stands at or behind the position and not behind the block.
    empty: Option<(Position, u64)>,
    /// Why the channel is not believed any more.
    fault: Option<String>,
    /// Why the peer cannot be followed at the moment.
    trouble: Option<LedgerError>,
}

impl Chain {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, head: watch::Sender::new(None), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the channel for as long as this lives.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut said = None;
        loop {
            if let Err(error) = self.follow_stream().await {
                let why = error.to_string();
                if said.as_ref() != Some(&why) {
                    tracing::error!(why, "the channel cannot be followed; trying again");
                    said = Some(why);
                }
                self.kept().trouble = Some(error);
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn follow_stream(&self) -> Result<(), LedgerError> {
        self.believe()?;
        let head = *self.head.borrow();
        // Beginning with the newest block known, so that the peer answers at once, and shows
        // whether it is the same.
        let mut blocks = self.gateway.blocks(head.map(|head| head.number), u64::MAX).await?;
        loop {
            match tokio::time::timeout(IDLE, blocks.next()).await {
                Ok(Ok(Some(block))) => self.take(block)?,
                Ok(Ok(None)) => {
                    return Err(LedgerError::Unavailable(
                        "the peer has ended the delivery".to_owned(),
                    ));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let height = self.gateway.height().await?.height;
                    let known = self.head.borrow().map_or(0, |head| head.number + 1);
                    if height > known || !blocks.is_preferred() {
                        return Err(LedgerError::Unavailable(
                            "the peer has stopped delivering blocks".to_owned(),
                        ));
                    }
                }
            }
        }
    }

    /// Takes the next block, or the newest one once more.
    fn take(&self, block: CommittedBlock) -> Result<(), LedgerError> {
        let known = *self.head.borrow();
        let head = Head { number: block.number, hash: block.hash };
        match known {
            Some(known) if block.number == known.number && block.hash == known.hash => {
                self.kept().trouble = None;
                return Ok(());
            }
            Some(known)
                if block.number == known.number + 1
                    && block.previous_hash == known.hash.as_slice() =>
            {
                let mut kept = self.kept();
                kept.trouble = None;
                kept.blocks.push_back(events_of(block));
                if kept.blocks.len() > KEPT_BLOCKS_MAX {
                    kept.blocks.pop_front();
                    kept.first += 1;
                }
            }
            Some(known) if block.number > known.number + 1 => {
                return Err(LedgerError::Unavailable("the peer has left out a block".to_owned()));
            }
            Some(known) => return Err(self.forked(known.number)),
            None => {
                let mut kept = self.kept();
                kept.trouble = None;
                kept.first = block.number;
                kept.blocks = VecDeque::from([events_of(block)]);
            }
        }
        self.head.send_replace(Some(head));
        Ok(())
    }

    fn forked(&self, number: u64) -> LedgerError {
        let reason = format!(
            "block {number} is another than it was, or the next one does not link to it: `{}` is of another channel, \
             or the channel was made anew",
            self.gateway.preferred()
        );
        self.kept().fault = Some(reason.clone());
        LedgerError::Corrupt { position: Some(position(number, 0)), reason }
    }

    fn believe(&self) -> Result<(), LedgerError> {
        match &self.kept().fault {
            None => Ok(()),
            Some(reason) => Err(LedgerError::Corrupt { position: None, reason: reason.clone() }),
        }
    }

    fn trouble(&self) -> LedgerError {
        let unknown = || LedgerError::Unavailable("the channel was not reached yet".to_owned());
        self.kept().trouble.clone().unwrap_or_else(unknown)
    }

    /// Waits until the own peer has delivered block `number`.
    pub(crate) async fn reach(&self, number: u64) -> Result<Head, LedgerError> {
        let mut head = self.head.subscribe();
        let reached = head.wait_for(|head| head.is_some_and(|head| head.number >= number));
        if let Ok(Ok(head)) = tokio::time::timeout(BEHIND, reached).await
            && let Some(head) = *head
        {
            return Ok(head);
        }
        self.believe()?;
        let known = *self.head.borrow();
        match (known, self.trouble()) {
            (_, trouble @ LedgerError::Misconfigured(_)) | (None, trouble) => Err(trouble),
            (Some(head), trouble) => Err(LedgerError::Unavailable(format!(
                "the orderers have block {number}, and the own peer `{}` has sent only {}; {trouble}",
                self.gateway.preferred(),
                head.number
            ))),
        }
    }

    /// A position that everything that the orderers had when they were asked stands before.
    pub(crate) async fn current(&self) -> Result<Position, LedgerError> {
        self.believe()?;
        let newest = self.gateway.newest().await?;
        let head = self.reach(newest).await?;
        Ok(position(head.number + 1, 0))
    }

    /// The contract's event in a transaction that stands in block `number`, if it is known there.
    pub(crate) async fn find(
        &self,
        transaction: &str,
        number: Option<u64>,
    ) -> Result<Option<Event>, LedgerError> {
        if let Some(number) = number {
            self.reach(number).await?;
        }
        self.believe()?;
        let known = {
            let kept = self.kept();
            let mut recent = kept.blocks.iter().rev().flatten();
            recent.find(|(id, _)| id == transaction).map(|(_, event)| event.clone())
        };
        if known.is_some() {
            return Ok(known);
        }
        let Some(block) = self.gateway.block_of_transaction(transaction).await? else {
            return Ok(None);
        };
        let block = CommittedBlock::read(block, &self.gateway.config().chaincode)?;
        let found =
            block.transactions.into_iter().find(|it| it.id == transaction && it.code == VALID);
        Ok(found.and_then(|it| it.event))
    }

    /// Up to `max` events at and after `from`.
    pub(crate) async fn events(
        &self,
        from: Position,
        max: usize,
    ) -> Result<Vec<Event>, LedgerError> {
        self.believe()?;
        let max = max.min(EVENTS_MAX);
        let head = *self.head.borrow();
        let Some(head) = head else { return Err(self.trouble()) };
        let mut found = Vec::new();
        let mut block = block_of(from);
        let (first, empty) = {
            let kept = self.kept();
            (kept.first, kept.empty)
        };
        if let Some((position, to)) = empty
            && from >= position
            && block <= to
        {
            block = to + 1;
        }
        if block < first && max > 0 {
            let mut blocks = self.gateway.blocks(Some(block), first - 1).await?;
            let mut previous: Option<CommittedBlock> = None;
            while found.len() < max && block < first {
                let missing = || {
                    LedgerError::Unavailable(format!("the peer has no block {block} at the moment"))
                };
                let next = match tokio::time::timeout(IDLE, blocks.next()).await {
                    Ok(next) => next?.ok_or_else(missing)?,
                    Err(_) => return Err(missing()),
                };
                let links =
                    previous.as_ref().is_none_or(|it| next.previous_hash == it.hash.as_slice());
                if next.number != block || !links {
                    return Err(LedgerError::Corrupt {
                        position: Some(position(block, 0)),
                        reason: "a block does not link to the one before it; the peer is damaged or lies"
                            .to_owned(),
                    });
                }
                found.extend(next.events().filter(|event| event.position >= from).cloned());
                block += 1;
                previous = Some(next);
            }
            if found.is_empty() {
                self.kept().empty = Some((from, block - 1));
            }
        }
        if found.len() < max {
            let kept = self.kept();
            // When the oldest blocks were dropped meanwhile, the next call reads them from the
            // peer.
            if block >= kept.first && block <= head.number {
                let skip = usize::try_from(block - kept.first).unwrap_or(usize::MAX);
                let events = kept.blocks.iter().skip(skip).flatten().map(|(_, event)| event);
                found.extend(
                    events.filter(|event| event.position >= from).take(max - found.len()).cloned(),
                );
            }
        }
        found.truncate(max);
        Ok(found)
    }

    /// Waits until there is an event at or after `from`, or for `timeout`.
    pub(crate) async fn wait(
        &self,
        from: Position,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        let mut head = self.head.subscribe();
        let end = tokio::time::Instant::now() + timeout;
        loop {
            let known = head.borrow_and_update().is_some();
            self.believe()?;
            if known && !self.events(from, 1).await?.is_empty() {
                return Ok(true);
            }
            match tokio::time::timeout_at(end, head.changed()).await {
                Err(_) => return Ok(false),
                Ok(Err(_)) => {
                    return Err(LedgerError::Unavailable("the adapter has ended".to_owned()));
                }
                Ok(Ok(())) => {}
            }
        }
    }

    /// Waits until the channel was reached for the first time.
    pub(crate) async fn begun(&self) -> Result<Head, LedgerError> {
        self.reach(0).await
    }
}

fn events_of(block: CommittedBlock) -> Vec<(String, Event)> {
    block.transactions.into_iter().filter_map(|it| Some((it.id, it.event?))).collect()
}
