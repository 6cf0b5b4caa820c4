//! The package of an access: fetched, kept if wanted, and opened.

use std::io::Write as _;
use std::sync::Arc;

use datapact_core::package::{OpenPackage, PackageError, PackageReader};
use datapact_core::permission::PackageReference;

use super::Sink;
use crate::consumer::Consumer;
use crate::error::{ClientError, Result};
use crate::home::NewFile;
use crate::remote::{Remote, Source};
use crate::session::{Progress, ProgressSink};

/// Bytes fetched at once when a package is kept.
const DOWNLOAD_BYTES: usize = 256 * 1024;

pub(super) type Reader = PackageReader<Source>;

impl Consumer {
    /// The package's ends, from where it is to come; kept as well if wanted.
    pub(super) async fn package(
        &self,
        package: &PackageReference,
        forwarded: Option<Reader>,
        kept: Option<NewFile>,
        progress: &ProgressSink,
    ) -> Result<(Reader, Option<NewFile>)> {
        let (_, storage) = self.session.storage_server_of(&package.address)?;
        let remote = Remote::new(Arc::clone(storage), package);
        let (total, progress) = (package.size, Arc::clone(progress));
        blocking(move || {
            if let Some(reader) = forwarded {
                return Ok((reader, None));
            }
            let Some(mut kept) = kept else {
                return Ok((Reader::open(remote.fetch().map_err(PackageError::Read)?)?, None));
            };
            let tell = |done| progress(Progress::Downloading { done, total });
            download(&remote, total, &mut kept, &tell)?;
            let source = Source::File(kept.reader()?);
            Ok((Reader::open(source)?, Some(kept)))
        })
        .await
    }
}

pub(super) async fn present(
    package: OpenPackage<Source>,
    sink: Sink,
    progress: ProgressSink,
) -> Result<()> {
    blocking(move || {
        let total = package.size();
        let mut tell = |done| progress(Progress::Opening { done, total });
        match sink {
            Sink::Stream(mut stream) => Ok(package.decrypt_to(&mut stream, &mut tell)?),
            Sink::File(mut file) => {
                package.decrypt_to(&mut file, &mut tell)?;
                file.keep(false)
            }
        }
    })
    .await
}

fn download(remote: &Remote, total: u64, to: &mut NewFile, tell: &dyn Fn(u64)) -> Result<()> {
    let mut buffer = vec![0; DOWNLOAD_BYTES];
    let mut done = 0;
    while done < total {
        let length = (total - done).min(buffer.len() as u64) as usize;
        let (bytes, _) = buffer.split_at_mut(length);
        remote.read_exact_at(done, bytes).map_err(PackageError::Read)?;
        to.write_all(bytes).map_err(PackageError::Write)?;
        done += length as u64;
        tell(done);
    }
    Ok(())
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(ClientError::defect)?
}
