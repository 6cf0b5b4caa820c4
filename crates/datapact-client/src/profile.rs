//! A profile: one user's identity, key and enrolment on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_api::management::Account;
use datapact_api::trust_file::ReloadableTrust;
use datapact_core::enrolment::Enrolment;
use datapact_core::id::Timestamp;
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::trust::Trust;
use datapact_log::clock::system_clock;
use datapact_log::log_policy::LogPolicy;
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};

use crate::enrolment::{KnownEnrolment, chain_of, log_policy_of};
use crate::error::{ClientError, Result};
use crate::home::{Home, PROFILE, make_folder, read_file, read_json};
use crate::key_file::PrivateKey;
use crate::revocation;

/// The profile's own file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileFile {
    /// Who the certificate certifies.
    pub(crate) identity: Identity,
    /// The account, as management last told it.
    pub(crate) account: Account,
}

/// A profile, loaded: what a session needs.
pub struct Profile {
    name: String,
    folder: PathBuf,
    known: KnownEnrolment,
    trust: Arc<ReloadableTrust>,
    log_policy: LogPolicy,
    signer: Arc<Signer>,
    key: Arc<PrivateKey>,
}

/// A profile in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfileSummary {
    /// Its name.
    pub name: String,
    /// Whether it is the current one.
    pub current: bool,
    /// Who it is; none while the enrolment is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Its management.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management: Option<String>,
}

/// All profiles of a home.
pub fn list(home: &Home) -> Result<Vec<ProfileSummary>> {
    let current = home.current()?;
    home.profiles()?
        .into_iter()
        .map(|name| {
            let folder = home.profile_folder(&name)?;
            let file: Option<ProfileFile> = read_json(&folder.join(PROFILE))?;
            let known = KnownEnrolment::read(&folder.join(ENROLMENT), now())?;
            Ok(ProfileSummary {
                current: current.as_deref() == Some(&name),
                name,
                identity: file.map(|file| file.identity),
                management: known.map(|known| known.enrolment().management.url.clone()),
            })
        })
        .collect()
}

pub(crate) const ENROLMENT: &str = "enrolment.json";
pub(crate) const KEY: &str = "key.pem";
pub(crate) const CERTIFICATE: &str = "certificate.pem";

impl Profile {
    /// Loads the profile `name`; `passphrase` opens its private key if that has one.
    ///
    /// # Errors
    /// When there is none, the enrolment is not finished, or the key cannot be opened.
    pub fn load(home: &Home, name: &str, passphrase: Option<&str>) -> Result<Self> {
        let folder = home.profile_folder(name)?;
        let Some(file) = read_json::<ProfileFile>(&folder.join(PROFILE))? else {
            let (detail, hint) = if folder.join(KEY).exists() {
                (
                    format!("the profile `{name}` has not joined yet"),
                    "run `datapact join` with its certificate",
                )
            } else {
                (
                    format!("there is no profile `{name}`"),
                    "`datapact profile list` shows them; `datapact join` makes one",
                )
            };
            return Err(ClientError::not_found(detail, hint));
        };
        Self::assemble(name, folder, file.identity, passphrase)
    }

    /// From the files in `folder`; the profile's own file may still be missing.
    pub(crate) fn assemble(
        name: &str,
        folder: PathBuf,
        identity: Identity,
        passphrase: Option<&str>,
    ) -> Result<Self> {
        let missing = |what: &str| {
            let detail = format!("the profile `{name}` has no `{what}`");
            ClientError::not_found(detail, "restore the file or join again")
        };
        let known = KnownEnrolment::read(&folder.join(ENROLMENT), now())?;
        let known = known.ok_or_else(|| missing(ENROLMENT))?;
        let trust = revocation::trust(known.enrolment(), &folder)?;
        let log_policy = log_policy_of(known.enrolment())?;
        let key = PrivateKey::load(&folder.join(KEY), passphrase)?;
        let pem = read_file(&folder.join(CERTIFICATE))?.ok_or_else(|| missing(CERTIFICATE))?;
        let chain = chain_of(&pem)?;
        let signer = Signer::new(key.pkcs8(), chain, identity).map_err(|e| {
            ClientError::usage(e, "join again, or renew the certificate for this key")
        })?;
        Ok(Self {
            name: name.to_owned(),
            folder,
            known,
            trust: ReloadableTrust::fixed(trust),
            log_policy,
            signer: Arc::new(signer),
            key: Arc::new(key),
        })
    }

    /// The same user with what is known of the enrolment from now on, which is kept.
    pub(crate) fn with(&self, known: KnownEnrolment) -> Result<Self> {
        revocation::forget_foreign(known.enrolment(), &self.folder)?;
        let trust = revocation::trust(known.enrolment(), &self.folder)?;
        let log_policy = log_policy_of(known.enrolment())?;
        known.write(&self.folder.join(ENROLMENT))?;
        Ok(Self {
            name: self.name.clone(),
            folder: self.folder.clone(),
            known,
            trust: ReloadableTrust::fixed(trust),
            log_policy,
            signer: Arc::clone(&self.signer),
            key: Arc::clone(&self.key),
        })
    }

    /// The profile's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The profile's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        self.signer.identity()
    }

    /// Servers, CAs and ledger.
    pub fn enrolment(&self) -> &Enrolment {
        self.known.enrolment()
    }

    /// What is known of the enrolment: its signed versions, or a draft.
    pub fn known(&self) -> &KnownEnrolment {
        &self.known
    }

    /// Which CAs are trusted for whom.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.current()
    }

    /// Which log and witnesses are believed.
    pub fn log_policy(&self) -> &LogPolicy {
        &self.log_policy
    }

    /// What signs this user's documents.
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    pub(crate) fn reloadable_trust(&self) -> Arc<ReloadableTrust> {
        Arc::clone(&self.trust)
    }

    /// The private key for the handshake.
    pub(crate) fn tls_key(&self) -> PrivateKeyDer<'static> {
        self.key.for_tls()
    }

    /// Where this program remembers things between runs.
    pub(crate) fn state(&self) -> Result<PathBuf> {
        let state = self.folder.join("state");
        make_folder(&state)?;
        Ok(state)
    }
}

fn now() -> Timestamp {
    (system_clock())()
}
