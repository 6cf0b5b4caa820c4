//! Packages in a backup. A package names its provider, so each is encrypted under the provider's
//! secret: the number of the secret and a line's end; then parts of [`PART_BYTES`], the last of
//! them shorter, each encrypted by itself and bound to the object, its place and whether it is the
//! last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use datapact_store::Store;

use super::files::{at, is_missing};
use super::sealed::file::ByNumber;
use super::{BackupError, Result, sealed};
use crate::erasures::personal::Personal;
use crate::erasures::secret::{self, Secret, Subject};
use crate::storage;
use crate::users::Marker;

/// How many bytes are encrypted together.
const PART_BYTES: usize = 1 << 20;
/// What encryption adds to a part: nonce and tag.
const ADDED_BYTES: usize = 28;
/// The longest number of a secret.
const NUMBER_BYTES_MAX: u64 = 64;

/// The objects that a storage server's database names, in order, each with its provider's secret.
pub(super) async fn secrets(
    live: &Store,
    personal: &'static [Personal],
) -> Result<Vec<(String, Secret)>> {
    let marker = Marker::open(live).await?;
    let objects = live.read(storage::objects_and_providers).await?;
    let secrets = sealed::secrets(live, personal, marker).await?;
    let with_secret = objects.into_iter().filter_map(|(object, provider)| {
        let subject = Subject::User(marker.digest(&provider)).to_string();
        // One without was erased in between.
        secrets.get(&subject).map(|secret| (object, secret.clone()))
    });
    Ok(with_secret.collect())
}

/// Writes the package at `from` encrypted to `to`, which must not exist. It is on the disk then.
pub(super) fn seal(from: &Path, to: &Path, object: &str, secret: &Secret) -> Result<()> {
    let mut source = File::open(from).map_err(at(from))?;
    let mut target = new_file(to)?;
    let mut write = |bytes: &[u8]| target.write_all(bytes).map_err(at(to));
    write(format!("{}\n", secret.number).as_bytes())?;
    for place in 0_u64.. {
        let part = read_part(&mut source, PART_BYTES).map_err(at(from))?;
        let is_last = part.len() < PART_BYTES;
        let sealed = secret::seal(&[secret], &about(object, place, is_last), part);
        write(&sealed.ok_or_else(|| at(to)(io::ErrorKind::InvalidData.into()))?)?;
        if is_last {
            break;
        }
    }
    target.sync_all().map_err(at(to))
}

/// Writes the package that [`seal`] has written to `from` to `to`, unless its secret is destroyed.
pub(super) fn unseal(from: &Path, to: &Path, object: &str, secrets: &ByNumber) -> Result<()> {
    let not_this = || BackupError::NotThis(from.to_owned(), "the package does not open".to_owned());
    let mut source = BufReader::new(File::open(from).map_err(at(from))?);
    let mut number = String::new();
    source.by_ref().take(NUMBER_BYTES_MAX).read_line(&mut number).map_err(at(from))?;
    let Some(secret) = secrets.get(number.trim_end()) else { return Ok(()) };
    match fs::remove_file(to) {
        Err(error) if !is_missing(&error) => return Err(at(to)(error)),
        _ => {}
    }
    let mut target = new_file(to)?;
    for place in 0_u64.. {
        let part = read_part(&mut source, PART_BYTES + ADDED_BYTES).map_err(at(from))?;
        let is_last = part.len() < PART_BYTES + ADDED_BYTES;
        let plain = secret::open(&[secret], &about(object, place, is_last), &part);
        target.write_all(&plain.ok_or_else(not_this)?).map_err(at(to))?;
        if is_last {
            break;
        }
    }
    target.sync_all().map_err(at(to))
}

/// What a part is bound to.
fn about(object: &str, place: u64, is_last: bool) -> String {
    format!("package {object} {place} {is_last}")
}

/// The next `length` bytes, or fewer at the end.
fn read_part(source: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    // Room for what encryption adds.
    let mut part = Vec::with_capacity(length + ADDED_BYTES);
    source.take(length as u64).read_to_end(&mut part)?;
    Ok(part)
}

fn new_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).map_err(at(path))
}
