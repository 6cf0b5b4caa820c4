//! A channel in memory, for tests: two organisations' endorsers, whose results must agree, and a
//! committer that validates what was read. What it cannot show is shown on real peers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use datapact_core::contract::{CONTRACT_VERSION, Call, Documents};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::trust::Trust;
use datapact_log::Position;
use datapact_log::clock::Clock;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::sync::watch;

use crate::contract::encoding::{Announcement, DOCUMENTS, SetUp, TrustConfiguration, canonical};
use crate::contract::{Answer, Caller, Contract, Failure, Invocation, State, StateError};

/// The ledger's id.
pub const LEDGER: &str = "consortium.example/ledger-1";

/// The world state, a version with every value.
#[derive(Debug, Default, Clone)]
pub struct World {
    values: Arc<BTreeMap<String, (u64, Bytes)>>,
}

impl World {
    /// Writes a value, as its next version.
    pub fn set(&mut self, key: &str, value: Vec<u8>) {
        let version = self.version(key) + 1;
        Arc::make_mut(&mut self.values).insert(key.to_owned(), (version, value.into()));
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.values.get(key).map(|(_, value)| value.clone())
    }

    /// All values by their keys.
    pub fn values(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.values.iter().map(|(key, (_, value))| (key, value))
    }

    fn version(&self, key: &str) -> u64 {
        self.values.get(key).map_or(0, |(version, _)| *version)
    }
}

/// What one endorser's simulation of a transaction reads and writes.
#[derive(Debug, Clone)]
pub struct Simulation {
    world: World,
    /// In order, with the version seen.
    pub reads: Vec<(String, u64)>,
    /// In order, each key with its value.
    pub writes: Vec<(String, Vec<u8>)>,
}

impl Simulation {
    /// Nothing read or written yet.
    pub fn new(world: &World) -> Self {
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
pub fn certificate(unit: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "management");
    params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// What both organisations have agreed to: `Org1MSP` submits, `Org2MSP` keeps the trust
/// configuration.
pub fn set_up() -> SetUp {
    SetUp {
        administrators: ["Org2MSP".to_owned()].into(),
        chaincode: "datapact".to_owned(),
        ledger: LEDGER.to_owned(),
        submitter: "Org1MSP".to_owned(),
    }
}

/// The channel: what its endorsers do, and what is committed.
pub struct Channel {
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
    /// Each with the transaction that announced it.
    events: Vec<(String, Announcement)>,
    conflicts: u64,
}

impl Channel {
    /// A channel before `set-up` is called.
    pub fn bare(clock: Clock) -> Self {
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
    pub async fn new(clock: Clock, trust: &Trust) -> Self {
        let channel = Self::bare(clock);
        channel.submit(channel.of_admin(&["set-up", &json(&set_up())])).await.unwrap();
        let trust = json(&TrustConfiguration::of(trust));
        channel.submit(channel.of_admin(&["set-trust", &trust])).await.unwrap();
        channel
    }

    fn state(&self) -> MutexGuard<'_, Committed> {
        self.state.lock().unwrap()
    }

    /// The committed state.
    pub fn world(&self) -> World {
        self.state().world.clone()
    }

    /// Overwrites a value as no transaction can.
    pub fn damage(&self, key: &str, value: &[u8]) {
        self.state().world.set(key, value.to_vec());
    }

    /// How many transactions were not committed because something that they read had changed.
    pub fn conflicts(&self) -> u64 {
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

    /// A proposal of the admin who keeps the trust configuration.
    pub fn of_admin(&self, arguments: &[&str]) -> Invocation {
        self.invocation(&self.admin, arguments)
    }

    /// A proposal of management.
    pub fn of_client(&self, arguments: &[&str]) -> Invocation {
        self.invocation(&self.client, arguments)
    }

    /// Management's proposal to execute a call.
    pub fn call(&self, call: &Call, documents: &Documents) -> Invocation {
        let mut invocation = self.of_client(&["execute", &json(call)]);
        invocation.transient.insert(DOCUMENTS.to_owned(), serde_json::to_vec(documents).unwrap());
        invocation
    }

    /// The result that both endorsers agree on.
    ///
    /// # Errors
    /// Why they refuse it.
    pub async fn endorse(&self, invocation: &Invocation) -> Result<(Answer, Simulation), Failure> {
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
    /// its own. No position for what writes nothing.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn submit(
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
            let event: Announcement = serde_json::from_slice(event).unwrap();
            assert_eq!(event.contract_version, CONTRACT_VERSION);
            state.events.push((transaction.to_owned(), event));
            self.size.send_replace(position + 1);
        }
        Some(position)
    }

    /// What a function answers that writes nothing.
    pub async fn query<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let (answer, simulation) = self.endorse(&self.of_client(arguments)).await.unwrap();
        assert_eq!((simulation.writes, answer.event), (Vec::new(), None));
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Where the event that `transaction` announced is among all, from 0.
    pub fn position_of(&self, transaction: &str) -> Position {
        let state = self.state();
        let found = state.events.iter().position(|(writer, _)| writer == transaction);
        found.expect("what is recorded was announced") as Position
    }

    /// The events announced from `position` on.
    pub fn events(&self, position: Position) -> Vec<Announcement> {
        let from = usize::try_from(position).unwrap();
        self.state().events.iter().skip(from).map(|(_, event)| event.clone()).collect()
    }

    /// How many events there are, and when there are more.
    pub fn size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }
}

/// Canonical JSON, as an argument.
pub fn json<T: serde::Serialize>(value: &T) -> String {
    String::from_utf8(canonical(value)).unwrap()
}

/// A clock that tests set.
pub fn clock_at(time: Timestamp) -> (Clock, Arc<Mutex<Timestamp>>) {
    let now = Arc::new(Mutex::new(time));
    let hands = Arc::clone(&now);
    (Arc::new(move || *now.lock().unwrap()), hands)
}
