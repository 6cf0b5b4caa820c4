//! Uploading a sealed package, in one request or, if it is long, in parts.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_api::storage_server::{ByteStream, PackageStatus, Part, StorageServer};
use datapact_core::permission::PackageReference;
use futures_util::StreamExt as _;
use tokio::io::AsyncSeekExt as _;
use tokio_util::io::ReaderStream;

use crate::error::{ClientError, Result};
use crate::session::{BACKOFF, Progress, ProgressSink, retry};

/// Bytes handed to the connection at once.
const UPLOAD_BYTES: usize = 256 * 1024;
/// A package up to this length is uploaded in one request.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long an upload goes on without anything arriving.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause before it does.
const UPLOAD_PAUSE_MAX: Duration = Duration::from_secs(3);

/// Uploads the package in the file `spool`, which is what `package` says.
pub(super) async fn upload(
    storage: &Arc<dyn StorageServer>,
    spool: &Path,
    package: &PackageReference,
    progress: &ProgressSink,
) -> Result<()> {
    let total = package.size;
    let from = |offset: u64| async move {
        let mut file =
            tokio::fs::File::open(spool).await.map_err(|e| ClientError::file(spool, e))?;
        file.seek(SeekFrom::Start(offset)).await.map_err(|e| ClientError::file(spool, e))?;
        let progress = Arc::clone(progress);
        let mut done = offset;
        let bytes = ReaderStream::with_capacity(file, UPLOAD_BYTES).inspect(move |chunk| {
            done += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            progress(Progress::Uploading { done, total });
        });
        Ok::<_, ClientError>(bytes.boxed())
    };
    let status = if total <= WHOLE_BYTES_MAX {
        retry(|| async {
            let bytes = from(0).await?;
            storage.upload(&package.id, total, bytes).await.map_err(ClientError::from)
        })
        .await?
    } else {
        upload_in_parts(storage, package, from).await?
    };
    if status.stored && status.reference().as_ref() == Some(package) {
        Ok(())
    } else {
        Err(ClientError::untrusted("the storage server stored another package than uploaded"))
    }
}

/// Uploads what the server has not got yet, and goes on after every cut for as long as something
/// arrives.
async fn upload_in_parts<F: Future<Output = Result<ByteStream>>>(
    storage: &Arc<dyn StorageServer>,
    package: &PackageReference,
    from: impl Fn(u64) -> F,
) -> Result<PackageStatus> {
    let (mut arrived, mut since, mut failed) = (0, Instant::now(), 0);
    loop {
        let part = async {
            let at = storage.upload_offset(&package.id).await?;
            if at.offset > arrived {
                (arrived, since, failed) = (at.offset, Instant::now(), 0);
            }
            if at.stored {
                return storage.package_status(&package.id).await.map_err(ClientError::from);
            }
            let bytes = from(at.offset).await?;
            let part = Part { offset: at.offset, size: package.size };
            storage.append(&package.id, &part, bytes).await.map_err(ClientError::from)
        };
        match part.await {
            Err(error) if error.is_temporary() && since.elapsed() < UPLOAD_PATIENCE => {
                failed += 1;
                tokio::time::sleep(UPLOAD_PAUSE_MAX.min(BACKOFF * failed)).await;
            }
            outcome => return outcome,
        }
    }
}
