//! Token management and access permission management (MG-16, PM-1, PM-2, AX-5 to AX-11): what a
//! recorded access gives its consumer. It is made anew for each answer and never gives more life
//! than the record allows.

use datapact_api::management::{AccessGrant, Account};
use datapact_api::problem::Problem;
use datapact_core::commitment::Opening;
use datapact_core::contract::{AccessRecord, RequestedPermission};
use datapact_core::id::Digest;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_core::token::{AccessToken, Confirmation, Jwks};

use super::failure::Result;
use super::{Server, Session, policies};

impl Session {
    /// The grant of an access of the caller, under the policy that its record names.
    pub(super) fn grant(
        &self,
        account: &Account,
        position: u64,
        record: AccessRecord,
        consumer: Opening,
        policy: Option<Signed<SharingPolicy>>,
    ) -> Result<AccessGrant> {
        let server = &self.service;
        let request = &record.request;
        let missing = || {
            Problem::internal(format!("the policy {} of an access is not there", request.policy))
        };
        let policy = policy.ok_or_else(missing)?;
        let permission =
            RequestedPermission::of(policy.body(), policy.id(), &record).ok_or_else(missing)?;
        let gone = |name: &str| {
            Problem::not_found(format!("the {name} of this share is no longer configured here"))
                .hint("ask the provider for a new version of the policy")
        };
        let key_server = policies::find(&server.key_servers, &permission.key.address)
            .ok_or_else(|| gone("key server"))?;
        let storage_server = policies::find(&server.storage_servers, &permission.package.address)
            .ok_or_else(|| gone("storage server"))?;
        let contract = server.ledger.address(&request.share);
        let certificate = self.caller.peer.chain.first().map(AsRef::as_ref).unwrap_or_default();
        let token = AccessToken {
            iss: server.name.clone(),
            sub: account.id,
            aud: key_server.name.clone(),
            client_id: account.id,
            iat: record.time,
            exp: record.time.saturating_add(server.token_seconds),
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
            token: server.token.sign(&token),
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

impl Server {
    /// The keys that tokens are signed with.
    pub(super) fn jwks(&self) -> Jwks {
        Jwks { keys: vec![self.token.jwk().clone()] }
    }
}
