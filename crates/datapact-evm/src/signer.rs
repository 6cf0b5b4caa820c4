//! The key that transactions are signed with: a key file with a passphrase, read again when it has
//! changed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use alloy::consensus::{SignableTransaction as _, TxLegacy};
use alloy::primitives::{Address, B256, Bytes};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use datapact_core::id::random;
use datapact_ledger::LedgerError;
use zeroize::Zeroizing;

use crate::config::SignerConfig;

/// The longest passphrase file that is read, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// The key of one account.
pub struct FileSigner {
    config: SignerConfig,
    loaded: Mutex<Option<(Seen, PrivateKeySigner)>>,
}

/// What changes when a file is replaced.
type Seen = [(SystemTime, u64, u64); 2];

impl FileSigner {
    /// The key in the files of `config`, which are read when they are needed.
    pub fn new(config: SignerConfig) -> Self {
        Self { config, loaded: Mutex::default() }
    }

    /// The key as it is on the disk now.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] says which file is wrong.
    pub async fn key(&self) -> Result<PrivateKeySigner, LedgerError> {
        let seen = [seen(&self.config.key_file)?, seen(&self.config.passphrase_file)?];
        if let Some((of, key)) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && *of == seen
        {
            return Ok(key.clone());
        }
        let config = self.config.clone();
        // The passphrase is stretched on purpose, which takes a while.
        let opened = tokio::task::spawn_blocking(move || open(&config)).await;
        let key = opened.map_err(|e| LedgerError::Unavailable(e.to_string()))??;
        tracing::info!(account = %key.address(), "the submitting account's key is read");
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some((seen, key.clone()));
        Ok(key)
    }
}

fn wrong(path: &Path, detail: impl std::fmt::Display) -> LedgerError {
    LedgerError::Misconfigured(format!("the signer's file `{}`: {detail}", path.display()))
}

fn seen(path: &Path) -> Result<(SystemTime, u64, u64), LedgerError> {
    let metadata = fs::metadata(path).map_err(|e| wrong(path, e))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(wrong(path, "other users may read or write it; run `chmod 600` on it"));
    }
    Ok((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), metadata.ino()))
}

fn open(config: &SignerConfig) -> Result<PrivateKeySigner, LedgerError> {
    let path = &config.passphrase_file;
    if seen(path)?.1 > PASSPHRASE_BYTES_MAX {
        return Err(wrong(path, "it is too long for a passphrase"));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| wrong(path, e))?);
    let passphrase = text.trim_end_matches(['\r', '\n']);
    PrivateKeySigner::decrypt_keystore(&config.key_file, passphrase).map_err(|e| {
        wrong(
            &config.key_file,
            format_args!("it does not open with the passphrase in `{}`: {e}", path.display()),
        )
    })
}

/// Adds the account whose transaction could not be submitted, where the operator has to do
/// something for it.
pub(crate) fn of_account(error: LedgerError, account: Address) -> LedgerError {
    match error {
        LedgerError::Misconfigured(why) => {
            LedgerError::Misconfigured(format!("{why} (the submitting account is {account})"))
        }
        other => other,
    }
}

/// Makes a fresh key in `folder`: the key file, and a file with a random passphrase.
///
/// # Errors
/// [`LedgerError::Misconfigured`] when a file cannot be written; existing ones are never replaced.
pub fn make(folder: &Path) -> Result<(SignerConfig, Address), LedgerError> {
    let config = SignerConfig {
        key_file: folder.join("signer.json"),
        passphrase_file: folder.join("signer.passphrase"),
    };
    let passphrase = Zeroizing::new(hex::encode(random::<32>()));
    let key = PrivateKeySigner::from_bytes(&B256::from(random::<32>()))
        .map_err(|e| wrong(&config.key_file, e))?;
    write_secret(&config.passphrase_file, passphrase.as_bytes())?;
    // The library chooses the file's mode, so it writes into a folder that only its owner
    // may enter.
    let part = folder.join(format!(".signer-{}", hex::encode(random::<8>())));
    let failed = |e: std::io::Error| wrong(&part, e);
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
        .create(&part)
        .map_err(failed)?;
    let made = PrivateKeySigner::encrypt_keystore(
        &part,
        &mut alloy::signers::k256::elliptic_curve::rand_core::OsRng,
        key.to_bytes(),
        passphrase.as_str(),
        Some("key"),
    );
    let written = made.map_err(|e| wrong(&config.key_file, e)).and_then(|_| {
        let text = Zeroizing::new(fs::read(part.join("key")).map_err(failed)?);
        write_secret(&config.key_file, &text)
    });
    // Best effort: what is left there is encrypted.
    let _ = fs::remove_dir_all(&part);
    written?;
    Ok((config, key.address()))
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> Result<(), LedgerError> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content)).map_err(|e| wrong(path, e))
}

/// A signed transaction's hash and bytes.
///
/// # Errors
/// [`LedgerError::Unavailable`] when the key cannot sign.
pub fn sign(key: &PrivateKeySigner, transaction: TxLegacy) -> Result<(B256, Bytes), LedgerError> {
    let signature = key
        .sign_hash_sync(&transaction.signature_hash())
        .map_err(|e| LedgerError::Unavailable(format!("the transaction cannot be signed: {e}")))?;
    let signed = transaction.into_signed(signature);
    let mut raw = Vec::new();
    signed.rlp_encode(&mut raw);
    Ok((*signed.hash(), raw.into()))
}
