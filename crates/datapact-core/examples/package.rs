//! Wraps, unwraps and inspects packages without servers, and measures in memory: the tool of
//! `bench/package.sh`.
//!
//! ```text
//! package wrap FILE -o PKG --key-out KEY      package unwrap PKG --key-file KEY -o FILE
//! package inspect PKG                         package memory [MIB]
//! ```
//! `-` stands for standard input or output. A wrapped package is signed with a key that is made for
//! it and thrown away, so this is for measuring and trying; `datapact wrap` signs with the user's
//! identity.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use datapact_core::id::{KeyId, PackageId, random};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::package::{DataKey, Expected, PackageReader, SealSpec, seal};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["wrap", file, "-o", package, "--key-out", key_file] => {
            let key = DataKey::random();
            File::create(key_file)?.write_all(key.to_file().as_bytes())?;
            wrap(&mut input(file)?, &mut output(package)?, &key)
        }
        ["unwrap", package, "--key-file", key_file, "-o", file] => {
            let key = DataKey::from_file(&std::fs::read(key_file)?)?;
            let package =
                PackageReader::open(File::open(package)?)?.unlock(&key, &Expected::default())?;
            Ok(package.decrypt_to(&mut output(file)?, &mut |_| {})?)
        }
        ["inspect", package] => {
            let inspection = PackageReader::open(File::open(package)?)?.inspect();
            println!("{}", serde_json::to_string_pretty(&inspection)?);
            Ok(())
        }
        ["memory"] => memory(1024),
        ["memory", mib] => memory(mib.parse()?),
        _ => Err("see the comment at the top of this example for its commands".into()),
    }
}

fn input(name: &str) -> io::Result<File> {
    if name == "-" {
        Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
    } else {
        File::open(name)
    }
}

/// A file either way: `Stdout` looks for ends of lines in all that it is given.
fn output(name: &str) -> io::Result<File> {
    if name == "-" {
        Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
    } else {
        File::create(name)
    }
}

fn wrap(
    input: &mut (impl Read + Send),
    output: &mut (impl Write + Send),
    key: &DataKey,
) -> Result<()> {
    let pair = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::default().self_signed(&pair)?;
    let identity = Identity { realm: "example".to_owned(), subject: "CN=example".to_owned() };
    let signer = Signer::new(pair.serialized_der(), vec![certificate.der().clone()], identity)?;
    let spec = SealSpec {
        package: PackageId::random(),
        key: KeyId::random(),
        management: String::new(),
        share: None,
        media_type: "application/octet-stream".to_owned(),
    };
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    seal(input, output, key, &spec, &signer, time, &mut |_| {})?;
    Ok(())
}

/// Sealing and opening in memory against the bare primitives, the best of five runs each.
fn memory(mib: usize) -> Result<()> {
    let size = mib * 1024 * 1024;
    let mut plaintext = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut plaintext);
    let key = DataKey::random();
    let mut package = Vec::with_capacity(size + size / 500 + 100_000);
    let mut opened = Vec::with_capacity(size);
    let mut best = [Duration::MAX; 4];
    for _ in 0..5 {
        let times = [
            timed(|| {
                package.clear();
                wrap(&mut plaintext.as_slice(), &mut package, &key)
            })?,
            timed(|| {
                opened.clear();
                let package =
                    PackageReader::open(package.as_slice())?.unlock(&key, &Expected::default())?;
                Ok(package.decrypt_to(&mut opened, &mut |_| {})?)
            })?,
            timed(|| raw(&mut opened, true))?,
            timed(|| raw(&mut opened, false))?,
        ];
        for (best, time) in best.iter_mut().zip(times) {
            *best = time.min(*best);
        }
    }
    let [seal, open, cipher_and_hash, cipher] =
        best.map(|time| size as f64 / time.as_secs_f64() / 1_000_000_000.0);
    println!("seal {seal:.2} GB/s");
    println!("open {open:.2} GB/s");
    println!("aes-256-gcm and blake3 in place, one thread {cipher_and_hash:.2} GB/s");
    println!("aes-256-gcm in place, one thread {cipher:.2} GB/s");
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// AES-256-GCM over chunks of 16 KiB in place and, if `hash`, BLAKE3 over groups of 256 KiB of its
/// output.
fn raw(bytes: &mut [u8], hash: bool) -> Result<()> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &random::<32>())?);
    let mut hasher = blake3::Hasher::new();
    let mut count = 0_u32;
    for group in bytes.chunks_mut(256 * 1024) {
        for chunk in group.chunks_mut(16 * 1024) {
            let mut nonce = [0; 12];
            nonce.split_at_mut(8).1.copy_from_slice(&count.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let _ = black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), chunk)?);
            count += 1;
        }
        if hash {
            hasher.update(group);
        }
    }
    black_box(hasher.finalize());
    Ok(())
}
