//! The contract's host: `datapact-core`'s rules over Fabric's world state, as `docs/spec/fabric.md`
//! says.
//!
//! [`Contract::invoke`] is all of it: what it reads and writes goes through [`State`], so that
//! tests run it on a map and the shim on a peer. It holds nothing between calls but the
//! trust configuration that it read last.

mod caller;
pub mod encoding;
mod functions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datapact_core::id::{Digest, Timestamp};
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;

pub use caller::Caller;
pub use encoding::{Failure, SetUp};

/// The most arguments of a function, with its name.
pub const ARGUMENTS_MAX: usize = 4;
/// The longest argument, and the longest documents, in bytes.
pub const ARGUMENT_BYTES_MAX: usize = 1 << 20;

/// The peer could not do what the contract asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

/// The world state as one transaction sees it: its own writes are not read back.
#[async_trait]
pub trait State: Send {
    /// The value under `key`; none when there is none.
    async fn get(&mut self, key: &str) -> Result<Option<Bytes>, StateError>;

    /// Writes when the transaction is committed.
    async fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), StateError>;
}

/// What a transaction asks for.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The transaction's id.
    pub transaction: String,
    /// The chaincode that the client called: this one, or one that calls this one.
    pub chaincode: String,
    /// The proposal's time.
    pub time: Timestamp,
    /// Who signed the proposal; the peer has verified it.
    pub caller: Caller,
    /// The function's name and its arguments.
    pub arguments: Vec<Bytes>,
    /// What no block holds.
    pub transient: BTreeMap<String, Vec<u8>>,
}

/// What a transaction is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response's payload.
    pub payload: Vec<u8>,
    /// The payload of the event, when something was recorded.
    pub event: Option<Vec<u8>>,
}

/// The contract on one endorser.
pub struct Contract {
    /// What this organisation has agreed to; without it, its endorser endorses no set-up.
    agreed: Option<SetUp>,
    clock: Clock,
    /// The trust configuration last read, by the digest of its value in the state.
    trust: Mutex<Option<(Digest, Arc<Trust>)>>,
}

impl Contract {
    /// The contract of an organisation that has agreed to `agreed`.
    pub fn new(agreed: Option<SetUp>, clock: Clock) -> Self {
        Self { agreed, clock, trust: Mutex::default() }
    }

    /// Does what `invocation` asks. Given the same invocation and state, every endorser reads the
    /// same keys in the same order, and writes, answers and announces the same bytes.
    ///
    /// # Errors
    /// Why it is refused. Nothing has been written then.
    pub async fn invoke(
        &self,
        invocation: &Invocation,
        state: &mut dyn State,
    ) -> Result<Answer, Failure> {
        let arguments = read_arguments(&invocation.arguments)?;
        match arguments.as_slice() {
            ["execute", call] => self.execute(invocation, call, state).await,
            ["share", share] => functions::share(share, state).await,
            ["counter", share, consumer] => functions::counter(share, consumer, state).await,
            ["access", request] => functions::access(request, state).await,
            ["usage", report] => functions::usage(report, state).await,
            ["trust"] => functions::stored(encoding::TRUST_KEY, state).await,
            ["info"] => functions::info(state).await,
            ["set-up", set_up] => self.set_up(invocation, set_up, state).await,
            ["set-trust", trust] => self.set_trust(invocation, trust, "", state).await,
            ["set-trust", trust, previous] => {
                self.set_trust(invocation, trust, previous, state).await
            }
            _ => Err(arguments_wrong(
                "no function has this name and so many arguments; see `docs/spec/fabric.md`",
            )),
        }
    }

    fn remembered(&self, digest: &Digest) -> Option<Arc<Trust>> {
        let last = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(of, _)| of == digest).map(|(_, trust)| Arc::clone(trust))
    }

    fn remember(&self, digest: Digest, trust: &Arc<Trust>) {
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((digest, Arc::clone(trust)));
    }
}

fn arguments_wrong(detail: &str) -> Failure {
    Failure::Arguments { detail: detail.to_owned() }
}

fn read_arguments(arguments: &[Bytes]) -> Result<Vec<&str>, Failure> {
    if arguments.len() > ARGUMENTS_MAX || arguments.iter().any(|it| it.len() > ARGUMENT_BYTES_MAX) {
        return Err(arguments_wrong("there are too many arguments, or one is too long"));
    }
    let text =
        |it| std::str::from_utf8(it).map_err(|_| arguments_wrong("an argument is not UTF-8 text"));
    arguments.iter().map(|it| text(it)).collect()
}
