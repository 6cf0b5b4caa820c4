//! The adapter: the ledger port on an Ethereum-family chain.

#[cfg(test)]
mod tests;
mod trial;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use alloy::sol_types::SolCall;
use async_trait::async_trait;
use datapact_core::contract::{
    AccessRecord, CONTRACT_VERSION, Call, Counter, Documents, Receipt, ShareRecord,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_ledger::blocks::{OlderBlocks as _, position};
use datapact_ledger::chain::ChainOptions;
use datapact_ledger::port::{ContractState, Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt};
use datapact_log::Position;
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;

use crate::abi::sol_types::{Registry, Share};
use crate::abi::{self, Target};
use crate::chain::Chain;
use crate::config::{EvmConfig, KIND};
use crate::contract;
use crate::rpc::Rpc;
use crate::signer::FileSigner;
use crate::submit::{Done, Submitter};
use trial::{Trial, gas};

/// How long a call waits while none of the account's transactions becomes final.
const FINALITY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a call is tried when the chain changed between its trial and its block.
const TRIES: usize = 4;
/// How often the newest block is asked for, in parts of the block period.
const POLLS_PER_BLOCK: u32 = 5;
/// How often another node is preferred while the preferred one gets no blocks.
const TURN_EVERY: Duration = Duration::from_secs(10);
/// How often transactions are looked after.
const TEND_EVERY: Duration = Duration::from_secs(2);

/// A ledger on an Ethereum-family chain.
pub struct EvmLedger {
    inner: Arc<Inner>,
    tasks: Vec<AbortHandle>,
}

struct Inner {
    options: ChainOptions,
    config: EvmConfig,
    rpc: Arc<Rpc>,
    chain: Chain,
    submitter: Option<Submitter>,
    /// Set once the contract was found to be what the configuration says.
    checked: OnceCell<()>,
}

impl Drop for EvmLedger {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl EvmLedger {
    /// Opens the ledger that the `ledger.toml` at `path` describes. Its nodes need not be up: what
    /// cannot be reached is reached for again.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] when the file is wrong.
    pub fn open(path: &Path, options: ChainOptions) -> Result<Self, LedgerError> {
        Self::with(EvmConfig::load(path)?, options)
    }

    /// Opens the ledger that `config` describes, on a tokio runtime.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with(config: EvmConfig, options: ChainOptions) -> Result<Self, LedgerError> {
        let rpc = Arc::new(Rpc::new(&config.endpoints, config.chain_id)?);
        let submitter = config.signer.clone().map(|signer| {
            Submitter::new(
                Arc::clone(&rpc),
                FileSigner::new(signer),
                config.chain_id,
                config.gas_price,
            )
        });
        let chain = Chain::new(Arc::clone(&rpc), &config, Arc::clone(&options.clock));
        let inner =
            Arc::new(Inner { options, config, rpc, chain, submitter, checked: OnceCell::new() });
        let tasks = vec![
            tokio::spawn(follow(Arc::clone(&inner))).abort_handle(),
            tokio::spawn(tend(Arc::clone(&inner))).abort_handle(),
        ];
        Ok(Self { inner, tasks })
    }
}

/// Goes through new blocks for as long as the adapter lives. A node that gets none is left for the
/// next one, and not too often: the chain itself may stop.
async fn follow(inner: Arc<Inner>) {
    let every = Duration::from_secs(inner.config.block_seconds) / POLLS_PER_BLOCK;
    let (mut trouble, mut turned) = (None, None::<Instant>);
    loop {
        let now = match inner.advance().await {
            Ok(latest) => {
                if inner.chain.fresh(&latest).is_err()
                    && turned.is_none_or(|at| at.elapsed() > TURN_EVERY)
                {
                    inner.rpc.prefer_next();
                    turned = Some(Instant::now());
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = &now
            && trouble != now
        {
            tracing::error!(why, "the chain cannot be followed; trying again");
        }
        trouble = now;
        tokio::time::sleep(every).await;
    }
}

async fn tend(inner: Arc<Inner>) {
    let Some(submitter) = &inner.submitter else { return };
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        if let Some(newest) = inner.chain.newest() {
            submitter.tend(newest).await;
        }
    }
}

impl Inner {
    async fn advance(&self) -> Result<crate::rpc::Block, LedgerError> {
        self.chain
            .advance(|block| {
                if let (Some(submitter), Some(block)) = (&self.submitter, &block) {
                    submitter.seen(block);
                }
            })
            .await
    }

    /// Checks, once, that the contract is what the configuration says and takes calls from the
    /// account configured.
    async fn ready(&self) -> Result<(), LedgerError> {
        self.checked.get_or_try_init(|| self.check_contract()).await.map(|_| ())
    }

    async fn check_contract(&self) -> Result<(), LedgerError> {
        let account = match &self.submitter {
            Some(submitter) => Some(submitter.account().await?),
            None => None,
        };
        contract::check(&self.rpc, &self.config, account).await
    }

    async fn ask<C: SolCall>(
        &self,
        to: Address,
        call: C,
    ) -> Result<Option<C::Return>, LedgerError> {
        contract::ask(&self.rpc, to, call).await
    }

    fn share_address(&self, share: &ShareId) -> Address {
        abi::share_address(self.config.contract, self.config.implementation, share)
    }

    fn caip10(&self, address: Address) -> String {
        format!("eip155:{}:{address}", self.config.chain_id)
    }
}

#[async_trait]
impl ContractState for EvmLedger {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        match self.inner.chain.find(&abi::policy_topics(share)).await?.map(|event| event.receipt) {
            Some(Receipt::Policy(record)) => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        let call = Registry::accessOfCall { request: (*request.as_bytes()).into() };
        if self
            .inner
            .ask(self.inner.config.contract, call)
            .await?
            .is_none_or(|found| found.access == 0)
        {
            return Ok(None);
        }
        let event = self.inner.chain.find(&abi::access_topics(request)).await?;
        Ok(event.and_then(|event| match event.receipt {
            Receipt::Access(record) => Some((event.position, record)),
            _ => None,
        }))
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        let call = Share::grantedCall { consumer: (*consumer.as_bytes()).into() };
        let granted = self.inner.ask(self.inner.share_address(share), call).await?;
        Ok(Counter { granted: granted.unwrap_or(0) })
    }

    fn address(&self, share: &ShareId) -> String {
        self.inner.caip10(self.inner.share_address(share))
    }
}

#[async_trait]
impl Ledger for EvmLedger {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        let inner = &self.inner;
        let stale = inner.options.check(call, documents)?;
        let submitter = inner.submitter.as_ref().ok_or_else(|| {
            LedgerError::Misconfigured(
                "`ledger.toml` names no `signer`, so nothing can be submitted".to_owned(),
            )
        })?;
        inner.chain.believe()?;
        inner.ready().await?;
        let (target, input) = abi::input(call);
        let to = match target {
            Target::Registry => inner.config.contract,
            Target::Share => inner.share_address(call.share()),
        };
        for _ in 0..TRIES {
            let under_way = match submitter.find(to, &input) {
                Some(under_way) => under_way,
                None => match (inner.trial(submitter, call, to, &input).await?, &stale) {
                    (Trial::Repeat, _) => return inner.first_receipt(call).await,
                    (Trial::Change, Some(stale)) => return Err(stale.clone().into()),
                    (Trial::Change, None) => submitter.submit(to, input.clone(), gas(call)).await?,
                },
            };
            match submitter.settled(&under_way, FINALITY_TIMEOUT).await {
                Some(Done::Final(Some(event))) => return Ok(inner.receipt(*event)),
                // Refused, or a repeat, by what came before it in its block: the next trial says
                // which.
                Some(Done::Final(None) | Done::Replaced) => {}
                None => {
                    inner.chain.believe()?;
                    let latest = inner.rpc.latest().await?;
                    inner.chain.fresh(&latest)?;
                    return Err(submitter.waiting(&under_way).await);
                }
            }
        }
        Err(LedgerError::Unavailable(
            "the chain changes faster than the call can follow".to_owned(),
        ))
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        if self.inner.chain.newest().is_none() {
            self.inner.advance().await?;
        }
        self.inner.chain.events(from, max).await
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        self.inner.chain.wait(from, timeout).await
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        self.inner.ready().await?;
        let latest = self.inner.advance().await?;
        self.inner.chain.fresh(&latest)?;
        let newest = self.inner.chain.newest().ok_or_else(|| self.inner.chain.unreached())?;
        Ok(position(newest + 1, 0))
    }

    fn kind(&self) -> &str {
        KIND
    }

    fn origin(&self) -> String {
        self.inner.caip10(self.inner.config.contract)
    }

    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        self.inner.ready().await?;
        Ok(LedgerInfo {
            kind: KIND.to_owned(),
            id: self.inner.options.id.clone(),
            contract_version: CONTRACT_VERSION,
            size: self.inner.rpc.latest().await?.number,
            contract: Some(self.origin()),
            log_key: None,
            witness_keys: Vec::new(),
        })
    }
}
