//! The functions of the chaincode, one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use datapact_core::contract::{
    CLOCK_SKEW_SECONDS_MAX, CONTRACT_VERSION, Call, CheckError, Documents, Refusal, Value, Values,
    access_key, check, counter_key, decide, keys, share_key, usage_key,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::trust::Trust;
use datapact_log::entry::{ENTRY_BYTES_MAX, Entry};
use serde::de::DeserializeOwned;

use super::encoding::{
    Announcement, Changed, DOCUMENTS, Failure, Granted, Info, SET_UP_KEY, SetUp, StateValue,
    TRUST_BYTES_MAX, TRUST_KEY, TrustConfiguration, canonical, check_name,
};
use super::{ARGUMENT_BYTES_MAX, Answer, Contract, Invocation, State, StateError, arguments_wrong};

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::State { detail: error.to_string() }
    }
}

impl Contract {
    /// Checks the documents, decides the call and writes what it changes.
    pub(super) async fn execute(
        &self,
        invocation: &Invocation,
        call: &str,
        state: &mut dyn State,
    ) -> Result<Answer, Failure> {
        let call: Call = argument("the call", call)?;
        let documents = documents(invocation)?;
        let time = invocation.time;
        let set_up = set_up_of(state).await?.ok_or(Failure::NotSetUp)?.record;
        direct(invocation, &set_up)?;
        if invocation.caller.msp() != set_up.submitter {
            return Err(Failure::Caller {
                detail: format!("it must be a member of `{}`", set_up.submitter),
            });
        }
        let clock = (self.clock)();
        if time.abs_diff(clock) > CLOCK_SKEW_SECONDS_MAX {
            return Err(Failure::Time { time, clock });
        }
        let trust = self.trust_of(state).await?.ok_or(Failure::NotSetUp)?;
        // Everything is read before anything is decided, so that the read set, and what conflicts
        // with what, does not depend on the outcome.
        let StoredValues { values, writers } = read_values(&call, state).await?;
        let decided = decide(&call, &values, time);
        let is_repeat = decided.as_ref().is_ok_and(|outcome| outcome.writes.is_empty());
        match check(&call, &documents, &trust, &set_up.ledger, time) {
            // A repeat after a lost answer or a crash may come late.
            Err(CheckError::Stale { .. }) if is_repeat => {}
            Err(error) => return Err(Failure::Documents { check: check_name(&error).to_owned() }),
            Ok(()) => {}
        }
        let outcome = decided.map_err(|refusal| Failure::Refused { refusal })?;
        if is_repeat {
            let recorded = record_key(&call);
            let writer =
                writers.get(&recorded).ok_or_else(|| damaged(&recorded, "it repeats nothing"))?;
            return Ok(answer(&Granted { receipt: outcome.receipt, transaction: writer.clone() }));
        }
        if Entry::new(call, time).to_bytes().is_none() {
            let detail = format!("its entry would be longer than {ENTRY_BYTES_MAX} bytes");
            return Err(Failure::Refused { refusal: Refusal::Malformed { detail } });
        }
        write_values(outcome.writes, &invocation.transaction, state).await?;
        let receipt = outcome.receipt;
        let event = canonical(&Announcement {
            contract_version: CONTRACT_VERSION,
            receipt: receipt.clone(),
            time,
        });
        let granted = Granted { receipt, transaction: invocation.transaction.clone() };
        Ok(Answer { event: Some(event), ..answer(&granted) })
    }

    /// Sets the ledger up as this endorser's organisation has agreed.
    pub(super) async fn set_up(
        &self,
        invocation: &Invocation,
        set_up: &str,
        state: &mut dyn State,
    ) -> Result<Answer, Failure> {
        let set_up: SetUp = argument("the set-up", set_up)?;
        let refused = |detail: &str| Failure::SetUp { detail: detail.to_owned() };
        set_up.validate().map_err(|detail| Failure::SetUp { detail })?;
        direct(invocation, &set_up)?;
        administrator(invocation, &set_up)?;
        match &self.agreed {
            Some(agreed) if *agreed == set_up => {}
            Some(_) => {
                return Err(refused("the endorser's organisation has agreed to another one"));
            }
            None => {
                return Err(refused(
                    "the endorser's organisation has started its chaincode without one",
                ));
            }
        }
        if let Some(stored) = set_up_of(state).await? {
            if stored.record == set_up {
                return Ok(answer(&Changed { digest: None, transaction: stored.transaction }));
            }
            if stored.record.ledger != set_up.ledger {
                return Err(refused("the ledger's id is fixed, and it is another one"));
            }
        }
        write(SET_UP_KEY, set_up, &invocation.transaction, state).await?;
        Ok(answer(&Changed { digest: None, transaction: invocation.transaction.clone() }))
    }

    /// Replaces the trust configuration with the digest `previous`.
    pub(super) async fn set_trust(
        &self,
        invocation: &Invocation,
        trust: &str,
        previous: &str,
        state: &mut dyn State,
    ) -> Result<Answer, Failure> {
        let configuration: TrustConfiguration = argument("the trust configuration", trust)?;
        let previous: Option<Digest> = match previous {
            "" => None,
            digest => Some(id("the digest", digest)?),
        };
        let set_up = set_up_of(state).await?.ok_or(Failure::NotSetUp)?.record;
        direct(invocation, &set_up)?;
        administrator(invocation, &set_up)?;
        let stored = read::<TrustConfiguration>(TRUST_KEY, state).await?;
        let in_force = stored.as_ref().map(|stored| stored.record.digest());
        let digest = configuration.digest();
        if let Some(stored) = stored.filter(|_| in_force == Some(digest)) {
            return Ok(answer(&Changed { digest: Some(digest), transaction: stored.transaction }));
        }
        if in_force != previous {
            return Err(Failure::TrustChanged { digest: in_force });
        }
        if configuration.to_bytes().len() > TRUST_BYTES_MAX {
            return Err(arguments_wrong("the trust configuration is too long"));
        }
        configuration
            .to_trust()
            .map_err(|error| Failure::Arguments { detail: error.to_string() })?;
        let transaction = invocation.transaction.clone();
        let value = StateValue {
            digest: Some(digest),
            record: configuration,
            transaction: transaction.clone(),
        };
        state.put(TRUST_KEY, canonical(&value)).await?;
        Ok(answer(&Changed { digest: Some(digest), transaction }))
    }

    /// The trust configuration in force, made ready once for all transactions that read the very
    /// same.
    async fn trust_of(&self, state: &mut dyn State) -> Result<Option<Arc<Trust>>, Failure> {
        let Some(bytes) = state.get(TRUST_KEY).await? else { return Ok(None) };
        let digest = Digest::of(&bytes);
        if let Some(trust) = self.remembered(&digest) {
            return Ok(Some(trust));
        }
        let value: StateValue<TrustConfiguration> = parse(TRUST_KEY, &bytes)?;
        let trust =
            value.record.to_trust().map_err(|error| damaged(TRUST_KEY, &error.to_string()))?;
        let trust = Arc::new(trust);
        self.remember(digest, &trust);
        Ok(Some(trust))
    }
}

pub(super) async fn share(share: &str, state: &mut dyn State) -> Result<Answer, Failure> {
    stored(&share_key(&id("the share id", share)?), state).await
}

pub(super) async fn counter(
    share: &str,
    consumer: &str,
    state: &mut dyn State,
) -> Result<Answer, Failure> {
    let share: ShareId = id("the share id", share)?;
    let consumer: Commitment = id("the consumer's commitment", consumer)?;
    stored(&counter_key(&share, &consumer), state).await
}

pub(super) async fn access(request: &str, state: &mut dyn State) -> Result<Answer, Failure> {
    stored(&access_key(&id("the request id", request)?), state).await
}

pub(super) async fn usage(report: &str, state: &mut dyn State) -> Result<Answer, Failure> {
    stored(&usage_key(&id("the report id", report)?), state).await
}

/// The value under `key` as it is stored, or `null`.
pub(super) async fn stored(key: &str, state: &mut dyn State) -> Result<Answer, Failure> {
    let value = state.get(key).await?;
    Ok(Answer { payload: value.map_or_else(|| b"null".to_vec(), Vec::from), event: None })
}

pub(super) async fn info(state: &mut dyn State) -> Result<Answer, Failure> {
    let set_up = set_up_of(state).await?.map(|value| value.record);
    let trust =
        read::<TrustConfiguration>(TRUST_KEY, state).await?.map(|value| value.record.digest());
    Ok(answer(&Info { contract_version: CONTRACT_VERSION, set_up, trust }))
}

/// What the state holds under a call's keys.
pub(super) struct StoredValues {
    pub(super) values: Values,
    /// Which transaction wrote each.
    writers: BTreeMap<String, String>,
}

/// Reads each of the call's keys, once and in their order.
pub(super) async fn read_values(
    call: &Call,
    state: &mut dyn State,
) -> Result<StoredValues, Failure> {
    let mut stored = StoredValues { values: Values::new(), writers: BTreeMap::new() };
    for key in keys(call) {
        if let Some(value) = read::<Value>(&key, state).await? {
            stored.writers.insert(key.clone(), value.transaction);
            stored.values.insert(key, value.record);
        }
    }
    Ok(stored)
}

/// Writes, in the order of the keys.
pub(super) async fn write_values(
    values: Values,
    transaction: &str,
    state: &mut dyn State,
) -> Result<(), Failure> {
    for (key, record) in values {
        write(&key, record, transaction, state).await?;
    }
    Ok(())
}

/// The key under which a call is recorded.
fn record_key(call: &Call) -> String {
    match call {
        Call::SetPolicy(set) => share_key(&set.share),
        Call::RequestAccess(request) => access_key(&request.request),
        Call::RecordUsage(usage) => usage_key(&usage.report),
    }
}

/// Refuses what comes through another chaincode: its event would replace this one's.
fn direct(invocation: &Invocation, set_up: &SetUp) -> Result<(), Failure> {
    if invocation.chaincode == set_up.chaincode {
        return Ok(());
    }
    Err(Failure::Caller {
        detail: format!("the client must call the chaincode `{}` itself", set_up.chaincode),
    })
}

fn administrator(invocation: &Invocation, set_up: &SetUp) -> Result<(), Failure> {
    if set_up.administrators.contains(invocation.caller.msp()) && invocation.caller.is_admin() {
        return Ok(());
    }
    let msps: Vec<&str> = set_up.administrators.iter().map(String::as_str).collect();
    Err(Failure::Caller { detail: format!("it must be an admin of `{}`", msps.join("` or `")) })
}

fn documents(invocation: &Invocation) -> Result<Documents, Failure> {
    let bytes =
        invocation.transient.get(DOCUMENTS).filter(|bytes| bytes.len() <= ARGUMENT_BYTES_MAX);
    let bytes = bytes.ok_or_else(|| {
        arguments_wrong("the transient data have no `documents`, or too long ones")
    })?;
    // What serde says about it could quote a document, which names people.
    serde_json::from_slice(bytes).map_err(|_| arguments_wrong("the documents cannot be read"))
}

/// An argument in JSON.
fn argument<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| arguments_wrong(&format!("{what} cannot be read: {error}")))
}

/// An argument in hexadecimal.
fn id<T: std::str::FromStr<Err: std::fmt::Display>>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| arguments_wrong(&format!("{what}: {error}")))
}

async fn set_up_of(state: &mut dyn State) -> Result<Option<StateValue<SetUp>>, Failure> {
    read(SET_UP_KEY, state).await
}

async fn read<T: DeserializeOwned>(
    key: &str,
    state: &mut dyn State,
) -> Result<Option<StateValue<T>>, Failure> {
    state.get(key).await?.map(|bytes| parse(key, &bytes)).transpose()
}

fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<StateValue<T>, Failure> {
    serde_json::from_slice(bytes).map_err(|error| damaged(key, &error.to_string()))
}

fn damaged(key: &str, why: &str) -> Failure {
    Failure::State { detail: format!("the value under `{key}` is damaged: {why}") }
}

async fn write<T: serde::Serialize>(
    key: &str,
    record: T,
    transaction: &str,
    state: &mut dyn State,
) -> Result<(), Failure> {
    let value = StateValue { digest: None, record, transaction: transaction.to_owned() };
    Ok(state.put(key, canonical(&value)).await?)
}

fn answer<T: serde::Serialize>(answer: &T) -> Answer {
    Answer { payload: canonical(answer), event: None }
}
