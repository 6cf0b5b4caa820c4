//! Every reader of bytes that another user made.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::{ReleaseKey, StoreKey};
use datapact_api::management::{
    CatalogQuery, InvitationFile, NewInvitation, NewSubscription, RecordQuery,
};
use datapact_api::witness::WitnessUrl;
use datapact_client::audit::{Bundle, TrustedInputs};
use datapact_core::contract::{Call, Receipt, Values, decide, keys};
use datapact_core::document::{
    AccessRequest, KeyRelease, KeyRequest, PackageMetadata, Statement, UsageReport,
};
use datapact_core::enrolment::{Enrolment, History, Invitation, Version};
use datapact_core::id::{Commitment, Digest, KeyId, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::package::{DataKey, Expected, PackageReader};
use datapact_core::policy::SharingPolicy;
use datapact_core::release::SealedKey;
use datapact_core::terms::{Country, Industry, Name, Terms};
use datapact_core::token::Jwks;
use datapact_core::trust::{Trust, public_key, server_name, subject};
use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::proposal::scan;
use datapact_desensitize::rules::{Rules, Transform};
use datapact_desensitize::{Plan, PseudonymKey, run};
use datapact_evm::abi;
use datapact_evm::config::EvmConfig;
use datapact_evm::rpc::{Block, Log, TransactionReceipt};
use datapact_log::audit;
use datapact_log::entry::Entry;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, SigningKey, VerifyingKey};
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::source::{LogSource, SourceError};
use datapact_log::witness::AddCheckpoint;
use datapact_server::config::{
    KeyServerConfig, ManagementConfig, StorageServerConfig, WitnessConfig,
};
use datapact_server::erasures::journal;
use datapact_server::security_log;

/// Reads any bytes.
pub(crate) type Target = fn(&[u8]);

/// Name and reader. A corpus for a name is under `fuzz/corpus/NAME`.
pub(crate) const ALL: &[(&str, Target)] = &[
    ("document", document),
    ("enrolment", enrolment),
    ("text", text),
    ("certificate", certificate),
    ("package", package),
    ("contract", contract),
    ("log", log),
    ("log-audit", log_audit),
    ("witness", witness),
    ("api", api),
    ("audit-bundle", audit_bundle),
    ("config", config),
    ("erasures", erasures),
    ("security-log", security_log),
    ("chain", chain),
    ("rules", rules),
    ("csv", |bytes| table(bytes, "csv")),
    ("json-lines", |bytes| table(bytes, "jsonl")),
    ("parquet", parquet),
];

fn document(bytes: &[u8]) {
    fn read<B: datapact_core::document::Body>(text: &str) {
        if let Ok(read) = Signed::<B>::parse(text) {
            assert_eq!(read.as_str(), text);
            let _ = read.verify(&Trust::default(), "m.example/ledger", 0);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    read::<SharingPolicy>(text);
    read::<AccessRequest>(text);
    read::<KeyRequest>(text);
    read::<KeyRelease>(text);
    read::<PackageMetadata>(text);
    read::<UsageReport>(text);
    read::<Statement>(text);
    read::<Enrolment>(text);
    read::<Invitation>(text);
    assert!(Jwks::default().verify(text, "m", "k", 0, 0).is_err());
}

/// The versions of an enrolment, and bodies that no one has signed.
fn enrolment(bytes: &[u8]) {
    if let Ok(versions) = serde_json::from_slice::<Vec<Version>>(bytes)
        && let Ok(history) = History::verify(versions.clone(), 1_800_000_000)
    {
        assert_eq!(history.versions(), versions);
        assert!(history.newest().validate().is_ok());
    }
    if let Ok(body) = serde_json::from_slice::<Enrolment>(bytes) {
        let _ = (body.validate().is_ok(), body.changes_since(None));
        assert!(body.says_the_same(&body.clone().following(Some(&body))));
    }
}

/// What continues a log that was found good is found good with it.
fn security_log(bytes: &[u8]) {
    let half = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (head, rest) = bytes.split_at(half);
    let whole = security_log::verify(bytes, None);
    if let Ok(head) = security_log::verify(head, None)
        && head.first.is_some()
    {
        let rest = security_log::verify(rest, Some(&head));
        assert_eq!(rest.ok().map(|found| found.last), whole.ok().map(|found| found.last));
    }
}

fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    macro_rules! written_back {
        ($($type:ty),*) => {
            $(if let Ok(read) = text.parse::<$type>() {
                assert_eq!(read.to_string(), text);
            })*
        };
    }
    written_back!(Identity, Country, Industry, Name, Digest, Commitment, ShareId, KeyId);
    if let Ok(endpoint) = Endpoint::of_address(text) {
        assert!(endpoint.name().is_ok() && endpoint.serves(text));
    }
}

fn certificate(bytes: &[u8]) {
    let der = rustls_pki_types::CertificateDer::from(bytes);
    let _ = (public_key(&der), subject(&der), server_name(&der));
    let mut trust = Trust::default();
    let _ = trust.add("lab", vec![der.into_owned()], vec![bytes.to_vec()]);
    let _ = DataKey::from_file(bytes);
}

/// The key of the vectors in `testdata/package`, so that the corpus gets past it.
const KEY: [u8; 32] = [0x42; 32];

fn package(bytes: &[u8]) {
    let Ok(reader) = PackageReader::open(bytes.to_vec()) else { return };
    let _ = reader.inspect();
    if let Ok(package) = reader.unlock(&DataKey::from_bytes(KEY), &Expected::default()) {
        let _ = package.decrypt_to(&mut Cursor::new(Vec::new()), &mut |_| {});
    }
}

fn contract(bytes: &[u8]) {
    // Calls, one a line, each decided over what those before it left.
    let mut values = Values::new();
    for (time, line) in (1_000..).zip(bytes.split(|byte| *byte == b'\n').take(50)) {
        let Ok(call) = serde_json::from_slice::<Call>(line) else { continue };
        let touched = keys(&call);
        let known = touched.iter().filter_map(|key| Some((key.clone(), values.get(key)?.clone())));
        if let Ok(outcome) = decide(&call, &known.collect(), time) {
            assert!(outcome.writes.keys().all(|key| touched.contains(key)));
            values.extend(outcome.writes);
        }
    }
}

fn log(bytes: &[u8]) {
    if let Ok(entry) = Entry::parse(bytes) {
        assert_eq!(entry.to_bytes().as_deref(), Some(bytes));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(resource) = Resource::parse(text) {
        assert_eq!(resource.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.to_string(), text);
        let _ = Checkpoint::open(bytes, &key, &[]);
    }
    if let Ok(policy) = text.parse::<LogPolicy>() {
        assert_eq!(policy.to_string(), text);
    }
    if let Ok(proof) = text.parse::<Proof>() {
        assert_eq!(proof.to_string().parse::<Proof>().as_ref(), Ok(&proof));
    }
    let _ = SigningKey::parse(text);
}

/// The key of the log whose checkpoints are in the corpus, `testdata/ledger`'s.
const WITNESSED: &str = "ledger.example+9e004662+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

/// A log's request to a witness, and the URLs where witnesses are.
fn witness(bytes: &[u8]) {
    let Ok(key) = WITNESSED.parse::<VerifyingKey>() else { return };
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes);
        if let Ok(checkpoint) = request.open(&key) {
            let _ = request.follows(&checkpoint, Some((request.old, [0; 32])));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(url) = text.parse::<WitnessUrl>() {
        assert_eq!(url.to_string().parse(), Ok(url));
    }
}

/// A log whose signed checkpoint is one of `testdata/ledger`, and whose files are the input, one
/// after the other.
struct Files<'a>(Mutex<Vec<&'a [u8]>>);

#[async_trait]
impl LogSource for Files<'_> {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        if path == "checkpoint" {
            return Ok(Some(include_bytes!("../../testdata/ledger/logs/good/checkpoint").to_vec()));
        }
        Ok(self.0.lock().ok().and_then(|mut files| files.pop()).map(<[u8]>::to_vec))
    }

    async fn wait_newer(&self, _: u64, _: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}

fn log_audit(bytes: &[u8]) {
    let policy = include_str!("../../testdata/ledger/policy");
    let Ok(policy) = policy.parse::<LogPolicy>() else { return };
    let files = Files(Mutex::new(bytes.split(|byte| *byte == 0xff).rev().collect()));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let report = runtime.block_on(audit::verify(&files, &policy));
    assert!(report.is_err() || report.is_ok_and(|report| report.fault.is_some()));
}

fn api(bytes: &[u8]) {
    let _ = serde_json::from_slice::<ReleaseKey>(bytes);
    let _ = serde_json::from_slice::<StoreKey>(bytes);
    let _ = serde_json::from_slice::<InvitationFile>(bytes);
    let _ = serde_json::from_slice::<NewInvitation>(bytes);
    let _ = serde_json::from_slice::<CatalogQuery>(bytes);
    let _ = serde_json::from_slice::<NewSubscription>(bytes);
    let _ = serde_json::from_slice::<RecordQuery>(bytes);
    let _ = serde_json::from_slice::<SealedKey>(bytes);
    if let Ok(terms) = serde_json::from_slice::<Terms>(bytes) {
        let _ = terms.validate();
    }
}

fn audit_bundle(bytes: &[u8]) {
    if let Ok(bundle) = Bundle::parse(bytes) {
        let _ = bundle.verify(&TrustedInputs::default());
    }
}

/// A server's erasure journal.
fn erasures(bytes: &[u8]) {
    if let Ok(lines) = journal::parse(bytes) {
        let written: Vec<u8> = lines
            .iter()
            .flat_map(|line| [serde_json::to_vec(line).unwrap_or_default(), vec![b'\n']].concat())
            .collect();
        assert_eq!(journal::parse(&written), Ok(lines));
    }
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = toml::from_str::<ManagementConfig>(text);
    let _ = toml::from_str::<KeyServerConfig>(text);
    let _ = toml::from_str::<StorageServerConfig>(text);
    let _ = toml::from_str::<WitnessConfig>(text).map(|config| config.logs());
}

/// What an Ethereum node answers, and the events and refusals in it.
fn chain(bytes: &[u8]) {
    let _ = (serde_json::from_slice::<Block>(bytes), abi::revert(bytes));
    let receipt = serde_json::from_slice::<TransactionReceipt>(bytes).map(|receipt| receipt.logs);
    let logs = receipt.or_else(|_| serde_json::from_slice::<Vec<Log>>(bytes)).unwrap_or_default();
    for log in logs {
        let Ok(Some(receipt)) = abi::receipt(&log.data()) else { continue };
        let call = match receipt {
            Receipt::Policy(record) => Call::SetPolicy(record.policy),
            Receipt::Access(record) => Call::RequestAccess(record.request),
            Receipt::Usage(record) => Call::RecordUsage(record.usage),
        };
        let _ = (abi::input(&call), abi::repeated(&call, bytes));
        // What is read from an event can be decided again.
        let _ = decide(&call, &Values::new(), 1_000);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(config) = toml::from_str::<EvmConfig>(text)
    {
        assert_eq!(toml::from_str(&config.to_text()), Ok(config));
    }
}

fn rules(bytes: &[u8]) {
    let Ok(read) =
        std::str::from_utf8(bytes).map_err(drop).and_then(|text| Rules::parse(text).map_err(drop))
    else {
        return;
    };
    let written = read.to_toml();
    let again = Rules::parse(&written).map(|rules| rules.to_toml());
    assert!(again.is_ok_and(|again| again == written));
    let _ = Plan::new(bytes, Path::new("/nonexistent"), Some(PseudonymKey::random()));
}

/// Goes the way from a raw table to masked values, by rules that detection proposes and by such as
/// mask everything.
fn table(bytes: &[u8], extension: &str) {
    let Ok(mut file) = tempfile::tempfile() else { return };
    let Ok(()) = file.write_all(bytes) else { return };
    let Ok(mut input) = Input::file(file, Some(extension), Options::default()) else { return };
    let Ok(proposal) = scan(&mut input, None, &mut |_| {}) else { return };
    let mut masking = proposal.rules.clone();
    let mask = || Transform::Mask { keep_first: 0, keep_last: 0, with: '*' };
    masking.columns.iter_mut().for_each(|rule| rule.transform = mask());
    for rules in [proposal.rules, masking] {
        let plan =
            Plan::new(rules.to_toml().as_bytes(), Path::new(""), Some(PseudonymKey::random()));
        // A name that a table may have and a rule file may not is the one reason.
        let Ok(plan) = plan else { continue };
        if let Ok(report) = run(&mut input, &plan, Box::new(std::io::sink()), &mut |_| {}) {
            assert_eq!(report.records, proposal.records);
        }
    }
}

fn parquet(bytes: &[u8]) {
    // The reader catches the library's panics, which libFuzzer's hook would end the process for
    // before that.
    std::panic::set_hook(Box::new(|_| {}));
    table(bytes, "parquet");
}
