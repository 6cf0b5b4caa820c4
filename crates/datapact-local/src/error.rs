//! Why something on this machine does not run.

use std::fmt::Display;
use std::path::Path;

/// Why a network does not run.
#[derive(Debug, thiserror::Error)]
#[error("{detail}; {hint}")]
pub struct NetworkError {
    /// What is wrong.
    pub detail: String,
    /// How to go on.
    pub hint: String,
}

/// The result of what is done with a network.
pub type Result<T> = std::result::Result<T, NetworkError>;

impl NetworkError {
    /// The error `detail`, with how to go on.
    pub fn new(detail: impl Display, hint: impl Display) -> Self {
        Self { detail: detail.to_string(), hint: hint.to_string() }
    }

    /// What is wrong with a file or folder of a network.
    pub fn file(path: &Path, error: impl Display) -> Self {
        Self::new(
            format!("`{}`: {error}", path.display()),
            "choose another folder with `--dir DIR`",
        )
    }

    /// The folder `dir` holds no network.
    pub fn no_network(dir: &Path) -> Self {
        Self::new(
            format!("`{}` holds no network", dir.display()),
            "name the folder that `ledger up` was given with `--dir DIR`",
        )
    }

    /// What a node of the network answered, of which its log says more.
    pub fn see_logs(error: impl Display) -> Self {
        Self::new(error, "see the nodes' logs in the network's folder")
    }
}
