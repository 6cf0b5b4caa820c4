//! The bundle of an audit: everything that it rests on, in one file that anybody can verify
//! offline, without an account and without believing its maker (`docs/spec/audit-bundle.md`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::contract::{Values, keys};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::DocumentError;
use datapact_core::trust::Trust;
use datapact_log::entry::{DISORDER_SECONDS_MAX, Entry};
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::Checkpoint;
use datapact_log::proof::Proof;
use serde::{Deserialize, Serialize};

use super::evidence::{Audit, Shown};
use super::log::Log;
use super::on_ledger::{OnLedger, policies_of};
use super::witnesses::{self, WitnessNote};
use super::{AuditedAccess, AuditedPolicy, AuditedWitness, Finding, NOT_PROVEN, WITNESS_SECONDS};
use crate::error::{ClientError, Result};
use crate::session::Session;

/// The longest bundle that is read, in bytes: some 50,000 accesses.
pub const BUNDLE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const FORMAT: &str = "datapact-audit-bundle-v1";

/// Evidence about one share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    format: String,
    share: ShareId,
    made: Timestamp,
    anchors: Anchors,
    /// Every entry of the share, in the log's order.
    entries: Vec<Proved>,
    /// What the witnesses showed at `made`.
    witnesses: Vec<WitnessNote>,
    shown: Shown,
}

/// An entry of the log and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proved {
    entry: String,
    /// C2SP tlog-proof, under a checkpoint that the log policy's witnesses cosigned.
    proof: String,
}

/// What verification starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// The ledger's id.
    pub ledger: String,
    /// Which log and witnesses are believed: C2SP tlog-policy.
    pub log_policy: String,
    /// Who certifies whom.
    pub realms: BTreeMap<String, Realm>,
}

/// The CAs and revocation lists of a realm, each DER in Base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Realm {
    ca: Vec<String>,
    crl: Vec<String>,
}

/// What the verification of a bundle found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedBundle {
    /// The share.
    pub share: ShareId,
    /// The contract's address.
    pub contract: String,
    /// When the bundle was made, as it says itself.
    pub made: Timestamp,
    /// Whether nothing is wrong.
    pub good: bool,
    /// The ledger's id.
    pub ledger: String,
    /// How many entries the log had.
    pub size: u64,
    /// The witnesses that cosigned it.
    pub cosigned_by: Vec<String>,
    /// What the log's witnesses showed when the bundle was made.
    pub witnesses: Vec<AuditedWitness>,
    /// The log's keys that were believed.
    pub log_keys: Vec<String>,
    /// The SHA-256 digests of the CA certificates that were believed, by realm.
    pub cas: BTreeMap<String, Vec<Digest>>,
    /// Every policy version, in order.
    pub policies: Vec<AuditedPolicy>,
    /// Every access, in order.
    pub accesses: Vec<AuditedAccess>,
    /// Whether the key server's releases were compared.
    pub releases_compared: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What this verification cannot prove.
    pub not_proven: Vec<&'static str>,
}

const NOT_COMPLETE: &str =
    "that the bundle holds every entry of the share: give an exported log with `--log` to compare";
const OWN_LOG_POLICY: &str = "that the log's key and witnesses are the right ones: they came with \
    the bundle; compare them, or give `--log-policy`";
const OWN_TRUST: &str = "that the CAs are the right ones: they came with the bundle; compare \
    their digests, or give `--trust`";

/// What the verifier trusts, from elsewhere than the bundle.
#[derive(Default)]
pub struct TrustedInputs<'a> {
    /// Which log and witnesses to believe.
    pub log_policy: Option<&'a LogPolicy>,
    /// Which CAs to believe.
    pub trust: Option<&'a Trust>,
    /// The entries of the share in a verified copy of the log, in order, and the copy's length.
    pub log: Option<(&'a [(u64, Entry)], u64)>,
    /// How old a witness's newest cosignature may have been when the bundle was made, in seconds;
    /// [`WITNESS_SECONDS`] if not given.
    pub witness_seconds: Option<u64>,
}

impl Bundle {
    pub(super) async fn make(
        session: &Session,
        share: ShareId,
        mut log: Log,
        shown: Shown,
        (made, mut witnesses): (Timestamp, Vec<WitnessNote>),
    ) -> Result<Self> {
        let cosigned =
            log.cosigned(session).await?.ok_or_else(|| ClientError::defect("the log is empty"))?;
        let mut entries = Vec::new();
        for position in log.share.positions() {
            let (entry, proof) = log.proof(session, position, &cosigned).await?;
            let entry = String::from_utf8(entry).map_err(ClientError::defect)?;
            entries.push(Proved { entry, proof: proof.to_string() });
        }
        let profile = session.profile();
        let anchors = Anchors {
            ledger: session.ledger().to_owned(),
            log_policy: profile.log_policy().to_string(),
            realms: realms_of(&profile.trust()),
        };
        let policy = profile.log_policy();
        witnesses.iter_mut().for_each(|note| note.prove(policy, log.copy(), cosigned.size));
        let format = FORMAT.to_owned();
        Ok(Self { format, share, made, anchors, entries, witnesses, shown })
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let not_one = |why: &dyn std::fmt::Display| {
            ClientError::usage(
                format!("this is not an audit bundle: {why}"),
                "`datapact share audit SHARE --export FILE` makes one",
            )
        };
        let bundle: Self = serde_json::from_slice(bytes).map_err(|e| not_one(&e))?;
        if bundle.format == FORMAT {
            Ok(bundle)
        } else {
            Err(not_one(&format_args!("its format is `{}`", bundle.format.escape_default())))
        }
    }

    /// The bundle as it is written to a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(ClientError::defect)
    }

    /// The share.
    pub fn share(&self) -> &ShareId {
        &self.share
    }

    /// The log policy that came with the bundle.
    pub fn log_policy(&self) -> Result<LogPolicy> {
        self.anchors.log_policy.parse().map_err(ClientError::untrusted)
    }

    /// Verifies everything: each entry's proof, each decision again by the contract, each
    /// signature, each commitment, and that all fit together.
    ///
    /// # Errors
    /// [`Untrusted`](datapact_api::problem::Kind::Untrusted) when an entry is not proved or the
    /// contract would not have decided so. All else that is wrong is among the findings.
    pub fn verify(&self, own: &TrustedInputs<'_>) -> Result<VerifiedBundle> {
        let own_policy = self.log_policy()?;
        let policy = own.log_policy.unwrap_or(&own_policy);
        let own_trust = self.anchors.trust()?;
        let trust = own.trust.unwrap_or(&own_trust);
        let (ledger, checkpoint) = self.replay(policy)?;
        if checkpoint.origin() != self.anchors.ledger {
            return Err(ClientError::untrusted(
                "the log that proves the entries is another ledger's",
            ));
        }
        if let Some((entries, length)) = own.log {
            self.compare(entries, length, checkpoint.size())?;
        }
        let shown = &self.shown;
        let document = &shown.policy;
        let signed: std::result::Result<(), DocumentError> =
            document.verify(trust, &self.anchors.ledger, document.document().time);
        signed?;
        let mut found =
            Audit::run(trust, &self.anchors.ledger, self.share, checkpoint.size(), &ledger, shown)?;
        let tree = (checkpoint.size(), checkpoint.root());
        let relation = |note: &WitnessNote, checkpoint: &_| note.relation(checkpoint, tree);
        let young = (self.made, own.witness_seconds.unwrap_or(WITNESS_SECONDS));
        let witnesses =
            witnesses::judge(policy, &self.witnesses, young, relation, &mut found.findings);
        let mut not_proven = Vec::new();
        not_proven.extend(witnesses::not_monitored(policy));
        not_proven.extend(own.log.is_none().then_some(NOT_COMPLETE));
        not_proven.extend(own.log_policy.is_none().then_some(OWN_LOG_POLICY));
        not_proven.extend(own.trust.is_none().then_some(OWN_TRUST));
        not_proven.extend(NOT_PROVEN);
        Ok(VerifiedBundle {
            share: self.share,
            contract: shown.receipt.contract.clone(),
            made: self.made,
            good: found.findings.is_empty(),
            ledger: self.anchors.ledger.clone(),
            size: checkpoint.size(),
            cosigned_by: checkpoint.witnesses().map(|witness| witness.name().to_owned()).collect(),
            witnesses,
            log_keys: policy.logs().iter().map(ToString::to_string).collect(),
            cas: trust
                .realms()
                .map(|realm| {
                    (realm.to_owned(), trust.cas(realm).map(|ca| Digest::of(ca)).collect())
                })
                .collect(),
            policies: policies_of(&ledger),
            accesses: found.accesses,
            releases_compared: shown.releases.is_some(),
            findings: found.findings,
            not_proven,
        })
    }

    /// What the entries say, each proved under one checkpoint and decided again by the contract: a
    /// share's decisions rest on nothing but the share's own entries.
    fn replay(&self, policy: &LogPolicy) -> Result<(OnLedger, Checkpoint)> {
        // One checkpoint for all: entries of two logs, or of two times, would fit together by
        // chance.
        let mut under: Option<Checkpoint> = None;
        let mut ledger = OnLedger::new(self.share);
        let mut values = Values::new();
        let (mut next, mut newest): (u64, u64) = (0, 0);
        for proved in &self.entries {
            let proof: Proof = proved.proof.parse().map_err(ClientError::untrusted)?;
            let position = proof.position();
            let wrong = |what: &dyn std::fmt::Display| {
                ClientError::untrusted(format!("entry {position} of the log: {what}"))
            };
            let checkpoint =
                proof.verify(policy, proved.entry.as_bytes()).map_err(|e| wrong(&e))?;
            if under.as_ref().is_some_and(|under| {
                (under.size(), under.root()) != (checkpoint.size(), checkpoint.root())
            }) {
                return Err(wrong(
                    &"it is proved under another checkpoint than the entries before it",
                ));
            }
            under = Some(checkpoint);
            if position < next {
                return Err(wrong(&"it is out of order"));
            }
            let entry = Entry::parse(proved.entry.as_bytes()).map_err(|e| wrong(&e))?;
            if *entry.call.share() != self.share {
                return Err(wrong(&"it is of another share"));
            }
            let touched = keys(&entry.call);
            let touched = touched
                .into_iter()
                .filter_map(|key| Some((key.clone(), values.get(&key)?.clone())));
            let outcome = entry
                .replay(newest.saturating_sub(DISORDER_SECONDS_MAX), &touched.collect())
                .map_err(|e| wrong(&e))?;
            values.extend(outcome.writes);
            (next, newest) = (position + 1, newest.max(entry.time));
            ledger.add(position, &entry);
        }
        under.map(|checkpoint| (ledger, checkpoint)).ok_or_else(|| {
            ClientError::untrusted("the bundle holds no entry, so nothing of it is on the ledger")
        })
    }

    /// The bundle holds just the entries of the share that the copy of the log holds.
    fn compare(&self, entries: &[(u64, Entry)], length: u64, size: u64) -> Result<()> {
        if length < size {
            return Err(ClientError::usage(
                format!("the copy of the log has {length} entries, and the bundle is about {size}"),
                "export the log again",
            ));
        }
        let known: BTreeMap<u64, &Entry> = entries
            .iter()
            .filter(|(position, _)| *position < size)
            .map(|(at, entry)| (*at, entry))
            .collect();
        let mut left = known.clone();
        for proved in &self.entries {
            let proof: Proof = proved.proof.parse().map_err(ClientError::untrusted)?;
            let position = proof.position();
            let same = left.remove(&position).and_then(Entry::to_bytes);
            if same.as_deref() != Some(proved.entry.as_bytes()) {
                return Err(ClientError::untrusted(format!(
                    "the copy of the log holds another entry {position} than the bundle: \
                     the log has forked"
                )));
            }
        }
        match left.into_keys().next() {
            None => Ok(()),
            Some(position) => Err(ClientError::untrusted(format!(
                "the bundle is not complete: it lacks entry {position} of the log, \
                 which is the share's"
            ))),
        }
    }
}

impl Anchors {
    fn trust(&self) -> Result<Trust> {
        let decode = |texts: &[String]| -> Result<Vec<Vec<u8>>> {
            let decoded = texts.iter().map(|text| STANDARD.decode(text));
            decoded.collect::<std::result::Result<_, _>>().map_err(ClientError::untrusted)
        };
        let mut trust = Trust::default();
        for (name, realm) in &self.realms {
            let cas = decode(&realm.ca)?.into_iter().map(Into::into).collect();
            trust.add(name, cas, decode(&realm.crl)?)?;
        }
        Ok(trust)
    }
}

fn realms_of(trust: &Trust) -> BTreeMap<String, Realm> {
    let realm = |name: &str| Realm {
        ca: trust.cas(name).map(|ca| STANDARD.encode(ca)).collect(),
        crl: trust.crls(name).map(|crl| STANDARD.encode(crl)).collect(),
    };
    trust.realms().map(|name| (name.to_owned(), realm(name))).collect()
}
