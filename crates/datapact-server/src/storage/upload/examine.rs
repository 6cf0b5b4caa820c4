//! Whether uploaded bytes are a package.

use datapact_api::gate::Source;
use datapact_api::problem::{Problem, Result};
use datapact_core::document::ANYBODY;
use datapact_core::id::{Digest, PackageId};
use datapact_core::identity::Identity;
use datapact_core::package::{PackageError, PackageReader, ReadAt};
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;

/// Reads uploads.
pub(super) struct Examiner {
    pub(super) trust: Source<Trust>,
    pub(super) clock: Clock,
}

impl Examiner {
    /// The id of the metadata, if `source` is a complete package with this identifier, every byte
    /// of it as `provider` signed it.
    pub(super) async fn examine<S: ReadAt + Send + 'static>(
        &self,
        source: S,
        id: PackageId,
        provider: &Identity,
    ) -> Result<Digest> {
        let read = tokio::task::spawn_blocking(move || {
            let package = PackageReader::open(source)?;
            package.verify()?;
            Ok::<_, PackageError>(package.metadata().clone())
        });
        let metadata = read.await.map_err(Problem::internal)?.map_err(|e| {
            Problem::malformed(format!("the upload is not a complete package: {e}"))
        })?;
        metadata
            .verify(&(self.trust)(), ANYBODY, (self.clock)())
            .map_err(|e| Problem::malformed(format!("the package's metadata: {e}")))?;
        if metadata.signer() != provider {
            return Err(Problem::forbidden("the package's metadata is signed by another provider"));
        }
        if metadata.body().package != id {
            let problem = Problem::malformed("the package is made for another identifier");
            return Err(problem.hint("upload it where its metadata says"));
        }
        Ok(metadata.id())
    }
}
