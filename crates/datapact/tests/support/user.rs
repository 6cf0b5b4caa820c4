//! Users of a site, as in-process clients of the SDK.

use std::io::Write;
use std::sync::{Arc, Mutex};

use datapact_api::client::Http;
use datapact_api::key_server::KeyServer;
use datapact_api::management::{NewInvitation, Role};
use datapact_api::storage_server::StorageServer;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_client::ca::{Ca, Kind as CertificateKind};
use datapact_client::invitation::Invitation;
use datapact_client::key_file::PrivateKey;
use datapact_client::open::{OpenOptions, Opened, Output, Target};
use datapact_client::provider::{CreateShare, SetShare};
use datapact_client::{
    Administrator, ClientError, Consumer, Home, Profile, ProgressSink, Provider, Session, join,
    no_progress,
};
use datapact_core::contract::Attributes;
use datapact_core::document::AccessRequest;
use datapact_core::id::{Digest, ShareId};
use datapact_core::jws::Signed;
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::terms::Terms;
use datapact_log::clock::system_clock;

use super::{DAY, Site, now};

/// The users of a site.
impl Site {
    pub fn home(&self) -> Home {
        Home::locate(Some(self.file("home"))).unwrap()
    }

    pub fn ca(&self, realm: &str) -> Ca {
        Ca::open(&self.file(&format!("ca/{realm}")), None).unwrap()
    }

    /// The profile of a user who has joined.
    pub fn profile(&self, name: &str) -> Profile {
        Profile::load(&self.home(), name, None).unwrap()
    }

    pub fn user(&self, name: &str) -> User {
        User::connect(self.profile(name))
    }

    /// Certifies a new user by the realm's CA, and lets it join.
    pub async fn enrol(&self, admin: &Session, name: &str, realm: &str, role: Role) -> User {
        let attributes = Attributes {
            organisation: Some(realm.parse().unwrap()),
            industry: Some("isic4:72".parse().unwrap()),
            country: Some("DE".parse().unwrap()),
        };
        let invitation = NewInvitation { realm: realm.to_owned(), role, attributes, seconds: 3600 };
        let administrator = Administrator::new(admin.clone());
        let (invitation, _) = administrator.invitation(&invitation).await.unwrap();
        let invitation = Invitation::check(invitation, None).unwrap();
        let home = self.home();
        let subject = format!("CN={name}").parse().unwrap();
        let prepared = join::prepare(&home, name, &invitation, &subject, None).unwrap();
        let certificate =
            self.ca(realm).issue(&prepared.request_pem, &CertificateKind::User, 30 * DAY).unwrap();
        join::join(&home, name, certificate.as_bytes(), None).await.unwrap();
        self.user(name)
    }
}

/// A user, with its own connections to each server.
#[derive(Clone)]
pub struct User {
    pub session: Session,
    pub key_server: Arc<dyn KeyServer>,
    pub storage_server: Arc<dyn StorageServer>,
}

impl User {
    pub fn connect(profile: Profile) -> Self {
        let tls = tls(&profile);
        let http = |endpoint| {
            Http::new(endpoint, tls.clone(), Some(profile.signer().clone()), system_clock())
        };
        let enrolment = profile.enrolment();
        let key_server = Arc::new(http(&enrolment.key_servers[0]).unwrap());
        let storage_server = Arc::new(http(&enrolment.storage_servers[0]).unwrap());
        Self { key_server, storage_server, session: Session::connect(profile).unwrap() }
    }

    pub fn provider(&self) -> Provider {
        Provider::new(self.session.clone())
    }

    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.session.clone())
    }

    /// A new, signed access request.
    pub fn request(&self, share: ShareId, policy: Digest) -> Signed<AccessRequest> {
        let profile = self.session.profile();
        let body = AccessRequest { share, policy, purpose: None };
        profile.signer().sign(&profile.enrolment().ledger.id, now(), body)
    }

    /// Opens a share; what came out, and what shows that it was rightly so.
    pub async fn open(&self, share: ShareId) -> Result<(Vec<u8>, Opened), ClientError> {
        let sink = Sink::default();
        let output = Output::Stream(Box::new(sink.clone()));
        let (target, options) = (Target::Share(share), OpenOptions::default());
        let opened =
            self.consumer().open(&target, &options, &|_| Ok(()), output, no_progress()).await?;
        let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
        Ok((bytes, opened))
    }

    /// Shares `data` with everybody, `times` times each.
    pub async fn share(
        &self,
        title: &str,
        data: &[u8],
        times: AccessTimes,
    ) -> Result<SetShare, ClientError> {
        self.share_telling(title, data, times, no_progress()).await
    }

    /// The same, telling of its progress.
    pub async fn share_telling(
        &self,
        title: &str,
        data: &[u8],
        times: AccessTimes,
        progress: ProgressSink,
    ) -> Result<SetShare, ClientError> {
        let create = CreateShare {
            title: title.to_owned(),
            media_type: "application/octet-stream".to_owned(),
            categories: Vec::new(),
            introduction: String::new(),
            usage: String::new(),
            price: None,
            terms: Terms { anyone: true, ..Terms::default() },
            permission: AccessPermission {
                access_times: times,
                not_before: now() - 60,
                expires: now() + 30 * DAY.as_secs(),
                read_only: true,
            },
            key_server: None,
            storage_server: None,
            desensitization: None,
        };
        let input = Box::new(std::io::Cursor::new(data.to_vec()));
        self.provider().create_share(input, create, progress).await
    }
}

/// TLS as the user of `profile` speaks it.
pub fn tls(profile: &Profile) -> rustls::ClientConfig {
    let key = PrivateKey::load(&profile.folder().join("key.pem"), None).unwrap();
    let trust =
        ReloadableTrust::load(&profile.folder().join("../../../servers/trust.toml")).unwrap();
    client_config(trust, Some((profile.signer().chain().to_vec(), key.for_tls()))).unwrap()
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
