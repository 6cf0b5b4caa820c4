//! One access: asked of the contract, checked against policy and ledger, and its key released.

use datapact_api::key_server::ReleaseKey;
use datapact_api::management::AccessGrant;
use datapact_core::contract::{Call, REQUEST_AGE_SECONDS_MAX, RequestedPermission};
use datapact_core::document::{AccessRequest, KeyRequest};
use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::package::DataKey;
use datapact_core::permission::AccessTimes;
use datapact_core::policy::SharingPolicy;
use datapact_core::release::Recipient;
use datapact_core::terms::{Name, Terms};

use crate::consumer::Consumer;
use crate::enrolment::chain_of;
use crate::error::{ClientError, Result};
use crate::proof::{Proven, prove};
use crate::session::retry;
use crate::work::{Job, Work};

/// A granted access, checked.
pub(super) struct Access {
    pub(super) work: Work,
    pub(super) request: Signed<AccessRequest>,
    pub(super) repeated: bool,
    pub(super) grant: AccessGrant,
    call: Call,
}

impl Consumer {
    /// A request of an earlier run, for this very policy version and purpose, that may still be
    /// repeated.
    pub(super) fn pending(
        &self,
        policy: &Signed<SharingPolicy>,
        purpose: Option<&Name>,
    ) -> Result<Option<(Work, Signed<AccessRequest>)>> {
        let (now, own) = (self.session.now(), self.session.profile().identity());
        let of_this = |request: &Signed<AccessRequest>| {
            let body = request.body();
            (body.share, body.policy, body.purpose.as_ref())
                == (policy.body().share, policy.id(), purpose)
                && request.signer() == own
                && now.saturating_sub(request.document().time) < REQUEST_AGE_SECONDS_MAX
        };
        let wanted =
            |job: Option<&Job>| matches!(job, Some(Job::Access { request }) if of_this(request));
        for work in Work::abandoned(&self.session.state()?, wanted)? {
            if let Some(Job::Access { request }) = work.job()? {
                return Ok(Some((work, request)));
            }
        }
        Ok(None)
    }

    /// Asks the contract for one access and checks what it is given.
    pub(super) async fn access(
        &self,
        policy: &Signed<SharingPolicy>,
        purpose: Option<&Name>,
        pending: Option<(Work, Signed<AccessRequest>)>,
    ) -> Result<Access> {
        let session = &self.session;
        let repeated = pending.is_some();
        let (work, request) = match pending {
            Some(pending) => pending,
            None => {
                let body = AccessRequest {
                    share: policy.body().share,
                    policy: policy.id(),
                    purpose: purpose.cloned(),
                };
                let request =
                    session.profile().signer().sign(session.ledger(), session.now(), body);
                let work = Work::begin(&session.state()?)?;
                work.save(&Job::Access { request: request.clone() })?;
                (work, request)
            }
        };
        match retry(|| session.management.request_access(&request)).await {
            Ok(grant) => {
                let call = self.check_grant(&grant, &request, policy)?;
                Ok(Access { work, request, repeated, grant, call })
            }
            Err(error) if error.is_temporary() => Err(error),
            Err(error) => {
                work.finish()?;
                Err(error)
            }
        }
    }

    /// The grant is just what the policy permits for the record, the record is of this very
    /// request, and nothing leads to other servers. Returns the call that the ledger must
    /// hold.
    fn check_grant(
        &self,
        grant: &AccessGrant,
        request: &Signed<AccessRequest>,
        policy: &Signed<SharingPolicy>,
    ) -> Result<Call> {
        let wrong = |what: &str| {
            ClientError::untrusted(format!(
                "management grants something else than asked for: {what}"
            ))
        };
        if grant.policy.id() != policy.id() {
            return Err(wrong("another policy"));
        }
        let record = &grant.record;
        // Only whether a kind is restricted matters here; commitments to other users are not this
        // user's to open.
        let terms = &policy.body().terms;
        let terms = Terms {
            anyone: terms.anyone,
            organisations: terms.organisations.clone(),
            industries: terms.industries.clone(),
            countries: terms.countries.clone(),
            purposes: terms.purposes.clone(),
            ..Terms::default()
        };
        let call = Call::of_request(request, &grant.consumer, &record.request.attributes(), &terms)
            .map_err(|e| wrong(&e.to_string()))?;
        if call != Call::RequestAccess(record.request.clone()) {
            return Err(wrong("the record is of another request"));
        }
        let times_ok = match policy.body().permission.access_times {
            AccessTimes::Times(times) => (1..=times).contains(&record.access),
            AccessTimes::Unlimited => record.access >= 1,
        };
        if !times_ok
            || RequestedPermission::of(policy.body(), policy.id(), record).as_ref()
                != Some(&grant.permission)
        {
            return Err(wrong("another permission than the policy gives"));
        }
        let (key_server, _) = self.session.key_server_of(&grant.permission.key.address)?;
        let (storage_server, _) =
            self.session.storage_server_of(&grant.permission.package.address)?;
        let trust = self.session.profile().trust();
        for (pem, name) in [
            (&grant.key_server_certificate, key_server.name()?),
            (&grant.storage_server_certificate, storage_server.name()?),
        ] {
            let chain =
                chain_of(pem.as_bytes()).map_err(|_| wrong("a server without a certificate"))?;
            trust.identify_server(&chain, name, self.session.now())?;
        }
        Ok(call)
    }

    pub(super) async fn prove(&self, access: &Access) -> Result<Proven> {
        let proven = prove(&self.session, access.grant.position, &access.call).await?;
        if proven.time != access.grant.record.time {
            return Err(ClientError::untrusted(
                "management gives another time than the ledger's for the record",
            ));
        }
        Ok(proven)
    }

    /// Gets the key, released to a key pair made for this answer (DC-6).
    pub(super) async fn key(&self, access: &Access) -> Result<(DataKey, Digest)> {
        let session = &self.session;
        let reference = &access.grant.permission.key;
        let (endpoint, server) = session.key_server_of(&reference.address)?;
        let name = endpoint.name()?;
        let recipient = Recipient::generate();
        let body = KeyRequest {
            token: Digest::of(access.grant.token.as_bytes()),
            request: access.request.id(),
            key: reference.id,
            recipient: recipient.public(),
        };
        let key_request = session.profile().signer().sign(name, session.now(), body);
        let release = ReleaseKey {
            token: access.grant.token.clone(),
            request: access.request.clone(),
            key_request: key_request.clone(),
        };
        let released = retry(|| server.release(&reference.id, &release)).await?;
        let statement = &released.release;
        statement.verify(&session.profile().trust(), session.ledger(), session.now())?;
        let body = statement.body();
        let same = *statement.signer() == Identity::server(name)
            && (body.share, body.key) == (access.request.body().share, reference.id)
            && (body.request, body.key_request) == (access.request.id(), key_request.id())
            && body.sealed == released.sealed.digest();
        if !same {
            return Err(ClientError::untrusted(
                "the key server states another release than asked for",
            ));
        }
        let key =
            recipient.open(&key_request.id(), &released.sealed).map_err(ClientError::untrusted)?;
        Ok((DataKey::from_bytes(*key), statement.id()))
    }
}
