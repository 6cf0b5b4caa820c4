//! One peer's stream: the greeting, then transactions, many at a time, told apart by channel and
//! id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::transaction::{self, Ledger};
use crate::contract::Contract;
use crate::proto::peer::ChaincodeId;
use crate::proto::shim::{ChaincodeMessage, MessageType};

/// The most messages that wait to be sent to a peer.
pub(super) const OUTGOING_MAX: usize = 1024;
/// The most transactions in flight on a stream; a peer lets fewer in by default
/// (`limits.concurrency`).
pub(super) const IN_FLIGHT_MAX: usize = 4096;
/// The longest channel name and transaction id that are answered, in bytes.
const ID_BYTES_MAX: usize = 256;
/// How long a peer may take to greet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a stream ended other than by the peer's leave or ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the peer broke the connection: {0}")]
    Transport(#[from] Status),
    #[error(
        "the peer did not accept the package id `{0}`: it is another chaincode's, or no longer the \
         committed one's"
    )]
    NotRegistered(String),
    #[error("the peer sent what has no place here: {0}")]
    Protocol(&'static str),
}

/// A transaction's channel and id.
pub(super) type Key = (String, String);
/// Where the peer's answers to each transaction in flight go.
type Routes = Arc<Mutex<HashMap<Key, mpsc::Sender<ChaincodeMessage>>>>;
pub(super) type Outgoing = mpsc::Sender<Result<ChaincodeMessage, Status>>;

pub(super) struct PeerStream {
    contract: Arc<Contract>,
    out: Outgoing,
    routes: Routes,
    /// Ended with the stream.
    running: JoinSet<()>,
}

impl PeerStream {
    pub(super) fn new(contract: Arc<Contract>, out: Outgoing) -> Self {
        Self { contract, out, routes: Routes::default(), running: JoinSet::new() }
    }

    /// Greets the peer as the chaincode `package` and does what it asks until one side ends the
    /// stream.
    pub(super) async fn run(
        mut self,
        package: &str,
        mut incoming: impl Stream<Item = Result<ChaincodeMessage, Status>> + Unpin,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StreamError> {
        tokio::select! {
            ended = self.converse(package, &mut incoming) => ended,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        }
    }

    async fn converse(
        &mut self,
        package: &str,
        incoming: &mut (impl Stream<Item = Result<ChaincodeMessage, Status>> + Unpin),
    ) -> Result<(), StreamError> {
        match tokio::time::timeout(GREETING_TIMEOUT, self.greet(package, incoming)).await {
            Ok(greeted) => greeted?,
            Err(_) => return Err(StreamError::Protocol("no greeting")),
        }
        loop {
            tokio::select! {
                message = incoming.next() => match message {
                    Some(message) => self.take(message?)?,
                    None => return Ok(()),
                },
                Some(_) = self.running.join_next() => {}
            }
        }
    }

    async fn greet(
        &mut self,
        package: &str,
        incoming: &mut (impl Stream<Item = Result<ChaincodeMessage, Status>> + Unpin),
    ) -> Result<(), StreamError> {
        let id = ChaincodeId { name: package.to_owned(), ..ChaincodeId::default() };
        let register = message(MessageType::Register, id.encode_to_vec().into());
        if self.out.send(Ok(register)).await.is_err() {
            return Ok(());
        }
        for expected in [MessageType::Registered, MessageType::Ready] {
            loop {
                let Some(message) = incoming.next().await else {
                    return Err(StreamError::NotRegistered(package.to_owned()));
                };
                let message = message?;
                match message.r#type() {
                    found if found == expected => break,
                    MessageType::Keepalive => self.echo(message),
                    MessageType::Error => {
                        return Err(StreamError::NotRegistered(package.to_owned()));
                    }
                    _ => return Err(StreamError::Protocol("a message before the greeting's end")),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, message: ChaincodeMessage) -> Result<(), StreamError> {
        match message.r#type() {
            MessageType::Transaction | MessageType::Init => self.begin(message),
            MessageType::Response | MessageType::Error => {
                self.answered(message);
                Ok(())
            }
            MessageType::Keepalive => {
                self.echo(message);
                Ok(())
            }
            // A repeated READY is harmless; the rest is nothing that a peer sends.
            MessageType::Ready => Ok(()),
            _ => Err(StreamError::Protocol("a message of an unknown kind")),
        }
    }

    /// Sends a probe back, unless so much waits to be sent that the peer sees life anyway.
    fn echo(&self, message: ChaincodeMessage) {
        let _ = self.out.try_send(Ok(message));
    }

    fn begin(&mut self, message: ChaincodeMessage) -> Result<(), StreamError> {
        if message.txid.len() > ID_BYTES_MAX || message.channel_id.len() > ID_BYTES_MAX {
            return Err(StreamError::Protocol("a transaction with too long an id"));
        }
        let key = (message.channel_id.clone(), message.txid.clone());
        let (route, answers) = mpsc::channel(1);
        {
            let mut routes = lock(&self.routes);
            if routes.contains_key(&key) {
                return Err(StreamError::Protocol("a transaction that is in flight already"));
            }
            if routes.len() >= IN_FLIGHT_MAX {
                let _ = self
                    .out
                    .try_send(Ok(transaction::failed(&key, "too many transactions are in flight")));
                return Ok(());
            }
            routes.insert(key.clone(), route);
        }
        let ledger = Ledger::new(key.clone(), self.out.clone(), answers);
        let route = Route { routes: Arc::clone(&self.routes), key };
        let contract = Arc::clone(&self.contract);
        self.running.spawn(async move {
            let completed = transaction::run(&contract, message, ledger).await;
            // Before the peer hears of its end: from then on it may use the id again.
            let out = completed.0;
            drop(route);
            let _ = out.send(Ok(completed.1)).await;
        });
        Ok(())
    }

    fn answered(&self, message: ChaincodeMessage) {
        let key = (message.channel_id.clone(), message.txid.clone());
        // One that is not waited for: the transaction has given up.
        if let Some(route) = lock(&self.routes).get(&key) {
            let _ = route.try_send(message);
        }
    }
}

/// Forgets a transaction, however it ends.
struct Route {
    routes: Routes,
    key: Key,
}

impl Drop for Route {
    fn drop(&mut self) {
        lock(&self.routes).remove(&self.key);
    }
}

fn lock(routes: &Routes) -> MutexGuard<'_, HashMap<Key, mpsc::Sender<ChaincodeMessage>>> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message of no transaction.
fn message(kind: MessageType, payload: Bytes) -> ChaincodeMessage {
    ChaincodeMessage { r#type: kind.into(), payload, ..ChaincodeMessage::default() }
}
