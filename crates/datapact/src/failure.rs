//! What can go wrong in a command, and the exit code of each kind.

use std::fmt::Display;
use std::io;
use std::path::Path;

use datapact_api::problem::{Kind, Problem};
use datapact_client::ClientError;
use datapact_client::key_file::KeyFileError;
use datapact_core::package::PackageError;
use datapact_local::NetworkError;
use serde_json::Value;

/// The exit code of an interrupted command: 128 + SIGINT, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit code of wrong usage; also clap's.
pub(crate) const USAGE: u8 = 2;
/// The exit code when the reader of standard output has gone: 128 + SIGPIPE, as shells report it.
const CLOSED: u8 = 141;

/// The result of every command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A refusal, of a server or of a rule kept here.
    Problem(Problem),
    /// Arguments, or files that they name, are wrong.
    Usage(Said),
    /// A file or stream of this machine.
    Local(Said),
    /// The user did not say yes.
    Declined(Said),
    /// The user, or the program that started the command, has asked it to end.
    Interrupted,
    /// The reader of standard output has gone away; nothing needs to be said.
    OutputClosed,
}

/// What is said to the user: lower case, no full stop, input in backticks.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) detail: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn usage(detail: impl Display, hint: impl Display) -> Self {
        Self::Usage(Said { detail: detail.to_string(), hint: Some(hint.to_string()) })
    }

    pub(crate) fn local(detail: impl Display, hint: impl Display) -> Self {
        Self::Local(Said { detail: detail.to_string(), hint: Some(hint.to_string()) })
    }

    pub(crate) fn declined(detail: impl Display, hint: impl Display) -> Self {
        Self::Declined(Said { detail: detail.to_string(), hint: Some(hint.to_string()) })
    }

    pub(crate) fn untrusted(detail: impl Display, hint: impl Display) -> Self {
        Self::Problem(Problem::new(Kind::Untrusted, detail).hint(hint))
    }

    /// What could not be done (`read`, `write`) with the file at `path`.
    pub(crate) fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => Some("check the path".to_owned()),
            io::ErrorKind::PermissionDenied => Some("check the file's owner and mode".to_owned()),
            io::ErrorKind::StorageFull => Some("make room on the device".to_owned()),
            _ => None,
        };
        Self::Local(Said {
            detail: format!("cannot {verb} `{}`: {}", path.display(), io_text(error)),
            hint,
        })
    }

    /// A failure of standard output.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Local(Said {
            detail: format!("cannot write standard output: {}", io_text(error)),
            hint: None,
        })
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Problem(problem) => match problem.kind {
                Kind::Internal => 1,
                Kind::Malformed
                | Kind::MethodNotAllowed
                | Kind::TooLarge
                | Kind::HeaderTooLarge => USAGE,
                Kind::Refused => 3,
                Kind::Unauthenticated | Kind::Forbidden => 4,
                Kind::NotFound => 5,
                Kind::Conflict | Kind::PreconditionFailed => 6,
                Kind::Busy | Kind::Unavailable => 7,
                Kind::Untrusted => 8,
            },
            Self::Usage(_) => USAGE,
            Self::Local(_) => 9,
            Self::Declined(_) => 10,
            Self::Interrupted => INTERRUPTED,
            Self::OutputClosed => CLOSED,
        }
    }

    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.detail,
            Self::Usage(said) | Self::Local(said) | Self::Declined(said) => &said.detail,
            Self::Interrupted => "interrupted",
            Self::OutputClosed => "the output was closed",
        }
    }

    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => problem.hint.as_deref(),
            Self::Usage(said) | Self::Local(said) | Self::Declined(said) => said.hint.as_deref(),
            Self::Interrupted => Some("run it again: it goes on with what is there"),
            Self::OutputClosed => None,
        }
    }

    /// The problem object (RFC 9457) with the exit code.
    pub(crate) fn to_json(&self) -> Value {
        let name = match self {
            Self::Problem(problem) => {
                let mut value = problem.to_json();
                if let Some(object) = value.as_object_mut() {
                    object.insert("exit".to_owned(), self.exit_code().into());
                }
                return value;
            }
            Self::Usage(_) => "usage",
            Self::Local(_) | Self::OutputClosed => "local",
            Self::Declined(_) => "declined",
            Self::Interrupted => "interrupted",
        };
        let mut value = serde_json::json!({
            "type": format!("urn:datapact:problem:{name}"),
            "title": name,
            "detail": self.detail(),
            "exit": self.exit_code(),
        });
        if let (Some(object), Some(hint)) = (value.as_object_mut(), self.hint()) {
            object.insert("hint".to_owned(), hint.into());
        }
        value
    }
}

/// What the operating system says, in our wording: lower case, without its number.
fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem(problem) => Self::Problem(problem),
            ClientError::File { path, error } => Self::file("use", Path::new(&path), &error),
            ClientError::Package(error) => error.into(),
        }
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self::local(error.detail, error.hint)
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let problem = |kind, hint: &str| Self::Problem(Problem::new(kind, &error).hint(hint));
        match &error {
            PackageError::Write(cause) => Self::stdout(cause),
            PackageError::Read(_) => Self::Local(Said { detail: error.to_string(), hint: None }),
            PackageError::NotAPackage | PackageError::Version(_) => {
                Self::usage(&error, "`datapact wrap` makes packages")
            }
            PackageError::TooLarge => problem(Kind::TooLarge, "split the data"),
            PackageError::WrongKey => {
                problem(Kind::Untrusted, "give the key file that was written with this package")
            }
            _ => problem(
                Kind::Untrusted,
                "use nothing of it; get the package again from its provider",
            ),
        }
    }
}

/// A private key that cannot be used.
pub(crate) fn key_failure(error: KeyFileError) -> Failure {
    match error {
        KeyFileError::File { path, source } => Failure::file("use", &path, &source),
        KeyFileError::TooOpen(ref path) => {
            let hint = format!("run `chmod 600 {}`", path.display());
            Failure::local(error, hint)
        }
        KeyFileError::Exists(_) => Failure::local(error, "name another file"),
        KeyFileError::PassphraseNeeded(_)
        | KeyFileError::WrongPassphrase(_)
        | KeyFileError::EmptyPassphrase => {
            Failure::usage(error, "give it in a file with `--passphrase-file`, or on the terminal")
        }
        KeyFileError::Unusable(_) => {
            Failure::usage(error, "give a P-256 private key in PKCS#8 PEM form")
        }
        KeyFileError::Crypto(_) => Problem::new(Kind::Internal, error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_exit_code() {
        let codes = [
            (Kind::Internal, 1),
            (Kind::Malformed, 2),
            (Kind::TooLarge, 2),
            (Kind::MethodNotAllowed, 2),
            (Kind::HeaderTooLarge, 2),
            (Kind::Refused, 3),
            (Kind::Forbidden, 4),
            (Kind::Unauthenticated, 4),
            (Kind::NotFound, 5),
            (Kind::Conflict, 6),
            (Kind::Busy, 7),
            (Kind::Unavailable, 7),
            (Kind::Untrusted, 8),
        ];
        for (kind, code) in codes {
            let failure = Failure::from(Problem::new(kind, "x"));
            assert_eq!(failure.exit_code(), code);
            assert_eq!(failure.to_json().get("exit"), Some(&Value::from(code)));
        }
    }

    #[test]
    fn an_operating_systems_words_become_ours() {
        let error = io::Error::from_raw_os_error(2);
        let failure = Failure::file("read", Path::new("a b"), &error);
        assert_eq!(failure.detail(), "cannot read `a b`: no such file or directory");
        assert_eq!(failure.exit_code(), 9);
    }
}
