//! The rules themselves.

use super::{Call, Outcome, Refusal, Values};
use crate::id::Timestamp;

/// Every state key that `call` may read or write.
pub fn keys(call: &Call) -> Vec<String> {
    match call {
        Call::SetPolicy(set) => vec![format!("share/{}", set.share)],
        Call::RequestAccess(request) => vec![
            format!("share/{}", request.share),
            format!("counter/{}/{}", request.share, request.consumer),
            format!("access/{}", request.request),
        ],
        Call::RecordUsage(usage) => {
            vec![format!("access/{}", usage.request), format!("usage/{}", usage.report)]
        }
    }
}

/// Decides `call` at `time` on the state that [`keys`] named.
pub fn decide(_call: &Call, _values: &Values, _time: Timestamp) -> Result<Outcome, Refusal> {
    Err(Refusal::UnknownShare)
}
