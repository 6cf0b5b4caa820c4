//! A user's profile: files, certificates, and the servers of its enrolment.

use datapact_api::client::Http;
use datapact_api::management::Role;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_client::key_file::PrivateKey;
use datapact_client::{Home, Profile, Session};
use datapact_core::trust::validity;
use datapact_log::clock::system_clock;
use datapact_server::operator::expiry::{Ends, ends_of_trust};

use super::{Finding, Findings};
use crate::context::Context;
use crate::failure::Result;

const RENEW: &str = "renew it: `datapact identity renew`";

/// Looks at the chosen profile.
pub(crate) fn examine(context: &Context) -> Vec<Finding> {
    let mut findings = Findings::default();
    if let Err(failure) = look(context, &mut findings) {
        let advice = failure.hint().unwrap_or("correct it and run this again");
        findings.error("profile", "profile", failure.detail(), advice);
    }
    findings.0
}

fn look(context: &Context, findings: &mut Findings) -> Result<()> {
    let home = context.home()?;
    let name = Home::choose(&home, context.global.profile.as_deref())?;
    let folder = home.profile_folder(&name)?;
    for path in [home.path().to_owned(), folder.clone(), folder.join("key.pem")] {
        findings.private(&path);
    }
    findings.disk(home.path());
    let profile = context.profile()?;
    findings.good("profile", &name, profile.identity());
    for certificate in profile.signer().chain() {
        if let Ok((_, at)) = validity(certificate) {
            let ends = Ends { kind: "user", name: profile.identity().to_string(), at };
            findings.ends(&ends, Some(RENEW));
        }
    }
    for ends in ends_of_trust(&profile.trust()) {
        // A CA of users is its own realm's concern, but an enrolment with an expired CA admits none
        // of that CA's users.
        findings.ends(&ends, Some("have the administrators sign an enrolment with its successor"));
    }
    servers(context, profile, findings)
}

fn servers(context: &Context, profile: Profile, findings: &mut Findings) -> Result<()> {
    let enrolment = profile.enrolment().clone();
    let trust = profile.trust();
    let chain = profile.signer().chain().to_vec();
    let key_path = profile.folder().join("key.pem");
    let passphrase = context.passphrase_of(&key_path)?;
    let key = PrivateKey::load(&key_path, passphrase.as_ref().map(|p| p.as_str()));
    let key = key.map_err(crate::failure::key_failure)?;
    let log = profile.log_policy().logs().first().cloned();
    let session = Session::connect(profile)?;
    let reloadable = ReloadableTrust::from_current(trust);
    let tls = |shown: bool| {
        let certificate = shown.then(|| (chain.clone(), key.for_tls()));
        client_config(reloadable.clone(), certificate)
            .map_err(|e| crate::failure::Failure::local(e, "join again"))
    };
    // The public listener asks for no certificate.
    let (mutual, open) = (tls(true)?, tls(false)?);
    context.block_on(async {
        let http = |endpoint: &_, tls: &rustls::ClientConfig| {
            Http::new(endpoint, tls.clone(), None, system_clock())
                .map_err(|e| crate::failure::Failure::local(e, "join again"))
        };
        if let Some(log) = log {
            findings.management(http(&enrolment.public, &open)?, &enrolment.ledger.id, &log).await;
        }
        findings.server("management", &http(&enrolment.management, &mutual)?).await;
        for endpoint in &enrolment.key_servers {
            findings.server("key server", &http(endpoint, &mutual)?).await;
        }
        for endpoint in &enrolment.storage_servers {
            findings.server("storage server", &http(endpoint, &mutual)?).await;
        }
        match session.account().await {
            Ok(account) => {
                findings.good("account", account.identity, "it is active");
                let administers = account.role == Role::Administrator;
                findings.enrolment(&session, administers).await;
            }
            Err(error) => {
                let problem = error.to_problem();
                let advice =
                    problem.hint.as_deref().unwrap_or("ask an administrator of management");
                findings.error("account", "account", &problem.detail, advice);
            }
        }
        Ok(())
    })
}
