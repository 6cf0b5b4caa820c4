//! A package on its way.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::operation::Argument;

/// A stream of a package's bytes.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

impl Argument<'_> for ByteStream {
    type Read = Self;
    fn of(read: &mut Self) -> Self {
        std::mem::replace(read, stream::empty().boxed())
    }
}
