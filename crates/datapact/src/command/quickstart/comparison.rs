//! Compares the data that was opened with the data that was shared.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the plaintext goes: it is compared with what was shared, and kept nowhere.
#[derive(Clone)]
pub(super) struct Comparison(Arc<Mutex<Compared>>);

struct Compared {
    shared: Box<dyn Read + Send>,
    same: bool,
}

impl Comparison {
    pub(super) fn with(shared: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Mutex::new(Compared { shared, same: true })))
    }

    /// Whether all that was shared came out, and nothing else.
    pub(super) fn same(&self) -> bool {
        let mut compared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        compared.same && matches!(compared.shared.read(&mut [0]), Ok(0))
    }
}

impl Write for Comparison {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut compared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shared = vec![0; bytes.len()];
        compared.same &= compared.shared.read_exact(&mut shared).is_ok() && shared == bytes;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
