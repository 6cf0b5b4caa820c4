//! Submitting transactions: one account, one nonce after the other, each sent until a block holds
//! it.
//!
//! Nonces are given out one at a time, but sent side by side: nodes keep what comes out of order
//! until the gap closes. A nonce that a node refused to take is given out again, so that what comes
//! behind it does not wait for ever.
//!
//! The same input is never under way twice: a repeat waits for the same transaction. So a chain
//! that makes no blocks collects no repeats, and an answer that was lost doubles nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::consensus::TxLegacy;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use datapact_ledger::LedgerError;
use datapact_ledger::port::Event;
use tokio::sync::watch;

use crate::chain::FinalBlock;
use crate::rpc::{Rpc, RpcError};
use crate::signer::{FileSigner, of_account, sign};

/// The most transactions under way.
const UNDER_WAY_MAX: usize = 20_000;
/// What a transaction that does nothing costs.
const PLAIN_GAS: u64 = 21_000;
/// How long a transaction may wait for its block before it is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(8);

/// What became of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    /// It is final, with this event; none when it did nothing: refused, or a repeat.
    Final(Option<Box<Event>>),
    /// Another transaction has taken its nonce.
    Replaced,
}

/// Why a node did not take a transaction.
enum Refused {
    /// It has it already.
    Present,
    /// Another transaction has its nonce.
    NonceTaken,
    /// Something is wrong with the transaction itself, or the node takes none now.
    Itself,
}

/// A transaction under way.
pub(crate) struct UnderWay {
    hash: B256,
    raw: Bytes,
    account: Address,
    nonce: u64,
    sent: Mutex<Instant>,
    done: watch::Sender<Option<Done>>,
}

impl UnderWay {
    async fn done(&self) -> Option<Done> {
        self.done.subscribe().wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// An account's nonces.
struct Nonces {
    account: Address,
    next: u64,
    /// Given out before, and not taken by a node.
    free: BTreeSet<u64>,
}

/// Signs and sends.
pub(crate) struct Submitter {
    rpc: Arc<Rpc>,
    signer: FileSigner,
    chain_id: u64,
    gas_price: u64,
    /// None when the chain must be asked.
    nonces: tokio::sync::Mutex<Option<Nonces>>,
    /// How many transactions were under way and are not any more.
    ended: AtomicU64,
    /// By the digest of where they go and their input.
    under_way: Mutex<HashMap<B256, Arc<UnderWay>>>,
}

impl Submitter {
    pub(crate) fn new(rpc: Arc<Rpc>, signer: FileSigner, chain_id: u64, gas_price: u64) -> Self {
        let (nonces, under_way) = (tokio::sync::Mutex::new(None), Mutex::default());
        Self { rpc, signer, chain_id, gas_price, nonces, ended: AtomicU64::new(0), under_way }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<B256, Arc<UnderWay>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The submitting account.
    pub(crate) async fn account(&self) -> Result<Address, LedgerError> {
        Ok(self.signer.key().await?.address())
    }

    /// The transaction with this input that is under way.
    pub(crate) fn find(&self, to: Address, input: &Bytes) -> Option<Arc<UnderWay>> {
        self.under_way().get(&key(to, input)).cloned()
    }

    /// What becomes of a transaction; none when neither it nor any other has become final for as
    /// long as `patience`: in a long queue it is enough that the queue moves.
    pub(crate) async fn settled(&self, it: &UnderWay, patience: Duration) -> Option<Done> {
        let mut before = self.ended.load(Ordering::Relaxed);
        loop {
            if let Ok(done) = tokio::time::timeout(patience, it.done()).await {
                return done;
            }
            let now = self.ended.load(Ordering::Relaxed);
            if now == before {
                return None;
            }
            before = now;
        }
    }

    /// What to say of a transaction that waits for too long.
    pub(crate) async fn waiting(&self, it: &UnderWay) -> LedgerError {
        let (nonce, account) = (it.nonce, it.account);
        let next = self.rpc.nonce(account, "latest").await;
        let next = next.map_or_else(|error| error.to_string(), |next| next.to_string());
        LedgerError::Unavailable(format!(
            "no block has taken the transaction yet: it has the nonce {nonce} of {account}, and \
             the chain is at {next}"
        ))
    }

    /// Sends `input` to `to`, unless it is under way.
    pub(crate) async fn submit(
        &self,
        to: Address,
        input: Bytes,
        gas: u64,
    ) -> Result<Arc<UnderWay>, LedgerError> {
        let signer = self.signer.key().await?;
        let account = signer.address();
        // Once more when another program has used the account.
        for _ in 0..2 {
            // Held until the transaction counts as under way: of two calls with the same input, the
            // second must find the first one's.
            let mut nonces = self.nonces.lock().await;
            if let Some(found) = self.find(to, &input) {
                return Ok(found);
            }
            if self.under_way().len() >= UNDER_WAY_MAX {
                return Err(LedgerError::Unavailable(
                    "too many transactions wait for a block".to_owned(),
                ));
            }
            if nonces.as_ref().is_none_or(|nonces| nonces.account != account) {
                let next = self.free_nonce(account).await?;
                *nonces = Some(Nonces { account, next, free: BTreeSet::new() });
            }
            let Some(own) = nonces.as_mut() else { continue };
            let nonce = own.free.pop_first().unwrap_or_else(|| {
                own.next += 1;
                own.next - 1
            });
            let (hash, raw) = match self.signed(&signer, nonce, to, input.clone(), gas) {
                Ok(signed) => signed,
                Err(error) => {
                    own.free.insert(nonce);
                    return Err(error);
                }
            };
            let under_way = Arc::new(UnderWay {
                hash,
                raw,
                account,
                nonce,
                sent: Mutex::new(Instant::now()),
                done: watch::Sender::new(None),
            });
            self.under_way().insert(key(to, &input), Arc::clone(&under_way));
            drop(nonces);
            match self.rpc.send(&under_way.raw).await {
                Ok(_) => return Ok(under_way),
                // It may have arrived: it counts as under way and is sent again.
                Err(RpcError::Unreachable(why) | RpcError::TooMuch(why)) => {
                    tracing::warn!(why, "a transaction may not have arrived");
                    return Ok(under_way);
                }
                Err(error) => match self.refused(&under_way).await {
                    Refused::Present => return Ok(under_way),
                    Refused::NonceTaken => {
                        *self.nonces.lock().await = None;
                        self.ended(&under_way, Done::Replaced);
                    }
                    Refused::Itself => {
                        self.give_back(account, nonce).await;
                        self.ended(&under_way, Done::Replaced);
                        return Err(of_account(error.into(), account));
                    }
                },
            }
        }
        Err(LedgerError::Unavailable(format!(
            "the nonces of the submitting account {account} are used by another program; give \
             management its own account"
        )))
    }

    fn signed(
        &self,
        signer: &PrivateKeySigner,
        nonce: u64,
        to: Address,
        input: Bytes,
        gas: u64,
    ) -> Result<(B256, Bytes), LedgerError> {
        let transaction = TxLegacy {
            chain_id: Some(self.chain_id),
            nonce,
            gas_price: self.gas_price.into(),
            gas_limit: gas,
            to: TxKind::Call(to),
            value: U256::ZERO,
            input,
        };
        sign(signer, transaction)
    }

    /// Why a node refuses a transaction. The chain says it: JSON-RPC has no codes for it, and each
    /// node has words of its own.
    async fn refused(&self, it: &UnderWay) -> Refused {
        match self.rpc.has_transaction(it.hash).await {
            // Without an answer it may be there: then it is sent again later.
            Ok(true) | Err(RpcError::Unreachable(_) | RpcError::TooMuch(_)) => {
                return Refused::Present;
            }
            _ => {}
        }
        if self.is_taken(it.account, it.nonce).await {
            Refused::NonceTaken
        } else {
            Refused::Itself
        }
    }

    /// Whether the account has used a nonce, in a block or in a transaction that waits for one.
    async fn is_taken(&self, account: Address, nonce: u64) -> bool {
        matches!(self.rpc.nonce(account, "pending").await, Ok(next) if next > nonce)
    }

    async fn give_back(&self, account: Address, nonce: u64) {
        if let Some(nonces) = self.nonces.lock().await.as_mut().filter(|it| it.account == account) {
            nonces.free.insert(nonce);
        }
    }

    fn ended(&self, it: &UnderWay, done: Done) {
        it.done.send_replace(Some(done));
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.under_way().retain(|_, other| other.hash != it.hash);
    }

    /// The next nonce, behind the chain's and behind those under way that the node may have
    /// forgotten.
    async fn free_nonce(&self, account: Address) -> Result<u64, LedgerError> {
        let pending = self.rpc.nonce(account, "pending").await?;
        let own = self
            .under_way()
            .values()
            .filter(|it| it.account == account)
            .map(|it| it.nonce + 1)
            .max();
        Ok(own.map_or(pending, |own| own.max(pending)))
    }

    /// Tells those who wait what a final block has brought.
    pub(crate) fn seen(&self, block: &FinalBlock) {
        let mut under_way = self.under_way();
        if under_way.is_empty() {
            return;
        }
        let inside: std::collections::HashSet<&B256> = block.transactions.iter().collect();
        under_way.retain(|_, it| {
            if !inside.contains(&it.hash) {
                return true;
            }
            let event = block.events.iter().find(|(hash, _)| *hash == it.hash);
            it.done
                .send_replace(Some(Done::Final(event.map(|(_, event)| Box::new(event.clone())))));
            self.ended.fetch_add(1, Ordering::Relaxed);
            false
        });
    }

    /// Sends again what has waited for long, in the nonces' order, and finds out what became of
    /// what was replaced or was not seen in a block. `newest` is the newest final block.
    pub(crate) async fn tend(&self, newest: u64) {
        if let Err(error) = self.fill().await {
            tracing::warn!(%error, "a gap between transactions stays open; trying again");
        }
        let mut waiting: Vec<_> = {
            let under_way = self.under_way();
            let old = |it: &&Arc<UnderWay>| {
                it.sent.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > SEND_AGAIN
            };
            under_way.values().filter(old).cloned().collect()
        };
        waiting.sort_by_key(|it| it.nonce);
        for it in waiting {
            *it.sent.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            match self.rpc.send(&it.raw).await {
                Ok(_) => {
                    let (hash, nonce) = (it.hash, it.nonce);
                    tracing::warn!(%hash, nonce, "a transaction was sent again");
                }
                Err(RpcError::Node { .. }) => self.find_out(&it, newest).await,
                Err(_) => return,
            }
        }
    }

    async fn find_out(&self, it: &Arc<UnderWay>, newest: u64) {
        let done = match self.rpc.receipt(it.hash).await {
            Ok(Some(receipt)) if receipt.block_number <= newest => {
                let event = receipt
                    .logs
                    .iter()
                    .filter_map(|log| crate::chain::event(log).ok().flatten())
                    .next();
                Done::Final(event.map(|(_, event)| Box::new(event)))
            }
            Ok(None) => match self.rpc.nonce(it.account, "latest").await {
                Ok(next) if next > it.nonce => Done::Replaced,
                _ => return,
            },
            _ => return,
        };
        self.ended(it, done);
    }

    /// Uses up the nonces that no node took and that no call has needed since, by transactions that
    /// do nothing: those with later nonces would wait for ever.
    async fn fill(&self) -> Result<(), LedgerError> {
        let mut nonces = self.nonces.lock().await;
        let Some(own) = nonces.as_mut() else { return Ok(()) };
        let last = self.under_way().values().map(|it| it.nonce).max();
        let gaps: Vec<u64> = own.free.iter().copied().filter(|nonce| last > Some(*nonce)).collect();
        if gaps.is_empty() {
            return Ok(());
        }
        let signer = self.signer.key().await?;
        for nonce in gaps {
            if signer.address() == own.account {
                let (_, raw) = self.signed(&signer, nonce, own.account, Bytes::new(), PLAIN_GAS)?;
                match self.rpc.send(&raw).await {
                    // Some node had taken a transaction with it after all.
                    Err(RpcError::Node { .. }) if self.is_taken(own.account, nonce).await => {}
                    sent => drop(sent?),
                }
            }
            own.free.remove(&nonce);
        }
        Ok(())
    }
}

fn key(to: Address, input: &Bytes) -> B256 {
    keccak256([to.as_slice(), input.as_ref()].concat())
}

#[cfg(test)]
mod tests;
