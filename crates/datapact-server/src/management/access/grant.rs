//! What a recorded access gives its consumer (PM-1, PM-2, AX-5 to AX-11): token and requested
//! permission. Both are made for each answer, and neither lives longer than the record allows.

use datapact_api::management::{AccessGrant, Account};
use datapact_api::problem::Problem;
use datapact_core::commitment::Opening;
use datapact_core::contract::{AccessRecord, RequestedPermission};
use datapact_core::id::Digest;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_core::token::{AccessToken, Confirmation};

use super::AccessService;
use crate::called::Called;
use crate::management::failure::Result;

/// An access as it is recorded, with what opens its record.
pub(super) struct GrantedAccess {
    pub(super) position: u64,
    pub(super) record: AccessRecord,
    pub(super) consumer: Opening,
    /// The policy that the record names.
    pub(super) policy: Option<Signed<SharingPolicy>>,
}

impl Called<AccessService> {
    /// The grant of an access to the caller, who holds `account`.
    pub(super) fn grant(&self, account: &Account, access: GrantedAccess) -> Result<AccessGrant> {
        let GrantedAccess { position, record, consumer, policy } = access;
        let request = &record.request;
        let missing =
            || Problem::internal(format!("the policy {} of an access is missing", request.policy));
        let policy = policy.ok_or_else(missing)?;
        let permission =
            RequestedPermission::of(policy.body(), policy.id(), &record).ok_or_else(missing)?;
        let gone = |name: &str| {
            Problem::not_found(format!("the {name} of this share is no longer configured here"))
                .hint("ask the provider for a new version of the policy")
        };
        let key_server = self.peers.key_server(&permission.key.address);
        let key_server = key_server.ok_or_else(|| gone("key server"))?;
        let storage_server = self.peers.storage_server(&permission.package.address);
        let storage_server = storage_server.ok_or_else(|| gone("storage server"))?;
        let contract = self.submit.address(&request.share);
        let certificate = self.caller.peer.chain.first().map(AsRef::as_ref).unwrap_or_default();
        let token = AccessToken {
            iss: self.issuer.name().to_owned(),
            sub: account.id,
            aud: key_server.name.clone(),
            client_id: account.id,
            // The record's time, not the answer's: a late repeat gives the token no more life.
            iat: record.time,
            exp: record.time.saturating_add(self.issuer.seconds()),
            // A repeat for the same certificate is the same token.
            jti: Digest::of(&[request.request.as_bytes().as_slice(), certificate].concat()),
            cnf: Confirmation::of(certificate),
            share: request.share,
            key: permission.key.id,
            package: permission.package.id,
            contract: contract.clone(),
            request: request.request,
            position,
            salt: consumer.salt,
        };
        Ok(AccessGrant {
            token: self.issuer.sign(&token),
            permission,
            policy,
            contract,
            position,
            record,
            consumer,
            key_server_certificate: key_server.pem(),
            storage_server_certificate: storage_server.pem(),
        })
    }
}
