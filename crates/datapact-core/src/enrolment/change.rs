//! What a version changes, for the people who trust it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::Serialize;

use super::Enrolment;
use super::read::certificates;
use crate::endpoint::Endpoint;
use crate::id::Digest;
use crate::trust::subject;

/// One thing that a version trusts and its predecessor does not, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of change.
    pub change: ChangeKind,
    /// What has changed: a realm with its CA, an address, an identity.
    pub subject: String,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each name says it, and `Display` in words")]
pub enum ChangeKind {
    RealmAdded,
    RealmRemoved,
    CaAdded,
    CaRemoved,
    ManagementMoved,
    KeyServerAdded,
    KeyServerMoved,
    KeyServerRemoved,
    StorageServerAdded,
    StorageServerMoved,
    StorageServerRemoved,
    LogPolicyChanged,
    ChainChanged,
    AdministratorAdded,
    AdministratorRemoved,
    ThresholdChanged,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.change {
            ChangeKind::RealmAdded => "new realm",
            ChangeKind::RealmRemoved => "realm no longer trusted",
            ChangeKind::CaAdded => "new CA",
            ChangeKind::CaRemoved => "CA no longer trusted",
            ChangeKind::ManagementMoved => "management is at",
            ChangeKind::KeyServerAdded => "new key server",
            ChangeKind::KeyServerMoved => "key server is at",
            ChangeKind::KeyServerRemoved => "key server removed",
            ChangeKind::StorageServerAdded => "new storage server",
            ChangeKind::StorageServerMoved => "storage server is at",
            ChangeKind::StorageServerRemoved => "storage server removed",
            ChangeKind::LogPolicyChanged => "log policy",
            ChangeKind::ChainChanged => "ledger on the chain",
            ChangeKind::AdministratorAdded => "new administrator",
            ChangeKind::AdministratorRemoved => "no longer an administrator",
            ChangeKind::ThresholdChanged => "administrators who must sign",
        };
        write!(f, "{words}: {}", self.subject)
    }
}

impl Enrolment {
    /// What is trusted by this version and was not by `before`, and the other way round; all that
    /// is trusted, if there was none before.
    pub fn changes_since(&self, before: Option<&Self>) -> Vec<Change> {
        let mut found = Vec::new();
        let mut add = |change, subject: String| found.push(Change { change, subject });
        self.realm_changes(before, &mut add);
        for (own, former) in [
            (&self.management, before.map(|before| &before.management)),
            (&self.public, before.map(|before| &before.public)),
        ] {
            if former != Some(own) {
                add(ChangeKind::ManagementMoved, place(own));
            }
        }
        let none: &[Endpoint] = &[];
        servers(
            &self.key_servers,
            before.map_or(none, |before| &before.key_servers),
            [ChangeKind::KeyServerAdded, ChangeKind::KeyServerMoved, ChangeKind::KeyServerRemoved],
            &mut add,
        );
        servers(
            &self.storage_servers,
            before.map_or(none, |before| &before.storage_servers),
            [
                ChangeKind::StorageServerAdded,
                ChangeKind::StorageServerMoved,
                ChangeKind::StorageServerRemoved,
            ],
            &mut add,
        );
        self.ledger_changes(before, &mut add);
        self.administrator_changes(before, &mut add);
        found
    }

    fn realm_changes(&self, before: Option<&Self>, add: &mut dyn FnMut(ChangeKind, String)) {
        let nothing = BTreeMap::new();
        let former = before.map_or(&nothing, |before| &before.realms);
        for (realm, pem) in &self.realms {
            let (own, earlier) = (cas(realm, pem), former.get(realm).map(|pem| cas(realm, pem)));
            let is_new = earlier.is_none();
            let earlier = earlier.unwrap_or_default();
            for ca in own.difference(&earlier) {
                let kind = if is_new { ChangeKind::RealmAdded } else { ChangeKind::CaAdded };
                add(kind, format!("{realm}, {ca}"));
            }
            for ca in earlier.difference(&own) {
                add(ChangeKind::CaRemoved, format!("{realm}, {ca}"));
            }
        }
        for realm in former.keys().filter(|realm| !self.realms.contains_key(*realm)) {
            add(ChangeKind::RealmRemoved, realm.clone());
        }
    }

    fn ledger_changes(&self, before: Option<&Self>, add: &mut dyn FnMut(ChangeKind, String)) {
        let former = before.map(|before| &before.ledger);
        if former.is_none_or(|former| former.log_policy != self.ledger.log_policy) {
            let keys = self.ledger.log_policy.lines().filter(|line| !line.trim().is_empty());
            add(ChangeKind::LogPolicyChanged, keys.collect::<Vec<_>>().join("; "));
        }
        let chain_before = former.and_then(|former| former.chain.as_ref());
        if chain_before != self.ledger.chain.as_ref() {
            let chain = self.ledger.chain.as_ref();
            let subject = chain.map_or_else(|| "none".to_owned(), |chain| chain.contract.clone());
            add(ChangeKind::ChainChanged, subject);
        }
    }

    fn administrator_changes(
        &self,
        before: Option<&Self>,
        add: &mut dyn FnMut(ChangeKind, String),
    ) {
        let own = &self.administrators;
        let former = before.map(|before| &before.administrators);
        let earlier = former.map(|former| former.identities.as_slice()).unwrap_or_default();
        for identity in own.identities.iter().filter(|identity| !earlier.contains(identity)) {
            add(ChangeKind::AdministratorAdded, identity.to_string());
        }
        for identity in earlier.iter().filter(|identity| !own.identities.contains(identity)) {
            add(ChangeKind::AdministratorRemoved, identity.to_string());
        }
        if former.is_none_or(|former| former.threshold != own.threshold) {
            let subject = format!("{} of {}", own.threshold, own.identities.len());
            add(ChangeKind::ThresholdChanged, subject);
        }
    }
}

/// The CAs of a realm as people compare them: the name and the certificate's SHA-256.
fn cas(realm: &str, pem: &str) -> BTreeSet<String> {
    let named = |der: &CertificateDer<'_>| {
        let name = subject(der).unwrap_or_else(|_| "CA".to_owned());
        format!("{name}, SHA-256 {}", Digest::of(der))
    };
    certificates(realm, pem).unwrap_or_default().iter().map(named).collect()
}

fn place(endpoint: &Endpoint) -> String {
    match endpoint.connect {
        Some(address) => format!("{} ({address})", endpoint.url),
        None => endpoint.url.clone(),
    }
}

fn servers(
    own: &[Endpoint],
    former: &[Endpoint],
    [added, moved, removed]: [ChangeKind; 3],
    add: &mut dyn FnMut(ChangeKind, String),
) {
    for server in own {
        match former.iter().find(|earlier| earlier.url == server.url) {
            None => add(added, place(server)),
            Some(earlier) if earlier != server => add(moved, place(server)),
            Some(_) => {}
        }
    }
    for earlier in former.iter().filter(|earlier| own.iter().all(|own| own.url != earlier.url)) {
        add(removed, place(earlier));
    }
}
