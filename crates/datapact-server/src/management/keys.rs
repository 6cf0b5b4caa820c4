//! Management's two secrets: the key of its log and the key of its tokens, made at the first start.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::token::TokenKey;
use datapact_log::note::{KeyKind, SigningKey, VerifyingKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

const LOG_KEY: &str = "log.key";
const TOKEN_KEY: &str = "token.key";
/// The files with management's secrets.
pub(crate) const SECRET_FILES: &[&str] = &[LOG_KEY, TOKEN_KEY];

/// Why the keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder.
    #[error("cannot use `{path}`: {error}", path = .0.display(), error = .1)]
    File(PathBuf, std::io::Error),
    /// A file with a secret.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// A file is there, but holds something else.
    #[error(
        "`{path}` is not the key that belongs there: {detail}; restore it from a backup",
        path = .0.display(),
        detail = .1
    )]
    Wrong(PathBuf, String),
}

/// Management's keys.
pub struct Keys {
    pub(super) log: SigningKey,
    pub(super) token: TokenKey,
}

impl Keys {
    /// Reads the keys in the data folder `data`, making folder and keys where there are none, for
    /// the ledger `id`.
    ///
    /// # Errors
    /// [`KeysError`]; a key is never replaced.
    pub fn open(data: &Path, id: &str) -> Result<Self, KeysError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(|e| KeysError::File(data.to_owned(), e))?;
        let path = data.join(LOG_KEY);
        let wrong = |detail: String| KeysError::Wrong(path.clone(), detail);
        let made = SigningKey::generate(id, KeyKind::Log)
            .map_err(|e| wrong(format!("the ledger's id: {e}")))?;
        let text = secret_file::read_or_make(&path, || made)?;
        let log = SigningKey::parse(&text).map_err(|e| wrong(e.to_string()))?;
        if log.public().name() != id || log.public().kind() != KeyKind::Log {
            return Err(wrong(format!(
                "it is the key of `{}`, not of the log `{id}`",
                log.public().name()
            )));
        }
        let path = data.join(TOKEN_KEY);
        let wrong = |detail: String| KeysError::Wrong(path.clone(), detail);
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|e| wrong(e.to_string()))?;
        let pem = secret_file::read_or_make(&path, || to_pem("PRIVATE KEY", made.as_ref()))?;
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        let token = TokenKey::new(der.secret_pkcs8_der()).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { log, token })
    }

    /// The log's public key, for key servers and enrolment (C2SP `vkey`).
    pub fn log_vkey(&self) -> &VerifyingKey {
        self.log.public()
    }
}

/// PEM (RFC 7468).
pub(super) fn to_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Reserved whole, so that growing leaves no copy of a secret behind.
    let mut pem = Zeroizing::new(String::with_capacity(2 * base64.len() + 2 * label.len() + 64));
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
