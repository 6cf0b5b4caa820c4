//! A policy for a package that is still to be sealed.

use datapact_api::storage_server::PackageAddress;
use datapact_core::id::{Digest, ShareId};
use datapact_core::package::Sealed;
use datapact_core::permission::{KeyReference, PackageReference};
use datapact_core::policy::desensitization::Desensitization;
use datapact_core::policy::{PolicyError, ShareState, SharingInformation, SharingPolicy};

use super::CreateShare;

/// A policy whose package is registered and not sealed, so that its digest and size are unknown.
pub(crate) struct Draft {
    policy: SharingPolicy,
}

impl Draft {
    /// What `policy` makes for the package at `address`.
    ///
    /// # Errors
    /// When the policy could not be set, whatever the package will be.
    pub(crate) fn new(
        address: PackageAddress,
        policy: impl FnOnce(PackageReference) -> SharingPolicy,
    ) -> Result<Self, PolicyError> {
        let PackageAddress { id, address } = address;
        // Digest and size are replaced by `finish`, and read by nothing before. Those of the
        // shortest package let all else be checked before the data is read.
        let package = PackageReference { id, address, digest: Digest::of(&[0]), size: 1 };
        let policy = policy(package);
        policy.validate()?;
        Ok(Self { policy })
    }

    /// The first policy of a new share.
    pub(super) fn first(
        create: CreateShare,
        key: KeyReference,
        package: PackageAddress,
    ) -> Result<Self, PolicyError> {
        Self::new(package, |package| SharingPolicy {
            share: ShareId::random(),
            version: 1,
            previous: None,
            state: ShareState::Active,
            information: SharingInformation {
                package,
                key,
                title: create.title,
                media_type: create.media_type,
                categories: create.categories,
                introduction: create.introduction,
                usage: create.usage,
                price: create.price,
                // KnownEnrolment once all is read.
                desensitization: None,
            },
            terms: create.terms,
            permission: create.permission,
        })
    }

    /// The share.
    pub(super) fn share(&self) -> ShareId {
        self.policy.share
    }

    /// The key that the package is sealed under.
    pub(super) fn key(&self) -> &KeyReference {
        &self.policy.information.key
    }

    /// Where the package is registered.
    pub(super) fn package(&self) -> PackageAddress {
        let package = &self.policy.information.package;
        PackageAddress { id: package.id, address: package.address.clone() }
    }

    /// The media type of the data.
    pub(super) fn media_type(&self) -> &str {
        &self.policy.information.media_type
    }

    /// The policy for the sealed package.
    ///
    /// # Errors
    /// When it is not valid with this package or desensitization.
    pub(super) fn finish(
        self,
        sealed: &Sealed,
        desensitization: Option<Desensitization>,
    ) -> Result<SharingPolicy, PolicyError> {
        let mut policy = self.policy;
        policy.information.package.digest = sealed.metadata.id();
        policy.information.package.size = sealed.size;
        if desensitization.is_some() {
            policy.information.desensitization = desensitization;
        }
        policy.validate()?;
        Ok(policy)
    }
}
