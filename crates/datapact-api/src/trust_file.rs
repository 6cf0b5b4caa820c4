//! The trust configuration, `trust.toml`: which CA certifies the users of which realm, and which
//! certifies servers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use datapact_core::trust::{Trust, TrustError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Deserialize;

use crate::gate::Source;

/// The longest `trust.toml` or CA file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The longest file of revocation lists, in bytes.
const CRL_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How often a running server looks whether a file has changed.
pub const POLL: Duration = Duration::from_secs(2);

/// Why a trust configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too long.
    #[error("`{}` is longer than {max} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// `trust.toml` is not what it should be.
    #[error("`{}` is wrong: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A PEM file does not hold what it should.
    #[error("`{}` holds no {expected} in PEM, or a broken one", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The CAs and lists do not fit together.
    #[error("`{}`: {source}", path.display())]
    Trust {
        /// The `trust.toml`.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
}

/// `trust.toml`. Paths are relative to its directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    #[serde(default)]
    realm: Vec<RealmEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RealmEntry {
    /// The realm; `server` is that of all servers.
    name: String,
    /// Files with CA certificates, PEM, one or more each.
    ca: Vec<PathBuf>,
    /// Files with revocation lists, PEM.
    #[serde(default)]
    crl: Vec<PathBuf>,
}

/// A file as it was when read: a change of any of these makes it another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    seen: Option<(i64, i64, u64, u64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let seen = fs::metadata(path).ok().map(|m| (m.mtime(), m.mtime_nsec(), m.len(), m.ino()));
        Self { path: path.to_owned(), seen }
    }
}

/// Reads a trust configuration.
///
/// # Errors
/// [`TrustFileError`]: whatever is unknown, unreadable or contradictory is refused as a whole.
pub fn load(path: &Path) -> Result<Trust, TrustFileError> {
    read(path, &mut Vec::new())
}

/// The revocation lists of one realm, PEM, as the files have them now; none where the realm has
/// none.
///
/// # Errors
/// As [`load`].
pub fn revocation_lists(path: &Path, realm: &str) -> Result<Option<String>, TrustFileError> {
    let file = parse(path, &mut Vec::new())?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut pem = String::new();
    for crl in file.realm.iter().filter(|entry| entry.name == realm).flat_map(|entry| &entry.crl) {
        let crl = directory.join(crl);
        let text = String::from_utf8(bytes(&crl, CRL_BYTES_MAX, &mut Vec::new())?)
            .map_err(|_| TrustFileError::Pem { path: crl, expected: "revocation list" })?;
        pem.push_str(&text);
    }
    Ok((!pem.is_empty()).then_some(pem))
}

fn parse(path: &Path, stamps: &mut Vec<Stamp>) -> Result<TrustFile, TrustFileError> {
    let syntax = |message: String| TrustFileError::Syntax { path: path.to_owned(), message };
    let text = String::from_utf8(bytes(path, FILE_BYTES_MAX, stamps)?)
        .map_err(|_| syntax("it is not UTF-8".into()))?;
    toml::from_str(&text).map_err(|e| syntax(e.to_string()))
}

fn read(path: &Path, stamps: &mut Vec<Stamp>) -> Result<Trust, TrustFileError> {
    let syntax = |message: String| TrustFileError::Syntax { path: path.to_owned(), message };
    let file = parse(path, stamps)?;
    if file.realm.is_empty() {
        return Err(syntax("it names no `[[realm]]`".to_owned()));
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut trust = Trust::default();
    // All of the file counts or nothing: half a trust configuration would refuse or believe too
    // much.
    for (i, realm) in file.realm.iter().enumerate() {
        if file.realm.iter().take(i).any(|other| other.name == realm.name) {
            return Err(syntax(format!(
                "realm `{}` is listed twice; list its CAs in one",
                realm.name
            )));
        }
        if realm.ca.is_empty() {
            return Err(syntax(format!("realm `{}` has no CA", realm.name)));
        }
        let mut cas = Vec::new();
        for ca in &realm.ca {
            let ca = directory.join(ca);
            let pem = bytes(&ca, FILE_BYTES_MAX, stamps)?;
            let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            match found {
                Ok(found) if !found.is_empty() => cas.extend(found),
                _ => return Err(TrustFileError::Pem { path: ca, expected: "certificate" }),
            }
        }
        let mut crls = Vec::new();
        for crl in &realm.crl {
            let crl = directory.join(crl);
            let pem = bytes(&crl, CRL_BYTES_MAX, stamps)?;
            let found =
                CertificateRevocationListDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            match found {
                Ok(found) if !found.is_empty() => crls.extend(found.iter().map(|crl| crl.to_vec())),
                _ => return Err(TrustFileError::Pem { path: crl, expected: "revocation list" }),
            }
        }
        trust
            .add(&realm.name, cas, crls)
            .map_err(|source| TrustFileError::Trust { path: path.to_owned(), source })?;
    }
    Ok(trust)
}

fn bytes(path: &Path, max: u64, stamps: &mut Vec<Stamp>) -> Result<Vec<u8>, TrustFileError> {
    use std::io::Read as _;
    // Stamped before it is read: a change in between is then seen as one.
    stamps.push(Stamp::of(path));
    let failed = |source| TrustFileError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(TrustFileError::TooLong { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// A trust configuration that is read again when its files change. Handshakes and requests use what
/// is [current](ReloadableTrust::current), so a new revocation list counts at once, on open
/// connections too.
#[derive(Debug)]
pub struct ReloadableTrust {
    path: Option<PathBuf>,
    loaded: RwLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    trust: Arc<Trust>,
    stamps: Vec<Stamp>,
}

impl ReloadableTrust {
    /// Reads `trust.toml` at `path`.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: &Path) -> Result<Arc<Self>, TrustFileError> {
        let mut stamps = Vec::new();
        let trust = Arc::new(read(path, &mut stamps)?);
        let loaded = RwLock::new(Loaded { trust, stamps });
        Ok(Arc::new(Self { path: Some(path.to_owned()), loaded }))
    }

    /// A trust configuration that comes from no file; it changes only by
    /// [`ReloadableTrust::replace`].
    pub fn fixed(trust: Trust) -> Arc<Self> {
        let loaded = RwLock::new(Loaded { trust: Arc::new(trust), stamps: Vec::new() });
        Arc::new(Self { path: None, loaded })
    }

    /// One that another holds.
    pub fn from_current(trust: Arc<Trust>) -> Arc<Self> {
        Arc::new(Self { path: None, loaded: RwLock::new(Loaded { trust, stamps: Vec::new() }) })
    }

    /// The configuration as last read.
    pub fn current(&self) -> Arc<Trust> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).trust.clone()
    }

    /// Puts another configuration in force, for one that comes from no `trust.toml`: a user's
    /// enrolment.
    pub fn replace(&self, trust: Trust) {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).trust = Arc::new(trust);
    }

    /// [`ReloadableTrust::current`] as the gate takes it.
    pub fn source(self: &Arc<Self>) -> Source<Trust> {
        let this = self.clone();
        Arc::new(move || this.current())
    }

    /// Reads the files again. When that fails, what was read before stays in force.
    ///
    /// # Errors
    /// As [`load`].
    pub fn reload(&self) -> Result<(), TrustFileError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut stamps = Vec::new();
        let result = read(path, &mut stamps);
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        // Kept on failure too, so that a broken file is reported once and not at every poll.
        loaded.stamps = stamps;
        loaded.trust = Arc::new(result?);
        Ok(())
    }

    /// Reads the files again if one of them has changed, and tells whether so.
    ///
    /// # Errors
    /// As [`ReloadableTrust::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, TrustFileError> {
        let stamps = self.loaded.read().unwrap_or_else(PoisonError::into_inner).stamps.clone();
        if stamps.iter().all(|stamp| *stamp == Stamp::of(&stamp.path)) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Reloads on SIGHUP and, every [`POLL`], when a file has changed; runs until it is dropped.
    pub async fn watch(self: Arc<Self>) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => Some(hangup),
            Err(error) => {
                tracing::warn!(%error, "SIGHUP cannot be heard; changed files are still noticed");
                None
            }
        };
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let forced = tokio::select! {
                _ = hung_up => true,
                () = tokio::time::sleep(POLL) => false,
            };
            let this = self.clone();
            let reloading = tokio::task::spawn_blocking(move || {
                if forced { this.reload().map(|()| true) } else { this.reload_if_changed() }
            });
            match reloading.await {
                Ok(Ok(true)) => tracing::info!("the trust configuration was read again"),
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => {
                    tracing::error!(
                        %error,
                        "the trust configuration was not read; the previous one stays in force"
                    );
                }
            }
        }
    }
}
