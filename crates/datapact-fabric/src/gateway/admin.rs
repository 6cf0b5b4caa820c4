//! What administrators do on a channel: agreeing on whose ledger it is, and on whose signatures
//! count.

use std::sync::{Arc, Mutex, PoisonError};

use datapact_core::trust::Trust;
use datapact_ledger::LedgerError;
use datapact_ledger::port::TrustSource;
use serde::de::DeserializeOwned;

use super::client::Gateway;
use super::config::{FabricConfig, IdentityConfig};
use super::identity::FileIdentity;
use super::proposal::Invocation;
use datapact_chaincode::contract::SetUp;
use datapact_chaincode::contract::encoding::{
    Changed, Info, StateValue, TrustConfiguration, canonical,
};

/// How often a trust configuration is set again when another one was set meanwhile.
const TRIES: usize = 4;

/// What the chaincode says of itself.
///
/// # Errors
/// What the peer says, or that none can be reached.
pub async fn info(gateway: &Gateway) -> Result<Info, LedgerError> {
    parse(gateway, "info", &gateway.evaluate("info", &[]).await?)
}

/// The channel's trust configuration.
///
/// # Errors
/// What the peer says, or that none can be reached.
pub async fn trust(
    gateway: &Gateway,
) -> Result<Option<StateValue<TrustConfiguration>>, LedgerError> {
    parse(gateway, "trust", &gateway.evaluate("trust", &[]).await?)
}

/// Agrees, in the name of the admin `who`, on whose ledger it is. Doing so again is not an error.
///
/// # Errors
/// What an organisation's chaincode, a peer or an orderer says.
pub async fn set_up(
    gateway: &Gateway,
    who: &IdentityConfig,
    set_up: &SetUp,
) -> Result<(), LedgerError> {
    let invocation = Invocation::new("set-up", [canonical(set_up)]);
    change(gateway, &FileIdentity::new(who.clone()), invocation).await.map(drop)
}

/// Makes `trust` the channel's trust configuration, in the name of the admin `who`; false when it
/// was already. What others set meanwhile is replaced, too.
///
/// # Errors
/// What an organisation's chaincode, a peer or an orderer says.
pub async fn set_trust(
    gateway: &Gateway,
    who: &IdentityConfig,
    trust: &Trust,
) -> Result<bool, LedgerError> {
    replace(gateway, &FileIdentity::new(who.clone()), trust).await
}

async fn replace(
    gateway: &Gateway,
    who: &FileIdentity,
    trust: &Trust,
) -> Result<bool, LedgerError> {
    let configuration = TrustConfiguration::of(trust);
    let mut last = None;
    for _ in 0..TRIES {
        let there = info(gateway).await?.trust;
        if there == Some(configuration.digest()) {
            return Ok(false);
        }
        let replaced = there.map(|digest| digest.to_string()).unwrap_or_default();
        let invocation =
            Invocation::new("set-trust", [configuration.to_bytes(), replaced.into_bytes()]);
        match change(gateway, who, invocation).await {
            Ok(_) => return Ok(true),
            // Perhaps the one that is there has changed.
            Err(error @ LedgerError::Unavailable(_)) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        LedgerError::Unavailable("the trust configuration changes too fast".to_owned())
    }))
}

async fn change(
    gateway: &Gateway,
    who: &FileIdentity,
    invocation: Invocation,
) -> Result<Changed, LedgerError> {
    let (answer, _) = gateway.submit(Some(who), invocation).await?;
    parse(gateway, "a change", &answer.payload)
}

pub(crate) fn parse<T: DeserializeOwned>(
    gateway: &Gateway,
    what: &str,
    bytes: &[u8],
) -> Result<T, LedgerError> {
    serde_json::from_slice(bytes).map_err(|e| {
        let FabricConfig { channel, chaincode, .. } = gateway.config();
        LedgerError::Misconfigured(format!(
            "`{}` gives an unexpected answer to `{what}` of the chaincode `{chaincode}` on \
             `{channel}`: it is another chaincode, or another version of it ({e})",
            gateway.preferred()
        ))
    })
}

/// Keeps the channel's trust configuration what this server's is, where the server may replace it.
pub(crate) struct TrustKeeper {
    who: Option<FileIdentity>,
    source: Arc<dyn TrustSource>,
    /// The one that was last set, or found to be set.
    set: Mutex<Option<Arc<Trust>>>,
    setting: tokio::sync::Mutex<()>,
}

impl TrustKeeper {
    pub(crate) fn new(who: Option<FileIdentity>, source: Arc<dyn TrustSource>) -> Self {
        Self { who, source, set: Mutex::default(), setting: tokio::sync::Mutex::default() }
    }

    /// Whether it is this server that replaces it.
    pub(crate) fn keeps(&self) -> bool {
        self.who.is_some()
    }

    fn is_set(&self, trust: &Arc<Trust>) -> bool {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.as_ref().is_some_and(|set| Arc::ptr_eq(set, trust))
    }

    /// Replaces the channel's, if this server's has changed since the last time.
    pub(crate) async fn keep(&self, gateway: &Gateway) -> Result<(), LedgerError> {
        let Some(who) = &self.who else { return Ok(()) };
        let trust = self.source.trust();
        if self.is_set(&trust) {
            return Ok(());
        }
        // One at a time: a second call would set the same once more, in a block of its own.
        let _setting = self.setting.lock().await;
        if self.is_set(&trust) {
            return Ok(());
        }
        if replace(gateway, who, &trust).await? {
            tracing::info!("the channel's trust configuration is replaced by this server's");
        }
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Some(trust);
        Ok(())
    }
}
