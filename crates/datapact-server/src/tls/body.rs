//! Bodies of requests and answers, and what is known by their end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// How much of an unwanted body is read before its sender is answered, and for how long.
const PASSED_OVER_BYTES_MAX: usize = 256 * 1024;
const PASSED_OVER_TIME_MAX: Duration = Duration::from_secs(1);

/// A request's body, which comes back when it is no longer read.
pub(super) struct Lent {
    body: Option<Incoming>,
    rest: Option<oneshot::Sender<Incoming>>,
}

impl Lent {
    pub(super) fn new(body: Incoming, rest: oneshot::Sender<Incoming>) -> Self {
        Self { body: Some(body), rest: Some(rest) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(rest)) = (self.body.take(), self.rest.take())
            && !body.is_end_stream()
        {
            let _ = rest.send(body);
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// An answer's body that keeps something until it is sent or given up.
pub(super) struct Keeping<T> {
    pub(super) body: Body,
    pub(super) _kept: T,
}

impl<T: Unpin> HttpBody for Keeping<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads on for a moment, and says whether the body came to its end: if not, the connection ends,
/// and a client that is still sending may never see the answer.
pub(super) async fn pass_over(mut body: Incoming) -> bool {
    let reading = async {
        let mut left = PASSED_OVER_BYTES_MAX;
        while left > 0 {
            match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                Some(Ok(frame)) => {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len))
                }
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    };
    tokio::time::timeout(PASSED_OVER_TIME_MAX, reading).await.is_ok_and(|ended| ended)
}
