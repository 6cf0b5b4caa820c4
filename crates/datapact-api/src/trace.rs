//! One piece of work over several servers: its trace, told from call to call by the header
//! `traceparent` (W3C Trace Context). A trace's identifiers are random and name no person.

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use datapact_core::id::random;

/// The header.
pub const HEADER: &str = "traceparent";

/// A trace, and the step of it that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace: [u8; 16],
    /// The step, a span of the caller.
    pub span: [u8; 8],
    /// Whether the caller wants it recorded, and what else the W3C will find to say.
    pub flags: u8,
}

/// Not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a traceparent of the W3C: `00-`, 32, 16 and 2 lower-case hexadecimal digits, joined by `-`"
)]
pub struct NotATraceparent;

impl Traceparent {
    /// A new trace, to be recorded where traces are.
    pub fn random() -> Self {
        Self { trace: random(), span: random(), flags: 1 }
    }
}

impl FromStr for Traceparent {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let mut parts = text.split('-');
        let (Some(version), Some(trace), Some(span), Some(flags)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotATraceparent);
        };
        let [version] = hexadecimal(version)?;
        let found = Self {
            trace: hexadecimal(trace)?,
            span: hexadecimal(span)?,
            flags: hexadecimal::<1>(flags)?[0],
        };
        // Later versions may have more parts; 255 is none.
        let whole = version == 0 && parts.next().is_none() || (1..255).contains(&version);
        let named = found.trace != [0; 16] && found.span != [0; 8];
        if whole && named { Ok(found) } else { Err(NotATraceparent) }
    }
}

fn hexadecimal<const N: usize>(text: &str) -> Result<[u8; N], NotATraceparent> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(NotATraceparent);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| NotATraceparent)?;
    Ok(bytes)
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", hex::encode(self.trace), hex::encode(self.span), self.flags)
    }
}

tokio::task_local! {
    static CURRENT: Traceparent;
}

/// Does `work`, whose calls to servers all tell `parent`.
pub async fn within<F: Future>(parent: Traceparent, work: F) -> F::Output {
    CURRENT.scope(parent, work).await
}

/// Does `work` within the trace there is, else within a new one.
pub async fn traced<F: Future>(work: F) -> F::Output {
    within(current().unwrap_or_else(Traceparent::random), work).await
}

/// What the calls of this task tell.
pub fn current() -> Option<Traceparent> {
    CURRENT.try_with(|current| *current).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_w3c_says() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = text.parse::<Traceparent>();
        assert_eq!(read.map(|read| read.to_string()), Ok(text.to_owned()));
        let later = format!("cc{}-what-the-future-brings", &text[2..]);
        assert_eq!(later.parse(), read);
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(wrong.parse::<Traceparent>(), Err(NotATraceparent), "{wrong}");
        }
        assert_ne!(Traceparent::random(), Traceparent::random());
    }

    #[tokio::test]
    async fn a_trace_that_was_begun_goes_on() {
        assert_eq!(current(), None);
        traced(async {
            let begun = current();
            assert!(begun.is_some());
            traced(async { assert_eq!(current(), begun) }).await;
        })
        .await;
    }
}
