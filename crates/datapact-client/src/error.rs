//! What can go wrong on the user's side, and what to do about it.

use std::io;
use std::path::Path;
use std::time::Duration;

use datapact_api::client::TlsFailure;
use datapact_api::endpoint::EndpointError;
use datapact_api::problem::{Kind, Problem};
use datapact_core::jws::DocumentError;
use datapact_core::package::PackageError;
use datapact_core::policy::PolicyError;
use datapact_core::trust::TrustError;
use datapact_log::copy::CopyError;

use crate::key_file::KeyFileError;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A server refused, could not be reached or is not to be believed; or a rule of this program
    /// did.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// A file of this machine.
    #[error("`{path}`: {error}")]
    File {
        /// Which.
        path: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// The package.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl ClientError {
    /// A problem with `path`.
    pub fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.display().to_string(), error }
    }

    /// The request is wrong; `hint` says how to put it right.
    pub fn usage(detail: impl std::fmt::Display, hint: impl std::fmt::Display) -> Self {
        Self::Problem(Problem::malformed(detail).hint(hint))
    }

    /// There is no such thing.
    pub fn not_found(detail: impl std::fmt::Display, hint: impl std::fmt::Display) -> Self {
        Self::Problem(Problem::not_found(detail).hint(hint))
    }

    /// A server or a party behind it said what is not true: `detail` says what.
    pub fn untrusted(detail: impl std::fmt::Display) -> Self {
        Self::Problem(
            Problem::new(Kind::Untrusted, detail)
                .hint("nothing was used of it; tell the servers' operators"),
        )
    }

    /// A defect of this program or its files.
    pub(crate) fn defect(detail: impl std::fmt::Display) -> Self {
        Self::Problem(Problem::new(Kind::Internal, detail))
    }

    /// By what a caller can do about it: exit codes depend on it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Problem(problem) => problem.kind,
            Self::File { error, .. } => io_kind(error),
            Self::Package(PackageError::Read(error) | PackageError::Write(error)) => io_kind(error),
            Self::Package(PackageError::TooLarge) => Kind::TooLarge,
            Self::Package(PackageError::NotAPackage | PackageError::Version(_)) => Kind::Malformed,
            Self::Package(_) => Kind::Untrusted,
        }
    }

    /// How to go on.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => problem.hint.clone(),
            Self::File { .. } | Self::Package(_) => None,
        }
    }

    /// As a problem: what `--json` prints.
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            other => Problem::new(other.kind(), other),
        }
    }

    /// Whether trying again may help.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self.kind(), Kind::Unavailable | Kind::Busy)
    }

    /// How long the server asks to wait before the next try, if it says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after.map(Duration::from_secs),
            _ => None,
        }
    }
}

fn io_kind(error: &io::Error) -> Kind {
    if let Some(problem) = error.get_ref().and_then(|inner| inner.downcast_ref::<Problem>()) {
        return problem.kind;
    }
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Forbidden,
        io::ErrorKind::AlreadyExists => Kind::Conflict,
        _ => Kind::Internal,
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<PolicyError> for ClientError {
    fn from(error: PolicyError) -> Self {
        Self::Problem(Problem::malformed(error))
    }
}

impl From<DocumentError> for ClientError {
    fn from(error: DocumentError) -> Self {
        Self::untrusted(error)
    }
}

impl From<TrustError> for ClientError {
    fn from(error: TrustError) -> Self {
        Self::untrusted(error)
    }
}

impl From<KeyFileError> for ClientError {
    fn from(error: KeyFileError) -> Self {
        match error {
            KeyFileError::File { path, source } => Self::file(&path, source),
            KeyFileError::Crypto(_) => Self::defect(error),
            KeyFileError::PassphraseNeeded(_) | KeyFileError::WrongPassphrase(_) => {
                Self::Problem(Problem::new(Kind::Unauthenticated, error))
            }
            other => Self::Problem(Problem::malformed(other)),
        }
    }
}

impl From<CopyError> for ClientError {
    fn from(error: CopyError) -> Self {
        let kind = match &error {
            CopyError::Unavailable(_) => Kind::Unavailable,
            CopyError::Wrong { .. } => Kind::Untrusted,
            CopyError::Damaged { .. } | CopyError::Write(_) => Kind::Internal,
        };
        let problem = Problem::new(kind, error);
        Self::Problem(match kind {
            Kind::Unavailable => {
                problem.hint("try again; if it stays so, check whether management can be reached")
            }
            _ => problem,
        })
    }
}

impl From<EndpointError> for ClientError {
    fn from(error: EndpointError) -> Self {
        Self::Problem(Problem::malformed(error))
    }
}

impl From<TlsFailure> for ClientError {
    fn from(error: TlsFailure) -> Self {
        Self::Problem(
            Problem::malformed(error).hint("check the profile's certificate and private key"),
        )
    }
}
