//! Submitting transactions: one account, one nonce after the other, each sent until a block holds it.
//!
//! The same input is never under way twice: who asks again while it is waits for the same transaction. So a chain
//! that stands still collects no repeats, and an answer that was lost doubles nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::consensus::TxLegacy;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use datapact_ledger::LedgerError;
use datapact_ledger::port::Event;
use tokio::sync::watch;

use crate::chain::FinalBlock;
use crate::rpc::{Rpc, RpcError};
use crate::signer::{FileSigner, sign};

/// The most transactions under way.
const UNDER_WAY_MAX: usize = 20_000;
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
    /// What becomes of it; none when nothing is known after `timeout`.
    pub(crate) async fn wait(&self, timeout: Duration) -> Option<Done> {
        let mut done = self.done.subscribe();
        let wait = done.wait_for(Option::is_some);
        tokio::time::timeout(timeout, wait).await.ok()?.ok()?.clone()
    }
}

/// Signs and sends.
pub(crate) struct Submitter {
    rpc: Arc<Rpc>,
    signer: FileSigner,
    chain_id: u64,
    gas_price: u64,
    /// The next nonce of an account; none when the chain must be asked.
    next: tokio::sync::Mutex<Option<(Address, u64)>>,
    /// By the digest of where they go and their input.
    under_way: Mutex<HashMap<B256, Arc<UnderWay>>>,
}

impl Submitter {
    pub(crate) fn new(rpc: Arc<Rpc>, signer: FileSigner, chain_id: u64, gas_price: u64) -> Self {
        let (next, under_way) = (tokio::sync::Mutex::new(None), Mutex::default());
        Self { rpc, signer, chain_id, gas_price, next, under_way }
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

    /// Sends `input` to `to`, unless it is under way.
    pub(crate) async fn submit(
        &self,
        to: Address,
        input: Bytes,
        gas: u64,
    ) -> Result<Arc<UnderWay>, LedgerError> {
        let signer = self.signer.key().await?;
        let account = signer.address();
        let mut next = self.next.lock().await;
        let key = key(to, &input);
        if let Some(found) = self.find(to, &input) {
            return Ok(found);
        }
        if self.under_way().len() >= UNDER_WAY_MAX {
            return Err(LedgerError::Unavailable("too many transactions wait for a block".to_owned()));
        }
        // Once more when somebody else has used the account.
        for _ in 0..2 {
            let nonce = match *next {
                Some((of, nonce)) if of == account => nonce,
                _ => self.free_nonce(account).await?,
            };
            *next = None;
            let transaction = TxLegacy {
                chain_id: Some(self.chain_id),
                nonce,
                gas_price: self.gas_price.into(),
                gas_limit: gas,
                to: TxKind::Call(to),
                value: U256::ZERO,
                input: input.clone(),
            };
            let (hash, raw) = sign(&signer, transaction)?;
            match self.rpc.send(&raw).await {
                Ok(_) => {}
                Err(RpcError::Node { message, .. }) if is_known(&message) => {}
                Err(RpcError::Node { message, .. }) if is_too_low(&message) => continue,
                Err(error @ RpcError::Node { .. }) => return Err(error.into()),
                // It may have arrived: it counts as under way and is sent again.
                Err(RpcError::Unreachable(why)) => tracing::warn!(why, "a transaction may not have arrived"),
                Err(error) => return Err(error.into()),
            }
            *next = Some((account, nonce + 1));
            let under_way = Arc::new(UnderWay {
                hash,
                raw,
                account,
                nonce,
                sent: Mutex::new(Instant::now()),
                done: watch::Sender::new(None),
            });
            self.under_way().insert(key, Arc::clone(&under_way));
            return Ok(under_way);
        }
        Err(LedgerError::Unavailable(format!(
            "the nonces of the submitting account {account} are used by somebody else; give management its own account"
        )))
    }

    /// The next nonce, behind the chain's and behind those under way that the node may have forgotten.
    async fn free_nonce(&self, account: Address) -> Result<u64, LedgerError> {
        let pending = self.rpc.nonce(account, "pending").await?;
        let own = self.under_way().values().filter(|it| it.account == account).map(|it| it.nonce + 1).max();
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
            it.done.send_replace(Some(Done::Final(event.map(|(_, event)| Box::new(event.clone())))));
            false
        });
    }

    /// Sends again what has waited for long, in the nonces' order, and finds out what became of what was replaced or
    /// was not seen in a block. `newest` is the newest final block.
    pub(crate) async fn tend(&self, newest: u64) {
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
                Ok(_) => tracing::warn!(hash = %it.hash, nonce = it.nonce, "a transaction was sent again"),
                Err(RpcError::Node { message, .. }) if is_known(&message) => {}
                Err(RpcError::Node { .. }) => self.find_out(&it, newest).await,
                Err(_) => return,
            }
        }
    }

    async fn find_out(&self, it: &Arc<UnderWay>, newest: u64) {
        let done = match self.rpc.receipt(it.hash).await {
            Ok(Some(receipt)) if receipt.block_number <= newest => {
                let event =
                    receipt.logs.iter().filter_map(|log| crate::chain::event(log).ok().flatten()).next();
                Done::Final(event.map(|(_, event)| Box::new(event)))
            }
            Ok(None) => match self.rpc.nonce(it.account, "latest").await {
                Ok(next) if next > it.nonce => Done::Replaced,
                _ => return,
            },
            _ => return,
        };
        it.done.send_replace(Some(done));
        self.under_way().retain(|_, other| other.hash != it.hash);
    }
}

fn key(to: Address, input: &Bytes) -> B256 {
    keccak256([to.as_slice(), input.as_ref()].concat())
}

/// The node has the transaction already.
fn is_known(message: &str) -> bool {
    let said = message.to_lowercase();
    said.contains("already known") || said.contains("known transaction") || said.contains("already imported")
}

/// The nonce is used.
fn is_too_low(message: &str) -> bool {
    let said = message.to_lowercase();
    said.contains("nonce too low")
        || said.contains("nonce is too low")
        || said.contains("replacement transaction")
}
