//! The ledger's conformance suite and the mirror over the chaincode on a channel in memory, where
//! Fabric's programs are not needed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datapact_chaincode::contract::Failure;
use datapact_chaincode::contract::encoding::{
    Announcement, Granted, StateValue, TrustConfiguration,
};
use datapact_chaincode::testing::{Channel, LEDGER, clock_at};
use datapact_core::contract::{
    AccessRecord, CONTRACT_VERSION, Call, CheckError, Counter, Documents, ShareRecord, Value, check,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::permission::AccessTimes;
use datapact_ledger::conformance;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::mirror::MirroredLedger;
use datapact_ledger::port::{
    ContractState, EVENTS_MAX, Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt,
};
use datapact_ledger::tables::MIGRATIONS;
use datapact_local::testing::{Fixture, signing_key};
use datapact_log::Position;
use datapact_log::clock::system_clock;
use datapact_log::note::KeyKind;
use datapact_store::Store;

const NOW: u64 = 1_800_000_000;

/// The channel as a ledger.
struct MemoryLedger(Channel);

impl MemoryLedger {
    /// What a submitter finds when its documents are refused by name: the whole error.
    async fn documents_error(
        &self,
        call: &Call,
        documents: &Documents,
        time: Timestamp,
    ) -> CheckError {
        let trust: StateValue<TrustConfiguration> = self.0.query(&["trust"]).await;
        assert_eq!(trust.digest, Some(trust.record.digest()));
        check(call, documents, &trust.record.to_trust().unwrap(), LEDGER, time).unwrap_err()
    }
}

#[async_trait]
impl ContractState for MemoryLedger {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        let value: Option<StateValue<Value>> = self.0.query(&["share", &share.to_string()]).await;
        Ok(value.map(|value| match value.record {
            Value::Share(record) => record,
            other => panic!("{other:?}"),
        }))
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        let value: Option<StateValue<Value>> =
            self.0.query(&["access", &request.to_string()]).await;
        Ok(value.map(|value| match value.record {
            Value::Access(record) => (self.0.position_of(&value.transaction), record),
            other => panic!("{other:?}"),
        }))
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        let arguments = ["counter", &share.to_string(), &consumer.to_string()];
        let value: Option<StateValue<Value>> = self.0.query(&arguments).await;
        Ok(value.map_or(Counter { granted: 0 }, |value| match value.record {
            Value::Counter(counter) => counter,
            other => panic!("{other:?}"),
        }))
    }

    fn address(&self, share: &ShareId) -> String {
        format!("fabric:test/datapact/{share}")
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        let invocation = self.0.call(call, documents);
        let time = invocation.time;
        let (answer, position) = match self.0.submit(invocation).await {
            Ok(done) => done,
            Err(Failure::Refused { refusal }) => return Err(refusal.into()),
            Err(Failure::Documents { .. }) => {
                return Err(self.documents_error(call, documents, time).await.into());
            }
            Err(other) => return Err(LedgerError::Unavailable(other.to_string())),
        };
        let Granted { receipt, transaction } = serde_json::from_slice(&answer.payload).unwrap();
        let position = position.unwrap_or_else(|| self.0.position_of(&transaction));
        Ok(LedgerReceipt { address: self.address(call.share()), position, receipt })
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        let event = |(position, event): (Position, Announcement)| Event {
            position,
            time: event.time,
            receipt: event.receipt,
        };
        let events = (from..).zip(self.0.events(from));
        Ok(events.take(max.min(EVENTS_MAX)).map(event).collect())
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        let mut size = self.0.size();
        Ok(tokio::time::timeout(timeout, size.wait_for(|size| *size > from)).await.is_ok())
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        Ok(*self.0.size().borrow())
    }

    async fn verify(&self, receipt: &LedgerReceipt) -> Result<bool, LedgerError> {
        let share = receipt.receipt.share();
        let recorded = self.0.events(receipt.position).into_iter().next();
        Ok(receipt.address == self.address(share)
            && recorded.is_some_and(|event| event.receipt == receipt.receipt))
    }

    fn kind(&self) -> &str {
        "memory"
    }

    fn origin(&self) -> String {
        LEDGER.to_owned()
    }

    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        Ok(LedgerInfo {
            kind: self.kind().to_owned(),
            id: LEDGER.to_owned(),
            contract_version: CONTRACT_VERSION,
            size: self.head().await?,
            contract: None,
            log_key: None,
            witness_keys: Vec::new(),
        })
    }
}

/// Real peers are asked the whole suite; here it is a quick look at the rules, with fewer
/// consumers.
#[tokio::test]
async fn the_contract_passes_the_ledgers_conformance_suite() {
    let fixture = Fixture::with_clock(LEDGER, system_clock());
    let ledger = MemoryLedger(Channel::new(system_clock(), &fixture.trust()).await);
    conformance::a_share_lives_from_creation_to_revocation(&ledger, &fixture).await;
    conformance::terms_are_enforced(&ledger, &fixture).await;
    conformance::accesses_are_counted_per_consumer(&ledger, &fixture).await;
    conformance::usage_is_recorded_under_its_access(&ledger, &fixture).await;
    conformance::repeats_get_the_first_receipt_and_add_nothing(&ledger, &fixture).await;
    conformance::refused_calls_add_nothing(&ledger, &fixture).await;
    conformance::bad_documents_are_refused(&ledger, &fixture).await;
    conformance::events_resume_without_gap(&ledger, &fixture).await;
    conformance::receipts_are_verified(&ledger, &fixture).await;
    conformance::concurrent_consumers_never_get_more_than_allowed(&ledger, &fixture, 10).await;
    assert!(
        ledger.0.conflicts() > 0,
        "the suite has concurrent calls, and some of them were decided again"
    );
}

/// Proposals bring their own times, and blocks order them otherwise: the log that mirrors the
/// channel holds them still.
#[tokio::test]
async fn times_that_go_back_by_what_clocks_may_differ_are_mirrored() {
    let (clock, hands) = clock_at(NOW);
    let fixture = Fixture::with_clock(LEDGER, clock.clone());
    let channel = Channel::new(clock, &fixture.trust()).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("log.sqlite"), MIGRATIONS).await.unwrap();
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: signing_key(1, LEDGER, KeyKind::Log),
        witnesses: Vec::new(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    let log = Arc::new(EmbeddedLedger::open(store, config).await.unwrap());
    let mirrored = MirroredLedger::open(Arc::new(MemoryLedger(channel)), log).await.unwrap();
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    mirrored.execute(&call, &documents).await.unwrap();
    let consumer = fixture.consumer("Ann");
    for time in [NOW + 60, NOW - 60] {
        *hands.lock().unwrap() = NOW;
        let (call, documents) = share.request(&consumer);
        *hands.lock().unwrap() = time;
        let receipt = mirrored.execute(&call, &documents).await.unwrap();
        assert!(mirrored.verify(&receipt).await.unwrap());
    }
    let times: Vec<u64> =
        mirrored.events(0, 10).await.unwrap().iter().map(|event| event.time).collect();
    assert_eq!(times, [NOW, NOW + 60, NOW - 60]);
}
