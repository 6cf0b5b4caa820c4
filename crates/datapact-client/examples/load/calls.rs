//! What is called: everything is signed here, before it is sent, and verified here, after it has
//! come.

use std::sync::Arc;
use std::time::SystemTime;

use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::{ReleaseKey, ReleasedKey};
use datapact_api::management::{AccessGrant, Purpose};
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_client::key_file::PrivateKey;
use datapact_client::{Home, Profile, Session};
use datapact_core::document::{AccessRequest, KeyRequest, Statement};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::release::Recipient;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use crate::wire::{Answer, Connection, Prepared};
use crate::{Failure, Result};

/// A consumer, and the share that it accesses.
pub(crate) struct Client {
    profile: Profile,
    tls: Arc<rustls::ClientConfig>,
    share: ShareId,
    policy: Digest,
    key_server: Endpoint,
}

/// What opens the answer to a redemption.
pub(crate) struct Redemption {
    recipient: Recipient,
    request: Digest,
}

impl Client {
    pub(crate) async fn connect(home: &Home, share: &ShareId) -> Result<Self> {
        let load = || Profile::load(home, "lab", None);
        let session = Session::connect(load()?)?;
        let policy = session.management().catalog_entry(share, &Purpose::default()).await?.policy;
        let policy = policy.ok_or("management does not show the policy")?;
        let (key_server, _) = session.key_server_of(&policy.body().information.key.address)?;
        let profile = load()?;
        let key = PrivateKey::load(&profile.folder().join("key.pem"), None)?;
        let certificate = (profile.signer().chain().to_vec(), key.for_tls());
        let tls = client_config(ReloadableTrust::from_current(profile.trust()), Some(certificate))?;
        Ok(Self {
            profile,
            tls: Arc::new(tls),
            share: *share,
            policy: policy.id(),
            key_server: key_server.clone(),
        })
    }

    pub(crate) async fn connections_to_management(
        &self,
        count: usize,
    ) -> Result<Vec<Mutex<Connection>>> {
        connections(&self.profile.enrolment().management, &self.tls, count).await
    }

    pub(crate) async fn connections_to_key_server(
        &self,
        count: usize,
    ) -> Result<Vec<Mutex<Connection>>> {
        connections(&self.key_server, &self.tls, count).await
    }

    /// A connection that hears of publications from now on.
    pub(crate) async fn subscriber(&self) -> Result<Connection> {
        let management = &self.profile.enrolment().management;
        let mut connection = Connection::open(management, &self.tls).await?;
        connection.listen(&self.call(management, "GET", "/v1/publications", &[], 200)).await?;
        Ok(connection)
    }

    /// Calls that pass the gate and find nothing behind it.
    pub(crate) fn empty(&self, count: usize) -> Vec<Prepared> {
        let management = &self.profile.enrolment().management;
        (0..count).map(|_| self.call(management, "GET", "/v1/nothing", &[], 404)).collect()
    }

    /// Requests for access, each a new one.
    pub(crate) fn accesses(&self, count: usize) -> Vec<Prepared> {
        (0..count).map(|_| self.access().1).collect()
    }

    fn access(&self) -> (Signed<AccessRequest>, Prepared) {
        let body = AccessRequest { share: self.share, policy: self.policy, purpose: None };
        let enrolment = self.profile.enrolment();
        let request = self.profile.signer().sign(&enrolment.ledger.id, now(), body);
        let json = serde_json::to_vec(&SignedBody { document: &request }).unwrap_or_default();
        let call = self.call(&enrolment.management, "POST", "/v1/accesses", &json, 200);
        (request, call)
    }

    /// Whether the answer to a request for access grants it.
    pub(crate) fn granted(&self, answer: &Answer) -> Result<()> {
        let grant: AccessGrant = serde_json::from_slice(&answer.body)?;
        if grant.policy.id() == self.policy {
            Ok(())
        } else {
            Err("another policy was granted".into())
        }
    }

    /// Redemptions of new accesses, which are made over `management`, of each `releases`.
    pub(crate) async fn redemptions(
        &self,
        management: &[Mutex<Connection>],
        count: usize,
        releases: usize,
    ) -> Result<(Vec<Prepared>, Vec<Redemption>)> {
        let wanted = count.div_ceil(releases);
        let accesses: Vec<_> = (0..wanted).map(|_| self.access()).collect();
        let share = wanted.div_ceil(management.len()).max(1);
        let granted = management.iter().zip(accesses.chunks(share)).map(
            |(connection, accesses)| async move {
                let mut connection = connection.lock().await;
                let mut granted = Vec::with_capacity(accesses.len());
                for (i, (request, call)) in accesses.iter().enumerate() {
                    let answer = connection.call(i, call).await?;
                    let grant: AccessGrant =
                        serde_json::from_slice(&answer.body).map_err(|_| answer.text())?;
                    granted.push((request, grant));
                }
                Ok::<_, Failure>(granted)
            },
        );
        let granted: Vec<_> = try_join_all(granted).await?.into_iter().flatten().collect();
        // The calls that follow each other redeem different accesses.
        let all = (0..releases).flat_map(|_| &granted).take(count);
        let (mut calls, mut redemptions) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (request, grant) in all {
            let (call, redemption) = self.redemption(request, grant)?;
            calls.push(call);
            redemptions.push(redemption);
        }
        Ok((calls, redemptions))
    }

    fn redemption(
        &self,
        request: &Signed<AccessRequest>,
        grant: &AccessGrant,
    ) -> Result<(Prepared, Redemption)> {
        let key = grant.permission.key.id;
        let recipient = Recipient::generate();
        let body = KeyRequest {
            token: Digest::of(grant.token.as_bytes()),
            request: request.id(),
            key,
            recipient: recipient.public(),
        };
        let key_request = self.profile.signer().sign(self.key_server.name()?, now(), body);
        let redemption = Redemption { recipient, request: key_request.id() };
        let ask = ReleaseKey { token: grant.token.clone(), request: request.clone(), key_request };
        let json = serde_json::to_vec(&ask)?;
        Ok((
            self.call(&self.key_server, "POST", &format!("/v1/keys/{key}/release"), &json, 200),
            redemption,
        ))
    }

    fn call(
        &self,
        server: &Endpoint,
        method: &str,
        target: &str,
        body: &[u8],
        wanted: u16,
    ) -> Prepared {
        let content = (!body.is_empty()).then(|| Digest::of(body));
        let said = Statement { method: method.to_owned(), target: target.to_owned(), content };
        let name = server.name().unwrap_or_default();
        let statement = self.profile.signer().sign(name, now(), said);
        Prepared::new(name, method, target, statement.as_str(), body, wanted)
    }
}

/// A JSON body with a signed document.
#[derive(serde::Serialize)]
struct SignedBody<'a> {
    document: &'a Signed<AccessRequest>,
}

impl Redemption {
    /// Whether the answer holds the key, for this request.
    pub(crate) fn opens(&self, answer: &Answer) -> Result<()> {
        let released: ReleasedKey = serde_json::from_slice(&answer.body)?;
        self.recipient.open(&self.request, &released.sealed)?;
        Ok(())
    }
}

async fn connections(
    endpoint: &Endpoint,
    tls: &Arc<rustls::ClientConfig>,
    count: usize,
) -> Result<Vec<Mutex<Connection>>> {
    let open = (0..count).map(|_| Connection::open(endpoint, tls));
    Ok(try_join_all(open).await?.into_iter().map(Mutex::new).collect())
}

fn now() -> Timestamp {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
