//! A channel in memory: two organisations' endorsers, whose results must agree, and a committer
//! that validates what was read. What it cannot show is shown on real peers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datapact_core::contract::{
    AccessRecord, CONTRACT_VERSION, Call, CheckError, Counter, Documents, ShareRecord, Value, check,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::trust::Trust;
use datapact_ledger::port::{EVENTS_MAX, Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt};
use datapact_log::Position;
use datapact_log::clock::Clock;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::sync::watch;

use crate::contract::encoding::{
    Announcement, DOCUMENTS, Granted, SetUp, StateValue, TrustConfiguration, canonical,
};
use crate::contract::{Answer, Caller, Contract, Failure, Invocation, State, StateError};

pub(super) const LEDGER: &str = "consortium.example/ledger-1";

/// The world state, a version with every value.
#[derive(Debug, Default, Clone)]
pub(super) struct World {
    values: Arc<BTreeMap<String, (u64, Bytes)>>,
}

impl World {
    pub(super) fn set(&mut self, key: &str, value: Vec<u8>) {
        let version = self.version(key) + 1;
        Arc::make_mut(&mut self.values).insert(key.to_owned(), (version, value.into()));
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.values.get(key).map(|(_, value)| value.clone())
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.values.iter().map(|(key, (_, value))| (key, value))
    }

    fn version(&self, key: &str) -> u64 {
        self.values.get(key).map_or(0, |(version, _)| *version)
    }
}

/// What one endorser's simulation of a transaction reads and writes.
#[derive(Debug, Clone)]
pub(super) struct Simulation {
    world: World,
    /// In order, with the version seen.
    pub(super) reads: Vec<(String, u64)>,
    /// In order.
    pub(super) writes: Vec<(String, Vec<u8>)>,
}

impl Simulation {
    pub(super) fn new(world: &World) -> Self {
        Self { world: world.clone(), reads: Vec::new(), writes: Vec::new() }
    }
}

#[async_trait]
impl State for Simulation {
    async fn get(&mut self, key: &str) -> Result<Option<Bytes>, StateError> {
        // Others run meanwhile, as they do while a peer is asked.
        tokio::task::yield_now().await;
        assert!(self.writes.is_empty(), "everything is read before anything is written");
        self.reads.push((key.to_owned(), self.world.version(key)));
        Ok(self.world.get(key))
    }

    async fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        self.writes.push((key.to_owned(), value));
        Ok(())
    }
}

/// A certificate in PEM, of an admin or of an ordinary client.
pub(super) fn certificate(unit: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "management");
    params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

pub(super) fn set_up() -> SetUp {
    SetUp {
        administrators: ["Org2MSP".to_owned()].into(),
        chaincode: "datapact".to_owned(),
        ledger: LEDGER.to_owned(),
        submitter: "Org1MSP".to_owned(),
    }
}

pub(super) struct Channel {
    endorsers: [Contract; 2],
    clock: Clock,
    client: Caller,
    admin: Caller,
    state: Mutex<Committed>,
    size: watch::Sender<u64>,
}

#[derive(Default)]
struct Committed {
    world: World,
    next: u64,
    events: Vec<(String, Event)>,
    conflicts: u64,
}

impl Channel {
    /// A channel on which nobody has called `set-up`.
    pub(super) fn bare(clock: Clock) -> Self {
        let endorser = || Contract::new(Some(set_up()), clock.clone());
        Self {
            endorsers: [endorser(), endorser()],
            client: Caller::new("Org1MSP".to_owned(), certificate("client").as_bytes()),
            admin: Caller::new("Org2MSP".to_owned(), certificate("admin").as_bytes()),
            clock,
            state: Mutex::default(),
            size: watch::Sender::new(0),
        }
    }

    /// A channel that is set up and trusts `trust`.
    pub(super) async fn new(clock: Clock, trust: &Trust) -> Self {
        let channel = Self::bare(clock);
        channel.submit(channel.of_admin(&["set-up", &json(&set_up())])).await.unwrap();
        let trust = json(&TrustConfiguration::of(trust));
        channel.submit(channel.of_admin(&["set-trust", &trust])).await.unwrap();
        channel
    }

    fn state(&self) -> MutexGuard<'_, Committed> {
        self.state.lock().unwrap()
    }

    pub(super) fn world(&self) -> World {
        self.state().world.clone()
    }

    /// Overwrites a value as no transaction can.
    pub(super) fn damage(&self, key: &str, value: &[u8]) {
        self.state().world.set(key, value.to_vec());
    }

    pub(super) fn conflicts(&self) -> u64 {
        self.state().conflicts
    }

    fn invocation(&self, caller: &Caller, arguments: &[&str]) -> Invocation {
        let number = {
            let mut state = self.state();
            state.next += 1;
            state.next
        };
        Invocation {
            transaction: Digest::of(&number.to_be_bytes()).to_string(),
            chaincode: "datapact".to_owned(),
            time: (self.clock)(),
            caller: caller.clone(),
            arguments: arguments.iter().map(|it| Bytes::copy_from_slice(it.as_bytes())).collect(),
            transient: BTreeMap::new(),
        }
    }

    pub(super) fn of_admin(&self, arguments: &[&str]) -> Invocation {
        self.invocation(&self.admin, arguments)
    }

    pub(super) fn of_client(&self, arguments: &[&str]) -> Invocation {
        self.invocation(&self.client, arguments)
    }

    pub(super) fn call(&self, call: &Call, documents: &Documents) -> Invocation {
        let mut invocation = self.of_client(&["execute", &json(call)]);
        invocation.transient.insert(DOCUMENTS.to_owned(), serde_json::to_vec(documents).unwrap());
        invocation
    }

    /// Both endorsers' result, which is one.
    pub(super) async fn endorse(
        &self,
        invocation: &Invocation,
    ) -> Result<(Answer, Simulation), Failure> {
        let world = self.world();
        let mut results = Vec::new();
        for endorser in &self.endorsers {
            let mut simulation = Simulation::new(&world);
            let answer = endorser.invoke(invocation, &mut simulation).await;
            if answer.is_err() {
                assert_eq!(simulation.writes, [], "what is refused writes nothing");
            }
            results.push(answer.map(|answer| (answer, simulation.reads, simulation.writes)));
        }
        assert_eq!(results[0], results[1], "endorsers of one state agree, byte by byte");
        let (answer, reads, writes) = results.remove(0)?;
        Ok((answer, Simulation { world, reads, writes }))
    }

    /// Endorses and commits; again when something read has changed meanwhile, in a transaction of
    /// its own.
    pub(super) async fn submit(
        &self,
        mut invocation: Invocation,
    ) -> Result<(Answer, Option<Position>), Failure> {
        loop {
            let (answer, simulation) = self.endorse(&invocation).await?;
            if simulation.writes.is_empty() {
                return Ok((answer, None));
            }
            if let Some(position) = self.commit(&invocation.transaction, &answer, simulation) {
                return Ok((answer, Some(position)));
            }
            let fresh = self.of_client(&[]);
            invocation.transaction = fresh.transaction;
            invocation.time = fresh.time;
        }
    }

    fn commit(
        &self,
        transaction: &str,
        answer: &Answer,
        simulation: Simulation,
    ) -> Option<Position> {
        let mut state = self.state();
        if !simulation.reads.iter().all(|(key, version)| state.world.version(key) == *version) {
            state.conflicts += 1;
            return None;
        }
        for (key, value) in simulation.writes {
            state.world.set(&key, value);
        }
        let position = state.events.len() as u64;
        if let Some(event) = &answer.event {
            let said: Announcement = serde_json::from_slice(event).unwrap();
            assert_eq!(said.contract_version, CONTRACT_VERSION);
            let event = Event { position, time: said.time, receipt: said.receipt };
            state.events.push((transaction.to_owned(), event));
            self.size.send_replace(position + 1);
        }
        Some(position)
    }

    pub(super) async fn query<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let (answer, simulation) = self.endorse(&self.of_client(arguments)).await.unwrap();
        assert_eq!((simulation.writes, answer.event), (Vec::new(), None));
        serde_json::from_slice(&answer.payload).unwrap()
    }

    fn position_of(&self, transaction: &str) -> Position {
        let state = self.state();
        let found = state.events.iter().find(|(writer, _)| writer == transaction);
        found.expect("what is recorded was announced").1.position
    }

    fn event(&self, position: Position) -> Option<Event> {
        self.state().events.get(usize::try_from(position).ok()?).map(|(_, event)| event.clone())
    }

    /// What a submitter finds when its documents are refused by name: the whole error.
    async fn documents_error(
        &self,
        call: &Call,
        documents: &Documents,
        time: Timestamp,
    ) -> CheckError {
        let trust: StateValue<TrustConfiguration> = self.query(&["trust"]).await;
        assert_eq!(trust.digest, Some(trust.record.digest()));
        check(call, documents, &trust.record.to_trust().unwrap(), LEDGER, time).unwrap_err()
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    String::from_utf8(canonical(value)).unwrap()
}

#[async_trait]
impl Ledger for Channel {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        let invocation = self.call(call, documents);
        let time = invocation.time;
        let (answer, position) = match self.submit(invocation).await {
            Ok(done) => done,
            Err(Failure::Refused { refusal }) => return Err(refusal.into()),
            Err(Failure::Documents { .. }) => {
                return Err(self.documents_error(call, documents, time).await.into());
            }
            Err(other) => return Err(LedgerError::Unavailable(other.to_string())),
        };
        let Granted { receipt, transaction } = serde_json::from_slice(&answer.payload).unwrap();
        let position = position.unwrap_or_else(|| self.position_of(&transaction));
        Ok(LedgerReceipt { address: self.address(call.share()), position, receipt })
    }

    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        let value: Option<StateValue<Value>> = self.query(&["share", &share.to_string()]).await;
        Ok(value.map(|value| match value.record {
            Value::Share(record) => record,
            other => panic!("{other:?}"),
        }))
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        let value: Option<StateValue<Value>> = self.query(&["access", &request.to_string()]).await;
        Ok(value.map(|value| match value.record {
            Value::Access(record) => (self.position_of(&value.transaction), record),
            other => panic!("{other:?}"),
        }))
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        let arguments = ["counter", &share.to_string(), &consumer.to_string()];
        let value: Option<StateValue<Value>> = self.query(&arguments).await;
        Ok(value.map_or(Counter { granted: 0 }, |value| match value.record {
            Value::Counter(counter) => counter,
            other => panic!("{other:?}"),
        }))
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        let from = usize::try_from(from).unwrap();
        let events = self
            .state()
            .events
            .iter()
            .skip(from)
            .map(|(_, event)| event.clone())
            .collect::<Vec<_>>();
        Ok(events.into_iter().take(max.min(EVENTS_MAX)).collect())
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        let mut size = self.size.subscribe();
        Ok(tokio::time::timeout(timeout, size.wait_for(|size| *size > from)).await.is_ok())
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        Ok(self.state().events.len() as u64)
    }

    async fn verify(&self, receipt: &LedgerReceipt) -> Result<bool, LedgerError> {
        let share = receipt.receipt.share();
        Ok(receipt.address == self.address(share)
            && self.event(receipt.position).is_some_and(|event| event.receipt == receipt.receipt))
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

    fn address(&self, share: &ShareId) -> String {
        format!("fabric:test/datapact/{share}")
    }
}

/// A clock that tests set.
pub(super) fn clock_at(time: Timestamp) -> (Clock, Arc<Mutex<Timestamp>>) {
    let now = Arc::new(Mutex::new(time));
    let hands = Arc::clone(&now);
    (Arc::new(move || *now.lock().unwrap()), hands)
}
