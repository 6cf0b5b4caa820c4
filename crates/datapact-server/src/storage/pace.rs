//! How fast an upload must go on: a package may take as long as it takes, but who sends next to
//! nothing only wants to hold what it holds.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use datapact_api::storage_server::ByteStream;
use futures_util::StreamExt as _;
use tokio::time::Instant;

/// How long is waited for so many bytes, in all, before an upload is cut off. The time that the
/// store takes does not count.
const WINDOW: Duration = Duration::from_secs(30);
const LEAST_BYTES: usize = 32 * 1024;

/// Reads an upload as long as it goes on.
pub(super) struct Pace {
    window: Duration,
    waited: Duration,
    arrived: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self::within(WINDOW)
    }

    fn within(window: Duration) -> Self {
        Self { window, waited: Duration::ZERO, arrived: 0 }
    }

    /// What arrives next; none at the end.
    ///
    /// # Errors
    /// The stream's, and [`io::ErrorKind::TimedOut`] when too little arrives.
    pub(super) async fn next(&mut self, bytes: &mut ByteStream) -> Option<io::Result<Bytes>> {
        let begun = Instant::now();
        let left = self.window.saturating_sub(self.waited);
        let Ok(next) = tokio::time::timeout(left, bytes.next()).await else {
            return Some(Err(io::ErrorKind::TimedOut.into()));
        };
        self.waited += begun.elapsed();
        if let Some(Ok(chunk)) = &next {
            self.arrived = self.arrived.saturating_add(chunk.len());
        }
        if self.arrived >= LEAST_BYTES {
            *self = Self::within(self.window);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use futures_util::stream;

    use super::*;

    /// How much arrives of chunks of this size, each after so many milliseconds.
    async fn arrived(chunk: usize, millis: u64, count: usize) -> io::Result<usize> {
        let chunks = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(Bytes::from(vec![0; chunk]))
        });
        let mut bytes: ByteStream = chunks.boxed();
        let (mut pace, mut arrived) = (Pace::within(Duration::from_millis(300)), 0);
        while let Some(chunk) = pace.next(&mut bytes).await {
            arrived += chunk?.len();
        }
        Ok(arrived)
    }

    #[tokio::test]
    async fn slow_is_allowed_and_next_to_nothing_is_not() {
        // Longer than the window in all.
        assert_eq!(arrived(LEAST_BYTES, 10, 60).await.unwrap(), 60 * LEAST_BYTES);
        for (chunk, millis) in [(1, 5), (1024, 50), (LEAST_BYTES, 1000)] {
            let cut = arrived(chunk, millis, 1000).await.unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::TimedOut, "{chunk} bytes in {millis} ms");
        }
        // The end of a small one is no failure.
        assert_eq!(arrived(1, 2, 10).await.unwrap(), 10);
    }
}
