//! The users of the quickstart: their identities, accounts and sessions.

use std::time::Duration;

use datapact_api::management::{NewInvitation, Role};
use datapact_client::ca::Kind as CertificateKind;
use datapact_client::invitation::Invitation;
use datapact_client::{Administrator, Home, Profile, Session, join};
use datapact_core::contract::Attributes;
use serde_json::json;

use super::site::{ADMINISTRATOR, Site};
use super::steps::Steps;
use crate::failure::{Failure, Result};

const CERTIFICATE_VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A person who takes part.
struct Person {
    profile: &'static str,
    realm: &'static str,
    subject: &'static str,
    role: Role,
    /// Organisation, industry and country, as the administrator sets them.
    attributes: Option<[&'static str; 3]>,
}

const ADMIN: Person = Person {
    profile: "admin",
    realm: "clinic",
    subject: "CN=admin,O=Clinic",
    role: Role::Administrator,
    attributes: None,
};
const CLINIC: Person = Person {
    profile: "clinic",
    realm: "clinic",
    subject: "CN=Ada,O=Clinic",
    role: Role::Provider,
    attributes: Some(["clinic", "isic4:86", "SE"]),
};
const LAB: Person = Person {
    profile: "lab",
    realm: "lab",
    subject: "CN=Ben,O=Lab",
    role: Role::Consumer,
    attributes: Some(["lab", "isic4:72", "DE"]),
};
const LAB_OVERSEAS: Person = Person {
    profile: "lab-overseas",
    realm: "lab",
    subject: "CN=Cleo,O=Lab",
    role: Role::Consumer,
    attributes: Some(["lab", "isic4:72", "US"]),
};

/// The sessions of clinic, lab and lab overseas. Users who have not joined are invited, and join.
pub(super) async fn accounts(
    site: &Site,
    home: &Home,
    steps: &mut Steps,
) -> Result<(Session, Session, Session)> {
    let path = site.administrators_invitation();
    let invitation = Invitation::read(&path, None)?;
    let admin = signed_enrolment(enrol(site, home, &ADMIN, &invitation).await?).await?;
    let fingerprint = admin.session().profile().enrolment().fingerprint();
    let mut sessions = Vec::new();
    let mut lines = vec![format!("what they trust, signed by the administrator: {fingerprint}")];
    for person in [CLINIC, LAB, LAB_OVERSEAS] {
        let session = match joined(home, &person)? {
            Some(session) => session,
            None => {
                let (invitation, _) = admin.invitation(&person.invitation()?).await?;
                enrol(site, home, &person, &Invitation::check(invitation, None)?).await?
            }
        };
        let account = session.account().await?;
        let [_, industry, country] = person.attributes.unwrap_or_default();
        lines.push(format!("{}: {} ({industry}, {country})", person.profile, account.identity));
        sessions.push(session);
    }
    steps.done(
        "6.2.1, 6.2.2 account management",
        "Users make their keys, get certificates from their own CA, and join by invitation",
        &lines,
        json!({
            "profiles": [CLINIC.profile, LAB.profile, LAB_OVERSEAS.profile],
            "administrator": ADMINISTRATOR,
            "enrolment": fingerprint,
        }),
    )?;
    home.set_current(CLINIC.profile)?;
    let mut sessions = sessions.into_iter();
    match (sessions.next(), sessions.next(), sessions.next()) {
        (Some(clinic), Some(lab), Some(overseas)) => Ok((clinic, lab, overseas)),
        _ => Err(Failure::local("not everybody has joined", "run the quickstart again")),
    }
}

impl Person {
    fn invitation(&self) -> Result<NewInvitation> {
        let attributes = match self.attributes {
            None => Attributes::default(),
            Some([organisation, industry, country]) => Attributes {
                organisation: Some(parse(organisation)?),
                industry: Some(parse(industry)?),
                country: Some(parse(country)?),
            },
        };
        Ok(NewInvitation {
            realm: self.realm.to_owned(),
            role: self.role,
            attributes,
            seconds: 3600,
        })
    }
}

/// A constant of the quickstart as its type.
pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|e| Failure::usage(e, "this is a defect; please report it"))
}

fn joined(home: &Home, person: &Person) -> Result<Option<Session>> {
    if !home.profiles()?.iter().any(|name| name == person.profile) {
        return Ok(None);
    }
    match Profile::load(home, person.profile, None) {
        Ok(profile) => Ok(Some(Session::connect(profile)?)),
        // Begun and not finished: joining again goes on.
        Err(_) => Ok(None),
    }
}

/// The administrator, once what its users trust is signed: here the quickstart itself has made all
/// that management says, so it is signed without a question.
async fn signed_enrolment(admin: Session) -> Result<Administrator> {
    let admin = Administrator::new(admin.refresh_enrolment(None).await?.session);
    let draft = admin.draft().await?;
    if !draft.changed {
        return Ok(admin);
    }
    let (_, refreshed) = admin.sign_enrolment(&draft).await?;
    Ok(Administrator::new(refreshed.session))
}

/// Key and request made locally, certificate from the person's CA, account bound.
async fn enrol(
    site: &Site,
    home: &Home,
    person: &Person,
    invitation: &Invitation,
) -> Result<Session> {
    if let Some(session) = joined(home, person)? {
        return Ok(session);
    }
    let prepared = join::prepare(home, person.profile, invitation, &parse(person.subject)?, None)?;
    let ca = site.ca(person.realm)?;
    let certificate = ca
        .issue(&prepared.request_pem, &CertificateKind::User, CERTIFICATE_VALID)
        .map_err(|e| Failure::local(e, "run the quickstart in a new folder with `--data DIR`"))?;
    join::join(home, person.profile, certificate.as_bytes(), None).await?;
    Ok(Session::connect(Profile::load(home, person.profile, None)?)?)
}
