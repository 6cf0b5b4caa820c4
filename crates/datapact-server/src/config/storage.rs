//! A storage server's configuration.

use std::path::PathBuf;

use datapact_api::endpoint::Endpoint;
use serde::Deserialize;

use super::{Common, ServerConfig, check_registration_hours, registration_hours};
use crate::stores::ObjectsConfig;

/// A storage server's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageServerConfig {
    /// What every server has.
    pub server: Common,
    /// Management, which may ask what is stored.
    pub management: Endpoint,
    /// S3-compatible storage instead of a folder in `data`.
    #[serde(default)]
    pub objects: Option<ObjectsConfig>,
    /// The largest package, in bytes; 1 TiB if not given.
    #[serde(default = "package_bytes_max")]
    pub package_bytes_max: u64,
    /// What one provider may store, in bytes; 1 TiB if not given. An upload under way counts as it
    /// is announced.
    #[serde(default = "package_bytes_max")]
    pub provider_bytes_max: u64,
    /// How many hours a registration, filled or not, waits for a policy that names it: 24 if not
    /// given, 1 to 720.
    #[serde(default = "registration_hours")]
    pub registration_hours: u32,
}

fn package_bytes_max() -> u64 {
    1 << 40
}

impl ServerConfig for StorageServerConfig {
    fn common(&self) -> &Common {
        &self.server
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.server
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.objects.iter_mut().flat_map(ObjectsConfig::paths_mut).collect()
    }

    fn validate(&self) -> Result<(), String> {
        self.management.name().map_err(|e| format!("`management`: {e}"))?;
        check_registration_hours(self.registration_hours)?;
        self.objects.as_ref().map_or(Ok(()), ObjectsConfig::validate)
    }
}
