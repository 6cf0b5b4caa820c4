//! Private keys in files: made on the machine that uses them, readable by their owner alone, with a
//! passphrase if wanted (US-2); and the requests by which a CA certifies them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use pkcs8::der::Decode as _;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::subject::Subject;

/// The longest key file, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// The cost of trying a passphrase (scrypt, RFC 7914): 16 MiB five times over. OpenSSL reads no
/// more memory than this by default, and the repetitions make up for it.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// Why a key file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The operating system refuses.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file already; keys are never overwritten.
    #[error(
        "`{path}` exists already and is not overwritten; move it away, or choose another file",
        path = .0.display()
    )]
    Exists(PathBuf),
    /// Others than its owner may read it.
    #[error(
        "others may read the private key in `{path}`; allow its owner alone: `chmod 600 {path}`",
        path = .0.display()
    )]
    TooOpen(PathBuf),
    /// It has a passphrase, and none was given.
    #[error("the private key in `{}` has a passphrase; give it", .0.display())]
    PassphraseNeeded(PathBuf),
    /// The passphrase is another one.
    #[error("this is not the passphrase of the private key in `{}`", .0.display())]
    WrongPassphrase(PathBuf),
    /// An empty passphrase protects nothing.
    #[error("a passphrase must not be empty; leave it out to have none")]
    EmptyPassphrase,
    /// Not a P-256 key in PKCS#8.
    #[error(
        "`{path}` is not a P-256 private key in PKCS#8 PEM form; `openssl pkcs8 -topk8` converts \
         others",
        path = .0.display()
    )]
    Unusable(PathBuf),
    /// The cryptography failed, which is a defect.
    #[error("the private key cannot be used: {0}")]
    Crypto(String),
}

/// A P-256 private key. Its memory is cleared when it is dropped.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`KeyFileError::Crypto`] when the machine has no randomness.
    pub fn generate() -> Result<Self, KeyFileError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        Ok(Self { pkcs8: Zeroizing::new(key.serialize_der()) })
    }

    /// Reads the key in `path`. A `passphrase` for a key that has none is ignored.
    ///
    /// # Errors
    /// [`KeyFileError`]; [`KeyFileError::PassphraseNeeded`] asks to call again with one.
    pub fn load(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::File { path: path.to_owned(), source };
        let unusable = || KeyFileError::Unusable(path.to_owned());
        let file = fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::TooOpen(path.to_owned()));
        }
        let mut pem = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
        io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut pem)
            .map_err(failed)?;
        let (label, document) = SecretDocument::from_pem(&pem).map_err(|_| unusable())?;
        let pkcs8 = match label {
            "PRIVATE KEY" => Zeroizing::new(document.as_bytes().to_vec()),
            "ENCRYPTED PRIVATE KEY" => {
                let Some(passphrase) = passphrase else {
                    return Err(KeyFileError::PassphraseNeeded(path.to_owned()));
                };
                let encrypted = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes())
                    .map_err(|_| unusable())?;
                let opened = encrypted
                    .decrypt(passphrase)
                    .map_err(|_| KeyFileError::WrongPassphrase(path.to_owned()))?;
                Zeroizing::new(opened.as_bytes().to_vec())
            }
            _ => return Err(unusable()),
        };
        let key = Self { pkcs8 };
        key.pair().map_err(|_| unusable())?;
        Ok(key)
    }

    /// Keeps the key in a new file of mode 0600, encrypted if there is a `passphrase`. The file is
    /// complete or is not there, also after a crash.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] when there is one: a key is never overwritten.
    pub fn save(&self, path: &Path, passphrase: Option<&str>) -> Result<(), KeyFileError> {
        let pem = match passphrase {
            None => PrivateKeyInfoRef::from_der(&self.pkcs8)
                .and_then(|_| SecretDocument::try_from(self.pkcs8.as_slice()))
                .and_then(|document| document.to_pem("PRIVATE KEY", LineEnding::LF))
                .map_err(crypto)?,
            Some("") => return Err(KeyFileError::EmptyPassphrase),
            Some(passphrase) => self.encrypted(passphrase)?,
        };
        write_new(path, pem.as_bytes(), 0o600).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
            _ => KeyFileError::File { path: path.to_owned(), source },
        })
    }

    fn encrypted(&self, passphrase: &str) -> Result<Zeroizing<String>, KeyFileError> {
        let (log_n, r, p) = SCRYPT;
        let cost = scrypt::Params::new(log_n, r, p).map_err(crypto)?;
        let (salt, iv): ([u8; 16], [u8; 16]) =
            (datapact_core::id::random(), datapact_core::id::random());
        let parameters =
            pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(crypto)?;
        PrivateKeyInfoRef::from_der(&self.pkcs8)
            .map_err(crypto)?
            .encrypt_with_params(parameters, passphrase)
            .map_err(crypto)?
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(crypto)
    }

    /// The key in PKCS#8 (DER), as signers take it.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key as TLS takes it.
    pub fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// A certificate signing request (PKCS#10, RFC 2986, PEM) for `subject`, for its CA's operator.
    /// Renewal is a new request with the same subject.
    ///
    /// # Errors
    /// [`KeyFileError::Crypto`] on a defect.
    pub fn request(&self, subject: &Subject) -> Result<String, KeyFileError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject.name();
        let request = parameters.serialize_request(&self.pair()?).map_err(crypto)?;
        request.pem().map_err(crypto)
    }

    pub(crate) fn pair(&self) -> Result<KeyPair, KeyFileError> {
        KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()),
            &PKCS_ECDSA_P256_SHA256,
        )
        .map_err(crypto)
    }
}

fn crypto(error: impl std::fmt::Display) -> KeyFileError {
    KeyFileError::Crypto(error.to_string())
}

/// Writes a file that did not exist: complete and on the disk, or not at all.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    // Unlike a rename, a link never replaces what is there.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    sync_folder(path)
}

/// Writes a file or replaces it: the old one or the new one is there, complete and on the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    if let Err(error) = fs::rename(&temporary, path) {
        fs::remove_file(&temporary)?;
        return Err(error);
    }
    sync_folder(path)
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let name = format!(".{}.tmp", hex::encode(datapact_core::id::random::<8>()));
    let temporary = path.with_file_name(name);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        fs::remove_file(&temporary)?;
        return Err(error);
    }
    Ok(temporary)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
