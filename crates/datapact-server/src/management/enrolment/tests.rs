//! Drafts, signatures and versions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use datapact_core::enrolment::{Enrolment, Version};

use super::ADMINISTRATORS_INVITATION;
use crate::management::tests::*;

impl World {
    fn sign(&self, by: &User, body: &Enrolment) -> Signed<Enrolment> {
        by.signer.sign(LEDGER, self.now(), body.clone())
    }

    fn administrators_file(&self) -> InvitationFile {
        let file = self.dir.path().join("data").join(ADMINISTRATORS_INVITATION);
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// Lets two of the administrator and `second` sign.
    async fn demand_two(&mut self, second: &User) {
        let path = self.dir.path().join("management.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let admin = format!("[\"{}\"]", self.admin.identity());
        let both = format!("[\"{}\", \"{}\"]", self.admin.identity(), second.identity());
        let both = format!("{{ identities = {both}, approvals = 2 }}");
        let config = config.replace(&admin, &both);
        std::fs::write(&path, config).unwrap();
        self.open(|log| log).await;
    }
}

#[tokio::test]
async fn us_4_the_configuration_drafts_what_an_administrator_publishes() {
    let mut world = World::new().await;
    let stranger = User { signer: world.lab.signer("Stranger") };
    let admin = world.as_user(&world.admin);
    let draft = admin.enrolments().enrolment_draft().await.unwrap();
    assert!(draft.changed && draft.signed_by.is_empty());
    let body = draft.enrolment;
    assert_eq!(body.realms.keys().collect::<Vec<_>>(), ["clinic", "lab", "server"]);
    assert!(body.realms.values().all(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----\n")));
    assert!(body.ledger.log_policy.parse::<LogPolicy>().is_ok());
    assert_eq!(body.management.connect, Some("127.0.0.1:4430".parse().unwrap()));
    assert_eq!(
        world.administrators_file(),
        InvitationFile::Draft { draft: Box::new(body.clone()) }
    );
    assert_eq!(admin.enrolments().enrolments(Page::first()).await.unwrap(), []);

    let good = world.sign(&world.admin, &body);
    let outside = world.as_user(&stranger);
    assert_kind(outside.enrolments().enrolment_draft().await, Kind::Forbidden, "no account");
    assert_kind(outside.enrolments().sign_enrolment(&good).await, Kind::Forbidden, "no account");
    let refused = [
        (world.sign(&stranger, &body), Kind::Forbidden, "not among its administrators"),
        (world.admin.signer.sign("other", world.now(), body.clone()), Kind::Malformed, "not for"),
        (
            world.sign(&world.admin, &body.clone().following(Some(&body))),
            Kind::Conflict,
            "version 2 where version 1",
        ),
        (
            world.sign(&world.admin, &Enrolment { key_servers: Vec::new(), ..body.clone() }),
            Kind::Malformed,
            "key servers",
        ),
        (
            world.admin.signer.sign(LEDGER, world.now() + 7200, body.clone()),
            Kind::Malformed,
            "a time that cannot be right",
        ),
    ];
    for (signature, kind, detail) in refused {
        assert_kind(admin.enrolments().sign_enrolment(&signature).await, kind, detail);
    }

    let progress = admin.enrolments().sign_enrolment(&good).await.unwrap();
    let expected = EnrolmentProgress {
        version: 1,
        fingerprint: body.fingerprint(),
        signed: 1,
        threshold: 1,
        published: true,
    };
    assert_eq!(progress, expected);
    // A repeat, and another document of the same content, change nothing.
    for signature in [&good, &world.sign(&world.admin, &body)] {
        assert_eq!(admin.enrolments().sign_enrolment(signature).await.unwrap(), expected);
    }
    let public = body.management.clone();
    let moved = world.sign(&world.admin, &Enrolment { public, ..body.clone() });
    let refused = admin.enrolments().sign_enrolment(&moved).await;
    assert_kind(refused, Kind::Conflict, "another version 1");

    let published = vec![Version(vec![good])];
    drop((admin, outside));
    world.open(|log| log).await;
    let (admin, outside) = (world.as_user(&world.admin), world.as_user(&stranger));
    assert_eq!(outside.enrolments().enrolments(Page::first()).await.unwrap(), published);
    assert_eq!(outside.enrolments().enrolments(Page::after(1)).await.unwrap(), []);
    let server = world.as_server(KEYS).enrolments().enrolments(Page::first()).await;
    assert_kind(server, Kind::Forbidden, "");
    let next = admin.enrolments().enrolment_draft().await.unwrap();
    assert_eq!((next.changed, next.enrolment.version), (false, 2));
    assert_eq!(next.enrolment.previous, Some(body.fingerprint()));
    assert_eq!(world.administrators_file(), InvitationFile::Administrators { versions: published });
}

#[tokio::test]
async fn us_4_a_version_waits_for_as_many_as_must_sign() {
    let mut world = World::new().await;
    let second = User { signer: world.clinic.signer("Second") };
    world.demand_two(&second).await;
    let body = world.as_user(&world.admin).enrolments().enrolment_draft().await.unwrap().enrolment;
    let (one, two) = (world.sign(&world.admin, &body), world.sign(&second, &body));
    let other = world.sign(&second, &Enrolment { public: body.management.clone(), ..body.clone() });
    let sign = async |world: &World, signature: &Signed<Enrolment>| {
        let admin = world.as_user(&world.admin);
        let progress = admin.enrolments().sign_enrolment(signature).await.unwrap();
        (progress.signed, progress.published)
    };
    for signature in [&one, &one, &other] {
        assert_eq!(sign(&world, signature).await, (1, false));
    }
    world.open(|log| log).await;
    let draft = world.as_user(&second).enrolments().enrolment_draft().await.unwrap();
    assert_eq!(draft.signed_by, [world.admin.identity()]);
    let actions = world.as_user(&second).accounts().actions(Page::first()).await.unwrap();
    let signed = |action: &&Action| matches!(action.record.deed, Deed::EnrolmentSigned { .. });
    assert_eq!(actions.iter().filter(signed).count(), 2, "repeats are not recorded again");
    // The second administrator's later signature takes the place of its earlier one.
    assert_eq!(sign(&world, &two).await, (2, true));
    let enrolments = world.as_user(&second).enrolments();
    let published = enrolments.enrolments(Page::first()).await.unwrap();
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].signers().count(), 2);
}
