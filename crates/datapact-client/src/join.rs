//! Enrolment (PR-10, US-1, US-4), in two steps: key and certificate request are made here, the CA's
//! operator signs the request, and with the certificate the user joins. Both steps can be repeated.

use std::fs;
use std::path::{Path, PathBuf};

use datapact_api::management::Account;
use datapact_core::enrolment::Change;
use datapact_core::id::Digest;
use datapact_core::identity::{Identity, SERVER_REALM};
use datapact_core::jws::Signer;
use datapact_core::trust;
use serde::Serialize;

use crate::enrolment::chain_of;
use crate::error::{ClientError, Result};
use crate::home::{Home, PROFILE, make_folder, read_file, read_json, write_file, write_json};
use crate::invitation::Invitation;
use crate::key_file::PrivateKey;
use crate::profile::{CERTIFICATE, ENROLMENT, KEY, Profile, ProfileFile};
use crate::session::Session;
use crate::subject::Subject;

const INVITATION: &str = "invitation.json";
const REQUEST: &str = "request.csr";

/// What there is after the first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// The profile.
    pub profile: String,
    /// The certificate request, to be sent to the operator of one's CA.
    pub request: PathBuf,
    /// Its text, PEM.
    pub request_pem: String,
    /// The realms whose CAs are admitted.
    pub realms: Vec<String>,
    /// Whether the private key was there already.
    pub key_existed: bool,
    /// Who invites; none if management does by its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inviter: Option<Identity>,
    /// The enrolment's fingerprint, to be compared with the administrator's.
    pub fingerprint: Digest,
    /// What the profile trusts from now on.
    pub trusted: Vec<Change>,
}

/// What there is after the second step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The profile.
    pub profile: String,
    /// The account.
    pub account: Account,
    /// Whether the profile is now the current one.
    pub current: bool,
}

/// The first step: keeps the invitation in the profile `name`, makes a private key and a request
/// for a certificate with `subject` (`CN=Ann,O=Clinic`). A repeat keeps the key.
///
/// # Errors
/// When the profile has joined already, or the subject cannot be one.
pub fn prepare(
    home: &Home,
    name: &str,
    invitation: &Invitation,
    subject: &Subject,
    passphrase: Option<&str>,
) -> Result<Prepared> {
    let folder = home.profile_folder(name)?;
    if folder.join(PROFILE).exists() {
        return Err(ClientError::usage(
            format!("the profile `{name}` has joined already"),
            "choose another name with `--profile`",
        ));
    }
    make_folder(home.path())?;
    make_folder(&folder)?;
    write_json(&folder.join(INVITATION), &invitation.file)?;
    let key_path = folder.join(KEY);
    let key_existed = key_path.exists();
    let key = if key_existed {
        PrivateKey::load(&key_path, passphrase)?
    } else {
        let key = PrivateKey::generate()?;
        key.save(&key_path, passphrase)?;
        key
    };
    let request_pem = key.request(subject)?;
    let request = folder.join(REQUEST);
    write_file(&request, request_pem.as_bytes())?;
    let enrolment = invitation.known().enrolment();
    let realms = enrolment.realms.keys().filter(|realm| *realm != SERVER_REALM).cloned().collect();
    Ok(Prepared {
        profile: name.to_owned(),
        request,
        request_pem,
        realms,
        key_existed,
        inviter: invitation.inviter().cloned(),
        fingerprint: enrolment.fingerprint(),
        trusted: enrolment.changes_since(None),
    })
}

/// The second step: with the certificate (PEM, leaf first) that the CA issued for the request, the
/// account is bound to the identity, and the profile is finished. A repeat answers the same.
///
/// # Errors
/// When the first step is missing, the certificate is for another key or from no CA of the
/// enrolment, or management refuses the code.
pub async fn join(
    home: &Home,
    name: &str,
    certificate: &[u8],
    passphrase: Option<&str>,
) -> Result<Joined> {
    let folder = home.profile_folder(name)?;
    if let Some(file) = read_json::<ProfileFile>(&folder.join(PROFILE))? {
        let certified = read_file(&folder.join(CERTIFICATE))?;
        if certified.map(|pem| chain_of(&pem)).transpose()? == Some(chain_of(certificate)?) {
            return finished(home, name, file.account);
        }
        return Err(ClientError::usage(
            format!("the profile `{name}` has joined already, with another certificate"),
            "choose another name with `--profile`",
        ));
    }
    let file = read_json(&folder.join(INVITATION))?.ok_or_else(|| {
        ClientError::not_found(
            format!("the profile `{name}` has no invitation yet"),
            "run `datapact join FILE` without `--certificate` first",
        )
    })?;
    let invitation = Invitation::check(file, None)?;
    let identity = certify(&folder, &invitation, certificate, passphrase)?;
    write_file(&folder.join(CERTIFICATE), certificate)?;
    invitation.known().write(&folder.join(ENROLMENT))?;

    let profile = Profile::assemble(name, folder.clone(), identity.clone(), passphrase)?;
    let account = Session::connect(profile)?.join(invitation.code()).await?;
    if account.identity != identity {
        return Err(ClientError::untrusted(format!(
            "management joined `{}` instead",
            account.identity
        )));
    }
    write_json(&folder.join(PROFILE), &ProfileFile { identity, account: account.clone() })?;
    // The code is spent; the enrolment has all else that the invitation says.
    for spent in [INVITATION, REQUEST] {
        let _ = fs::remove_file(folder.join(spent));
    }
    finished(home, name, account)
}

fn finished(home: &Home, name: &str, account: Account) -> Result<Joined> {
    // The only profile is the current one without saying so, and must stay it when another is made.
    if home.current()?.is_none_or(|current| current == name) {
        home.set_current(name)?;
    }
    let current = home.current()?.as_deref() == Some(name);
    Ok(Joined { profile: name.to_owned(), account, current })
}

/// Who `certificate` certifies: a user of a realm of the enrolment, with the key made in the first
/// step.
fn certify(
    folder: &Path,
    invitation: &Invitation,
    certificate: &[u8],
    passphrase: Option<&str>,
) -> Result<Identity> {
    let chain = chain_of(certificate)?;
    let refused = |e: trust::TrustError| {
        ClientError::usage(
            e,
            "use the certificate that a CA of the enrolment issued for the profile's request",
        )
    };
    let now = (datapact_log::clock::system_clock())();
    let trust = invitation.known().enrolment().trust()?;
    let identity = trust.identify(&chain, now).map_err(refused)?;
    if identity.is_server() {
        return Err(ClientError::usage(
            "the certificate is a server's",
            "users join with a user's certificate",
        ));
    }
    let key = PrivateKey::load(&folder.join(KEY), passphrase)?;
    Signer::new(key.pkcs8(), chain, identity.clone())
        .map_err(|e| ClientError::usage(e, "send the CA's operator this profile's request"))?;
    Ok(identity)
}
