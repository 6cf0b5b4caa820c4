//! Uploads of packages, whole or in parts.

use datapact_core::id::PackageId;
use serde::{Deserialize, Serialize};

use super::{ByteStream, PackageStatus};
use crate::operation::operations;

operations! {
    /// Uploads of packages.
    pub trait Uploads {
        /// Store a package.
        ///
        /// (DS-1.) Nothing is stored unless all `size` bytes arrive and their metadata is the
        /// caller's, for this identifier. A repeat of the same bytes answers the same; others are
        /// refused.
        put "/v1/packages/{id}" for Owner;
        fn upload(path id: &PackageId, length size: u64, octets bytes: ByteStream)
            -> PackageStatus as Json;

        /// How much of an upload in parts has arrived.
        ///
        /// What may still be arriving is ended first, so that the answer stays true.
        get "/v1/packages/{id}/upload" for Owner;
        fn upload_offset(path id: &PackageId) -> UploadOffset as Json;

        /// Go on with an upload in parts.
        ///
        /// At `part.offset`, which must be the offset that the upload has reached. What arrives is
        /// kept, also when the connection is cut. With the last byte the package is stored as
        /// [`Uploads::upload`] does it; before that, the status says that it is not.
        patch "/v1/packages/{id}/upload" for Owner;
        fn append(path id: &PackageId, part part: &Part, octets bytes: ByteStream)
            -> PackageStatus as Json;
    }
}

/// Where a part of an upload belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The first byte of the part.
    pub offset: u64,
    /// How many bytes the whole package has.
    pub size: u64,
}

/// How much of a package has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadOffset {
    /// The bytes that are kept; where to go on.
    pub offset: u64,
    /// Whether the package is stored already; there is nothing to go on with then.
    pub stored: bool,
}
