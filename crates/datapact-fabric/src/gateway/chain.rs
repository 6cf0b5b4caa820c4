//! Following the channel: each block links to the one before it, and the contract's events are in
//! order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::{BlockId, OlderBlocks, RecentBlocks, position};
use datapact_ledger::port::Event;
use datapact_log::Position;
use tokio::time::timeout;

use super::block::{CommittedBlock, VALID};
use super::client::Gateway;

/// How long the peer may send nothing before it is asked whether there is something.
const IDLE: Duration = Duration::from_secs(10);
/// How long the follower rests after a failure.
const REST: Duration = Duration::from_millis(500);
/// How long the own peer may take to get what the orderers have.
const BEHIND: Duration = Duration::from_secs(10);

/// The contract's events on a channel.
pub(crate) struct Chain {
    gateway: Arc<Gateway>,
    recent: RecentBlocks<String>,
    /// Why the peer cannot be followed at the moment.
    trouble: Mutex<Option<LedgerError>>,
}

impl Chain {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, recent: RecentBlocks::default(), trouble: Mutex::default() }
    }

    fn trouble(&self) -> MutexGuard<'_, Option<LedgerError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
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
                *self.trouble() = Some(error);
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn follow_stream(&self) -> Result<(), LedgerError> {
        self.recent.believe()?;
        let head = self.recent.head();
        // Beginning with the newest block known, so that the peer answers at once, and shows
        // whether it is the same.
        let mut blocks = self.gateway.blocks(head.map(|head| head.number), u64::MAX).await?;
        loop {
            match timeout(IDLE, blocks.next()).await {
                Ok(Ok(Some(block))) => self.take(block)?,
                Ok(Ok(None)) => {
                    return Err(LedgerError::Unavailable(
                        "the peer has ended the delivery".to_owned(),
                    ));
                }
                Ok(Err(error)) => return Err(error),
                // A quiet channel looks like a peer that no longer delivers: its height tells.
                Err(_) => {
                    let height = self.gateway.height().await?.height;
                    let seen = self.recent.head().map_or(0, |head| head.number + 1);
                    if height > seen || !blocks.is_preferred() {
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
        let id = BlockId { number: block.number, hash: block.hash };
        match self.recent.head() {
            None => self.recent.begin(id, Some(events_of(block))),
            Some(head) if head == id => {}
            Some(head)
                if id.number == head.number + 1 && block.previous_hash == head.hash.as_slice() =>
            {
                self.recent.push(id, events_of(block));
            }
            Some(head) if id.number > head.number + 1 => {
                return Err(LedgerError::Unavailable("the peer has left out a block".to_owned()));
            }
            Some(head) => return Err(self.forked(head.number)),
        }
        *self.trouble() = None;
        Ok(())
    }

    fn forked(&self, number: u64) -> LedgerError {
        let reason = format!(
            "block {number} is another than it was, or the next one does not link to it: `{}` is \
             on another channel, or the channel was made again from its beginning",
            self.gateway.preferred()
        );
        self.recent.distrust(number, reason)
    }

    /// Waits until the own peer has delivered block `number`.
    pub(crate) async fn reach(&self, number: u64) -> Result<BlockId, LedgerError> {
        if let Some(head) = self.recent.reach(number, BEHIND).await {
            return Ok(head);
        }
        self.recent.believe()?;
        match (self.recent.head(), self.unreached()) {
            (_, trouble @ LedgerError::Misconfigured(_)) | (None, trouble) => Err(trouble),
            (Some(head), trouble) => Err(LedgerError::Unavailable(format!(
                "the orderers have block {number}, and the own peer `{}` has sent only {}; \
                 {trouble}",
                self.gateway.preferred(),
                head.number
            ))),
        }
    }

    /// A position after everything that the orderers had when they were asked.
    pub(crate) async fn current(&self) -> Result<Position, LedgerError> {
        self.recent.believe()?;
        let newest = self.gateway.newest().await?;
        let head = self.reach(newest).await?;
        Ok(position(head.number + 1, 0))
    }

    /// The contract's event in a transaction of block `number`, if the block is known.
    pub(crate) async fn find(
        &self,
        transaction: &str,
        number: Option<u64>,
    ) -> Result<Option<Event>, LedgerError> {
        if let Some(number) = number {
            self.reach(number).await?;
        }
        self.recent.believe()?;
        let recent = self.recent.find(&transaction.to_owned());
        if recent.is_some() {
            return Ok(recent);
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
        self.recent.events(from, max, self).await
    }

    /// Waits until there is an event at or after `from`, or for `timeout`.
    pub(crate) async fn wait(
        &self,
        from: Position,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        self.recent.wait(from, timeout, self).await
    }

    /// Waits until the channel was reached for the first time.
    pub(crate) async fn begun(&self) -> Result<BlockId, LedgerError> {
        self.reach(0).await
    }
}

#[async_trait]
impl OlderBlocks for Chain {
    fn unreached(&self) -> LedgerError {
        let not_yet = || LedgerError::Unavailable("the channel was not reached yet".to_owned());
        self.trouble().clone().unwrap_or_else(not_yet)
    }

    async fn read(
        &self,
        from: Position,
        mut block: u64,
        last: u64,
        max: usize,
    ) -> Result<(Vec<Event>, u64), LedgerError> {
        let mut events = Vec::new();
        let mut blocks = self.gateway.blocks(Some(block), last).await?;
        let mut previous: Option<CommittedBlock> = None;
        while events.len() < max && block <= last {
            let missing =
                || LedgerError::Unavailable(format!("the peer has no block {block} at the moment"));
            let next = match timeout(IDLE, blocks.next()).await {
                Ok(next) => next?.ok_or_else(missing)?,
                Err(_) => return Err(missing()),
            };
            let links = previous.is_none_or(|it| next.previous_hash == it.hash.as_slice());
            if next.number != block || !links {
                let reason =
                    "a block does not link to the one before it; the peer is damaged or lies";
                return Err(LedgerError::Corrupt {
                    position: Some(position(block, 0)),
                    reason: reason.to_owned(),
                });
            }
            events.extend(next.events().filter(|event| event.position >= from).cloned());
            block += 1;
            previous = Some(next);
        }
        Ok((events, block))
    }
}

fn events_of(block: CommittedBlock) -> Vec<(String, Event)> {
    block.transactions.into_iter().filter_map(|it| Some((it.id, it.event?))).collect()
}
