//! The adapter: the ledger port on a channel of Hyperledger Fabric.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datapact_core::contract::{
    AccessRecord, CONTRACT_VERSION, Call, Counter, Documents, Receipt, ShareRecord, Value,
    counter_key, share_key, usage_key,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_ledger::chain::ChainOptions;
use datapact_ledger::port::{ContractState, Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt};
use datapact_log::Position;
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;

use super::admin::{self, TrustKeeper};
use super::chain::Chain;
use super::client::{Answer, Commit, Gateway};
use super::config::{FabricConfig, KIND};
use super::error::GatewayError;
use super::identity::FileIdentity;
use super::proposal::Invocation;
use super::turns::Turns;
use datapact_chaincode::contract::Failure;
use datapact_chaincode::contract::encoding::{DOCUMENTS, Granted, StateValue, canonical};

/// How often the trust configuration is looked at.
const KEEP_TRUST: Duration = Duration::from_secs(3);

/// How long a call waits for the channel's first trust configuration: the server that keeps it may
/// be starting, too, and needs a block for it.
const FIRST_TRUST: Duration = Duration::from_secs(15);
const FIRST_TRUST_POLL: Duration = Duration::from_millis(300);

/// A ledger on a channel of Hyperledger Fabric.
pub struct FabricLedger {
    inner: Arc<Inner>,
    tasks: Vec<AbortHandle>,
}

struct Inner {
    options: ChainOptions,
    gateway: Arc<Gateway>,
    chain: Arc<Chain>,
    turns: Turns,
    trust: TrustKeeper,
    /// The submitter's MSP, once the chaincode was found to be what the options say.
    checked: OnceCell<String>,
}

impl Drop for FabricLedger {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl FabricLedger {
    /// Opens the ledger that the `ledger.toml` at `path` describes. Its peers need not be up: what
    /// cannot be reached is reached for again.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] when the file is wrong.
    pub fn open(path: &Path, options: ChainOptions) -> Result<Self, LedgerError> {
        Ok(Self::with(FabricConfig::load(path)?, options))
    }

    /// Opens the ledger that `config` describes, on a tokio runtime.
    pub fn with(config: FabricConfig, options: ChainOptions) -> Self {
        let administrator = config.administrator.clone().map(FileIdentity::new);
        let gateway = Gateway::new(config, Arc::clone(&options.clock));
        let chain = Arc::new(Chain::new(Arc::clone(&gateway)));
        let trust = TrustKeeper::new(administrator, Arc::clone(&options.trust));
        let turns = Turns::default();
        let inner =
            Arc::new(Inner { options, gateway, chain, turns, trust, checked: OnceCell::new() });
        let mut tasks = vec![tokio::spawn(Arc::clone(&inner.chain).follow()).abort_handle()];
        if inner.trust.keeps() {
            tasks.push(tokio::spawn(keep_trust(Arc::clone(&inner))).abort_handle());
        }
        Self { inner, tasks }
    }

    /// The channel, as single transactions are looked at.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.inner.gateway
    }
}

async fn keep_trust(inner: Arc<Inner>) {
    let mut said = None;
    loop {
        let why = inner.trust.keep(&inner.gateway).await.err().map(|error| error.to_string());
        if let Some(why) = &why
            && said.as_ref() != Some(why)
        {
            tracing::error!(
                why,
                "the channel's trust configuration cannot be replaced by this server's"
            );
        }
        said = why;
        tokio::time::sleep(KEEP_TRUST).await;
    }
}

impl Inner {
    /// Checks, once, that the chaincode is what the options say; the MSP of those whose calls it
    /// takes.
    async fn ready(&self) -> Result<&str, LedgerError> {
        self.checked.get_or_try_init(|| self.check_chaincode()).await.map(String::as_str)
    }

    async fn check_chaincode(&self) -> Result<String, LedgerError> {
        let info = admin::info(&self.gateway).await?;
        let wrong = |what: String| {
            LedgerError::Misconfigured(format!("the chaincode at {}: {what}", self.origin()))
        };
        if info.contract_version != CONTRACT_VERSION {
            return Err(wrong(format!(
                "its rules have version {}, and this program knows {CONTRACT_VERSION}",
                info.contract_version
            )));
        }
        let set_up = info.set_up.ok_or_else(|| wrong("it has not been set up yet".to_owned()))?;
        if set_up.ledger != self.options.id {
            return Err(wrong(format!(
                "it is the ledger `{}`, and this server's is `{}`; correct `ledger`'s id, \
                 `channel` or `chaincode`",
                set_up.ledger, self.options.id
            )));
        }
        Ok(set_up.submitter)
    }

    fn origin(&self) -> String {
        let FabricConfig { channel, chaincode, .. } = self.gateway.config();
        format!("fabric:{channel}/{chaincode}")
    }

    fn address(&self, share: &ShareId) -> String {
        format!("{}/{share}", self.origin())
    }

    fn receipt(&self, position: Position, receipt: Receipt) -> LedgerReceipt {
        LedgerReceipt { address: self.address(receipt.share()), position, receipt }
    }

    /// What the chaincode keeps under a key.
    async fn state(
        &self,
        function: &str,
        args: &[&str],
    ) -> Result<Option<StateValue<Value>>, LedgerError> {
        self.ready().await?;
        let bytes = self.gateway.evaluate(function, args).await?;
        admin::parse(&self.gateway, function, &bytes)
    }

    /// The receipt of what `transaction` has recorded, with its position.
    async fn recorded(
        &self,
        transaction: &str,
        block: Option<u64>,
        receipt: Receipt,
    ) -> Result<LedgerReceipt, LedgerError> {
        match self.chain.find(transaction, block).await? {
            Some(event) if event.receipt == receipt => Ok(self.receipt(event.position, receipt)),
            Some(event) => Err(LedgerError::Corrupt {
                position: Some(event.position),
                reason: format!(
                    "the transaction `{transaction}` has recorded something else than the \
                     chaincode says"
                ),
            }),
            // The state may be another peer's of the organisation, some blocks ahead.
            None => Err(LedgerError::Unavailable(format!(
                "no block of the peer `{}` holds the transaction `{transaction}` that recorded it \
                 yet",
                self.gateway.preferred()
            ))),
        }
    }

    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        let stale = self.options.check(call, documents)?;
        let submitter = self.ready().await?;
        let msp = &self.gateway.config().identity.msp_id;
        if submitter != msp {
            return Err(LedgerError::Misconfigured(format!(
                "the chaincode at {} takes calls from `{submitter}` only, and `identity` is a \
                 member of `{msp}`",
                self.origin()
            )));
        }
        self.trust.keep(&self.gateway).await?;
        self.chain.begun().await?;
        let mut invocation = Invocation::new("execute", [canonical(call)]);
        invocation.transient.insert(DOCUMENTS.to_owned(), canonical(documents));
        // Held until the call is in a block: calls that write the same key would conflict there for
        // certain.
        let _turn = self.turns.take(written(call)).await;
        let (answer, commit) = match (self.submit(invocation).await, stale) {
            (
                Err(GatewayError::Refused { failure: Failure::Documents { .. }, .. }),
                Some(stale),
            ) => {
                return Err(stale.into());
            }
            (answer, _) => answer?,
        };
        let granted: Granted = admin::parse(&self.gateway, "execute", &answer.payload)?;
        self.recorded(&granted.transaction, commit.map(|commit| commit.block), granted.receipt)
            .await
    }
}

impl Inner {
    /// Endorses and commits, once the channel has a trust configuration.
    async fn submit(
        &self,
        invocation: Invocation,
    ) -> Result<(Answer, Option<Commit>), GatewayError> {
        let end = Instant::now() + FIRST_TRUST;
        loop {
            match self.gateway.submit(None, invocation.clone()).await {
                Err(GatewayError::Refused { failure: Failure::NotSetUp, .. })
                    if Instant::now() < end =>
                {
                    tokio::time::sleep(FIRST_TRUST_POLL).await;
                }
                answer => return answer,
            }
        }
    }
}

/// The key that a call writes and that others may write, too.
fn written(call: &Call) -> String {
    match call {
        Call::SetPolicy(set) => share_key(&set.share),
        Call::RequestAccess(request) => counter_key(&request.share, &request.consumer),
        Call::RecordUsage(usage) => usage_key(&usage.report),
    }
}

#[async_trait]
impl ContractState for FabricLedger {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        match self.inner.state("share", &[&share.to_string()]).await?.map(|value| value.record) {
            Some(Value::Share(record)) => Ok(Some(record)),
            Some(_) => Err(other_value()),
            None => Ok(None),
        }
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        let Some(StateValue { record, transaction, .. }) =
            self.inner.state("access", &[&request.to_string()]).await?
        else {
            return Ok(None);
        };
        let Value::Access(record) = record else { return Err(other_value()) };
        let recorded =
            self.inner.recorded(&transaction, None, Receipt::Access(record.clone())).await?;
        Ok(Some((recorded.position, record)))
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        let args = [share.to_string(), consumer.to_string()];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match self.inner.state("counter", &args).await?.map(|value| value.record) {
            Some(Value::Counter(counter)) => Ok(counter),
            Some(_) => Err(other_value()),
            None => Ok(Counter { granted: 0 }),
        }
    }

    fn address(&self, share: &ShareId) -> String {
        self.inner.address(share)
    }
}

#[async_trait]
impl Ledger for FabricLedger {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        self.inner.execute(call, documents).await
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        self.inner.chain.begun().await?;
        self.inner.chain.events(from, max).await
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        self.inner.chain.wait(from, timeout).await
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        self.inner.ready().await?;
        self.inner.chain.current().await
    }

    fn kind(&self) -> &str {
        KIND
    }

    fn origin(&self) -> String {
        self.inner.origin()
    }

    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        self.inner.ready().await?;
        Ok(LedgerInfo {
            kind: KIND.to_owned(),
            id: self.inner.options.id.clone(),
            contract_version: CONTRACT_VERSION,
            size: self.inner.gateway.height().await?.height,
            contract: Some(self.inner.origin()),
            log_key: None,
            witness_keys: Vec::new(),
        })
    }
}

fn other_value() -> LedgerError {
    LedgerError::Corrupt {
        position: None,
        reason: "the chaincode has another kind of value there".to_owned(),
    }
}
