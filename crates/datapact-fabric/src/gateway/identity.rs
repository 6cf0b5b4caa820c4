//! Who asks: an organisation's member, with certificate and key in files that are read again when
//! they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use bytes::Bytes;
use datapact_core::id::Timestamp;
use datapact_ledger::LedgerError;
use prost::Message as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::config::IdentityConfig;
use datapact_chaincode::proto::common::SerializedIdentity;

/// The largest file of a certificate or a key that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The order of P-256's base point (SEC 2, section 2.4.2), big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// Half of it: Fabric takes no signature with a larger S.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// An identity in files.
pub(crate) struct FileIdentity {
    config: IdentityConfig,
    loaded: Mutex<Option<(Seen, Arc<Identity>)>>,
}

/// What changes when a file is replaced.
type Seen = [(SystemTime, u64, u64); 2];

impl FileIdentity {
    pub(crate) fn new(config: IdentityConfig) -> Self {
        Self { config, loaded: Mutex::default() }
    }

    /// The organisation.
    pub(crate) fn msp_id(&self) -> &str {
        &self.config.msp_id
    }

    /// The identity as it is on the disk now, for use at `now`.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] says which file is wrong, or that the certificate is not
    /// valid.
    pub(crate) fn at(&self, now: Timestamp) -> Result<Arc<Identity>, LedgerError> {
        let IdentityConfig { certificate_file, key_file, .. } = &self.config;
        let seen = [seen(certificate_file, 0)?, seen(key_file, 0o077)?];
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = match &*loaded {
            Some((of, identity)) if *of == seen => Arc::clone(identity),
            _ => {
                let identity = Arc::new(Identity::open(&self.config)?);
                tracing::info!(msp = self.config.msp_id, "the identity for the ledger is read");
                *loaded = Some((seen, Arc::clone(&identity)));
                identity
            }
        };
        drop(loaded);
        if now < identity.not_before || now >= identity.not_after {
            return Err(wrong(
                certificate_file,
                format_args!(
                    "the certificate is valid from {} to {} (seconds since 1970) and it is {now}; \
                     renew it, or set the clock",
                    identity.not_before, identity.not_after
                ),
            ));
        }
        Ok(identity)
    }
}

fn wrong(path: &Path, detail: impl std::fmt::Display) -> LedgerError {
    LedgerError::Misconfigured(format!("the identity's file `{}`: {detail}", path.display()))
}

fn seen(path: &Path, forbidden: u32) -> Result<(SystemTime, u64, u64), LedgerError> {
    let metadata = fs::metadata(path).map_err(|e| wrong(path, e))?;
    if metadata.mode() & forbidden != 0 {
        return Err(wrong(path, "other users may read or write it; run `chmod 600` on it"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(wrong(path, "it is too long"));
    }
    Ok((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), metadata.ino()))
}

/// A certificate and its key.
pub(crate) struct Identity {
    key: EcdsaKeyPair,
    /// The [`SerializedIdentity`].
    creator: Bytes,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Identity {
    fn open(config: &IdentityConfig) -> Result<Self, LedgerError> {
        let IdentityConfig { msp_id, certificate_file, key_file } = config;
        let pem = fs::read(certificate_file).map_err(|e| wrong(certificate_file, e))?;
        let key_pem = Zeroizing::new(fs::read(key_file).map_err(|e| wrong(key_file, e))?);
        let unreadable = |e: rustls_pki_types::pem::Error| wrong(certificate_file, e);
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|e| wrong(key_file, e))?;
        let key =
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der())
                .map_err(|_| wrong(key_file, "it is not a P-256 key"))?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| wrong(certificate_file, "it is not an X.509 certificate"))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key().as_ref() {
            return Err(wrong(
                certificate_file,
                format_args!(
                    "its key is not the one in `{}`; replace both files",
                    key_file.display()
                ),
            ));
        }
        let seconds =
            |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let (not_before, not_after) =
            (seconds(parsed.validity().not_before), seconds(parsed.validity().not_after));
        let creator = SerializedIdentity { mspid: msp_id.clone(), id_bytes: pem.into() }
            .encode_to_vec()
            .into();
        Ok(Self { key, creator, not_before, not_after })
    }

    /// The member, as messages name them.
    pub(crate) fn creator(&self) -> Bytes {
        self.creator.clone()
    }

    /// Signs `message`: ECDSA P-256 with SHA-256, DER, the smaller of the two possible S.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Bytes, LedgerError> {
        let failed = || {
            LedgerError::Unavailable(
                "the system gives no random numbers for a signature".to_owned(),
            )
        };
        let signature = self.key.sign(&SystemRandom::new(), message).map_err(|_| failed())?;
        let (r, s) = signature.as_ref().split_at_checked(32).ok_or_else(failed)?;
        let (r, s) = (r.try_into().map_err(|_| failed())?, s.try_into().map_err(|_| failed())?);
        Ok(der(&r, &low(s)).into())
    }
}

/// The smaller of S and the order less S; both make a signature.
fn low(s: [u8; 32]) -> [u8; 32] {
    if s <= HALF_ORDER {
        return s;
    }
    let mut difference = [0; 32];
    let mut borrow = 0;
    for ((out, n), s) in difference.iter_mut().zip(ORDER).zip(s).rev() {
        let value = 256 + u16::from(n) - u16::from(s) - borrow;
        borrow = u16::from(value < 256);
        *out = value.to_le_bytes()[0];
    }
    difference
}

/// `SEQUENCE { INTEGER r, INTEGER s }`.
fn der(r: &[u8; 32], s: &[u8; 32]) -> Vec<u8> {
    let mut content = Vec::with_capacity(70);
    for number in [r, s] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count().min(31);
        let digits = number.iter().skip(zeros).copied();
        let sign = number.get(zeros).is_some_and(|byte| byte & 0x80 != 0);
        let length = 32 - zeros + usize::from(sign);
        content.extend([0x02, u8::try_from(length).unwrap_or(0)]);
        content.extend(sign.then_some(0));
        content.extend(digits);
    }
    let mut sequence = vec![0x30, u8::try_from(content.len()).unwrap_or(0)];
    sequence.extend(content);
    sequence
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::os::unix::fs::PermissionsExt as _;

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

    use super::*;

    /// Writes a fresh identity into `dir`, valid in `years`.
    pub(crate) fn write(dir: &Path, years: std::ops::Range<i32>) -> IdentityConfig {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let config = IdentityConfig {
            msp_id: "Org1MSP".to_owned(),
            certificate_file: dir.join("cert.pem"),
            key_file: dir.join("key.pem"),
        };
        // Replaced, not written over: as tools that renew certificates do it.
        for (path, text) in [
            (&config.certificate_file, params.self_signed(&key).unwrap().pem()),
            (&config.key_file, key.serialize_pem()),
        ] {
            let fresh = path.with_extension("new");
            fs::write(&fresh, text).unwrap();
            fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
            fs::rename(&fresh, path).unwrap();
        }
        config
    }

    const NOW: Timestamp = 1_800_000_000;

    #[test]
    fn signatures_are_verified_and_their_s_is_low() {
        let dir = tempfile::tempdir().unwrap();
        let identity = FileIdentity::new(write(dir.path(), 2020..2040)).at(NOW).unwrap();
        let public = UnparsedPublicKey::new(
            &ECDSA_P256_SHA256_ASN1,
            identity.key.public_key().as_ref().to_vec(),
        );
        for nth in 0..64_u8 {
            let signature = identity.sign(&[nth]).unwrap();
            public.verify(&[nth], &signature).unwrap();
            // S follows the sequence's head and R. Longer than 32 bytes, it would be above the
            // half.
            let r_length = usize::from(*signature.get(3).unwrap());
            let s = signature.get(4 + r_length + 2..).unwrap();
            let mut padded = [0; 32];
            padded.get_mut(32 - s.len()..).unwrap().copy_from_slice(s);
            assert!(padded <= HALF_ORDER);
        }
    }

    #[test]
    fn the_larger_s_is_replaced_by_the_order_less_it() {
        let mut one = [0; 32];
        *one.last_mut().unwrap() = 1;
        let mut order_less_one = ORDER;
        *order_less_one.last_mut().unwrap() -= 1;
        assert_eq!(low(order_less_one), one);
        assert_eq!(low(one), one);
        assert_eq!(low(HALF_ORDER), HALF_ORDER);
        let mut above = HALF_ORDER;
        *above.last_mut().unwrap() += 1;
        assert_eq!(low(above), HALF_ORDER);
        assert_eq!(der(&one, &order_less_one).len(), 2 + 3 + 2 + 33);
    }

    #[test]
    fn a_renewed_identity_is_read_again_and_a_wrong_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let config = write(dir.path(), 2020..2040);
        let files = FileIdentity::new(config.clone());
        let first = files.at(NOW).unwrap();
        assert!(Arc::ptr_eq(&first, &files.at(NOW).unwrap()));
        write(dir.path(), 2020..2041);
        let second = files.at(NOW).unwrap();
        assert_ne!(first.creator(), second.creator());

        let said = |files: &FileIdentity| match files.at(NOW) {
            Err(LedgerError::Misconfigured(said)) => said,
            _ => panic!("not told"),
        };
        let certificate = fs::read(&config.certificate_file).unwrap();
        write(dir.path(), 2020..2041);
        fs::write(&config.certificate_file, certificate).unwrap();
        assert!(said(&files).contains("its key is not the one in"));
        write(dir.path(), 2020..2021);
        assert!(said(&files).contains("renew it"));
        fs::set_permissions(&config.key_file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(said(&files).contains("chmod 600"));
        fs::remove_file(&config.key_file).unwrap();
        assert!(said(&files).contains("key.pem"));
    }
}
