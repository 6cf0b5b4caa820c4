//! The site that is attacked, its users, and everything that bad input must not change.

use std::sync::Arc;

use datapact_api::endpoint::Endpoint;
use datapact_api::management::Role;
use datapact_api::operation::Page;
use datapact_api::public::Health;
use datapact_client::provider::SetShare;
use datapact_core::document::Body;
use datapact_core::id::{Digest, ShareId};
use datapact_core::jws::{Signed, Signer};
use datapact_core::permission::AccessTimes;

use crate::calls::{Raw, get};
use crate::support::user::tls;
use crate::support::{ROLES, Site, User, data, now};

/// One user at all three servers.
pub(crate) struct Actor {
    pub(crate) user: User,
    pub(crate) signer: Arc<Signer>,
    pub(crate) ledger: String,
    pub(crate) management: Raw,
    pub(crate) key: Raw,
    pub(crate) storage: Raw,
}

impl Actor {
    pub(crate) fn new(user: User) -> Self {
        let (signer, ledger, [management, key, storage]) = {
            let profile = user.session.profile();
            let raw =
                |endpoint| Raw::new(endpoint, tls(profile), Some(Arc::clone(profile.signer())));
            let enrolment = profile.enrolment();
            let raws = [
                raw(&enrolment.management),
                raw(&enrolment.key_servers[0]),
                raw(&enrolment.storage_servers[0]),
            ];
            (Arc::clone(profile.signer()), enrolment.ledger.id.clone(), raws)
        };
        Self { user, signer, ledger, management, key, storage }
    }

    pub(crate) fn servers(&self) -> [&Raw; 3] {
        [&self.management, &self.key, &self.storage]
    }

    pub(crate) fn sign<B: Body>(&self, body: B) -> Signed<B> {
        self.signer.sign(&self.ledger, now(), body)
    }
}

/// Everything that bad input must not change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    ledger: u64,
    shares: Vec<(ShareId, Digest, u64)>,
    accounts: usize,
    keys: Vec<String>,
    policies: Vec<String>,
    pub(crate) releases: Vec<String>,
    packages: Vec<String>,
    pub(crate) files: Vec<String>,
}

/// A site with two providers, two consumers, and a share of the first provider.
pub(crate) struct World {
    pub(crate) site: Site,
    admin: User,
    pub(crate) clinic: Actor,
    pub(crate) rival: Actor,
    pub(crate) lab: Actor,
    pub(crate) overseas: Actor,
    pub(crate) set: SetShare,
    plain: Vec<u8>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let site = Site::start();
        let admin = site.user("admin");
        let rival = site.enrol(&admin.session, "rival", "clinic", Role::Provider).await;
        let actor = |name| Actor::new(site.user(name));
        let (clinic, lab, overseas) = (actor("clinic"), actor("lab"), actor("lab-overseas"));
        let plain = data(8, 50_000);
        let set = clinic.user.share("coveted", &plain, AccessTimes::Times(2)).await.unwrap();
        Self { admin, clinic, rival: Actor::new(rival), lab, overseas, set, plain, site }
    }

    pub(crate) async fn state(&self) -> State {
        let mut shares = Vec::new();
        for provider in [&self.clinic, &self.rival] {
            let own = provider.user.provider().shares().await.unwrap();
            shares.extend(own.iter().map(|share| (share.policy.share, share.id, share.accesses)));
        }
        let mut files = self.site.package_files();
        files.sort();
        State {
            ledger: self.lab.user.session.info().await.unwrap().size,
            shares,
            accounts: self.admin.session.management().accounts(Page::first()).await.unwrap().len(),
            keys: self.site.stored_keys().await,
            policies: self
                .site
                .select("key", "SELECT policy FROM key_policy ORDER BY policy")
                .await,
            releases: self
                .site
                .select("key", "SELECT key_request FROM key_release ORDER BY key_request")
                .await,
            packages: self.site.stored_packages().await,
            files,
        }
    }

    /// Nothing has changed since `before`, every server is well, and who may access still does.
    pub(crate) async fn unharmed(self, before: State) {
        assert_eq!(self.state().await, before);
        for role in ROLES {
            assert!(self.site.runs(role));
            let config =
                std::fs::read_to_string(self.site.file(&format!("servers/{role}/{role}.toml")))
                    .unwrap();
            let (_, port) = config.split_once("public_listen = \"127.0.0.1:").unwrap();
            let port = port.split('"').next().unwrap();
            let name = format!("{role}.quickstart.test");
            let endpoint = Endpoint {
                url: format!("https://{name}:{port}"),
                connect: Some(format!("127.0.0.1:{port}").parse().unwrap()),
            };
            let public = Raw::new(&endpoint, anonymous(&self.site), None);
            let health: Health =
                serde_json::from_value(public.call(&get("/healthz")).json()).unwrap();
            assert_eq!((health.server, health.role.as_str()), (name, role));
        }
        let (bytes, opened) = self.lab.user.open(self.set.share).await.unwrap();
        assert!(bytes == self.plain);
        assert_eq!(opened.permission.access, 1);
        let audit = self.clinic.user.provider().audit(&self.set.share).await.unwrap();
        assert!(audit.good, "{:?}", audit.findings);
    }
}

/// TLS without a client certificate.
pub(crate) fn anonymous(site: &Site) -> rustls::ClientConfig {
    let trust =
        datapact_api::trust_file::ReloadableTrust::load(&site.file("servers/trust.toml")).unwrap();
    datapact_api::tls::client_config(trust, None).unwrap()
}
