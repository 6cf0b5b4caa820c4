//! What the machine gives: the rates of the primitives that every call needs, and the ceilings that
//! follow from them.
//!
//! An access needs an empty request (TLS, HTTP, and the statement's signature verified), the
//! verification of the signed request and the signing of the token. A redemption needs an empty
//! request, three more verifications (token, access request, key request), the sealing and the
//! signing of the release. Each needs one commit. With few connections what comes one after the
//! other bounds the rate; with many the processors do, since commits are shared.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use datapact_client::Home;
use datapact_core::id::Digest;
use datapact_core::release::{Recipient, seal};

use crate::Result;

/// What is signed: about the size of a document.
const DOCUMENT_BYTES: usize = 2500;

/// Seconds that each takes, on one processor.
pub(crate) struct Primitives {
    flush: f64,
    sign: f64,
    verify: f64,
    seal: f64,
    open: f64,
    processors: f64,
}

impl Primitives {
    pub(crate) fn measure(home: &Home, span: Duration) -> Result<Self> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref())?;
        let document = vec![7; DOCUMENT_BYTES];
        let signature = key.sign(&random, &document)?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref());
        let (recipient, request) = (Recipient::generate(), Digest([1; 32]));
        let sealed = seal(&[2; 32], &recipient.public(), &request)?;
        let path = home.path().join("flushes");
        let mut file = File::create(&path)?;
        let flush = seconds_each(span, || {
            file.write_all(&[0; 4096])?;
            Ok(file.sync_data()?)
        })?;
        std::fs::remove_file(path)?;
        Ok(Self {
            flush,
            sign: seconds_each(span, || Ok(key.sign(&random, &document).map(drop)?))?,
            verify: seconds_each(span, || Ok(public.verify(&document, signature.as_ref())?))?,
            seal: seconds_each(span, || {
                Ok(seal(&[2; 32], &recipient.public(), &request).map(drop)?)
            })?,
            open: seconds_each(span, || Ok(recipient.open(&request, &sealed).map(drop)?))?,
            processors: std::thread::available_parallelism()?.get() as f64,
        })
    }

    /// The most accesses a second over `connections`, if `empty` requests go over as many.
    pub(crate) fn access(&self, connections: usize, empty: f64) -> f64 {
        self.ceiling(connections, empty, self.verify + self.sign)
    }

    /// The most redemptions a second.
    pub(crate) fn redemption(&self, connections: usize, empty: f64) -> f64 {
        self.ceiling(connections, empty, 3.0 * self.verify + self.seal + self.sign)
    }

    fn ceiling(&self, connections: usize, empty: f64, processor: f64) -> f64 {
        let connections = connections as f64;
        let one_after_the_other = connections / empty + processor + self.flush;
        let by_latency = connections / one_after_the_other;
        let by_processors = 1.0 / (1.0 / empty + processor / self.processors);
        by_latency.min(by_processors)
    }
}

fn seconds_each(span: Duration, mut act: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut times = 0.0;
    while start.elapsed() < span {
        act()?;
        times += 1.0;
    }
    Ok(start.elapsed().as_secs_f64() / times)
}

impl fmt::Display for Primitives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| primitive, one thread | a second |\n|---|---|")?;
        writeln!(f, "| flush of 4 KiB to this disk (fdatasync) | {:.0} |", 1.0 / self.flush)?;
        writeln!(f, "| P-256 sign | {:.0} |", 1.0 / self.sign)?;
        writeln!(f, "| P-256 verify | {:.0} |", 1.0 / self.verify)?;
        writeln!(f, "| HPKE seal of a key | {:.0} |", 1.0 / self.seal)?;
        write!(f, "| HPKE open | {:.0} |", 1.0 / self.open)
    }
}
