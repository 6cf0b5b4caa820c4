#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use rcgen::{DistinguishedName, DnType, DnValue, KeyPair};

use super::*;
use crate::testpki::{Ca, FROM, NOW, TO, Use, key, name};

fn trust(realms: &[(&str, &[&Ca])]) -> Trust {
    let mut trust = Trust::default();
    for (realm, cas) in realms {
        trust.add(realm, cas.iter().map(|ca| ca.der.clone()).collect(), vec![]).unwrap();
    }
    trust
}

fn user(realm: &str, subject: &str) -> Identity {
    Identity { realm: realm.to_owned(), subject: subject.to_owned() }
}

#[test]
fn us_1_each_ca_certifies_its_own_realm_only() {
    let (clinic, lab, foreign) = (Ca::new("Clinic CA"), Ca::new("Lab CA"), Ca::new("Clinic CA"));
    let trust = trust(&[("clinic", &[&clinic]), ("lab", &[&lab])]);
    let key = key();
    let ann = |ca: &Ca| trust.identify(&[ca.user("Ann", &key)], NOW);
    assert_eq!(ann(&clinic).unwrap(), user("clinic", "CN=Ann"));
    assert_eq!(ann(&lab).unwrap(), user("lab", "CN=Ann"), "same subject, another realm's user");
    assert_eq!(
        ann(&foreign),
        Err(TrustError::Unknown { subject: "CN=Ann".to_owned() }),
        "a CA of the same name"
    );
    assert_eq!(trust.identify(&[], NOW), Err(TrustError::NoCertificate));
    let with_ca = [foreign.user("Ann", &key), clinic.der.clone()];
    assert!(
        matches!(trust.identify(&with_ca, NOW), Err(TrustError::Unknown { .. })),
        "a true CA, a false leaf"
    );
}

#[test]
fn a_user_is_no_server_and_a_server_no_user() {
    let (clinic, servers) = (Ca::new("Clinic CA"), Ca::new("Server CA"));
    let trust = trust(&[("clinic", &[&clinic]), (SERVER_REALM, &[&servers])]);
    let key = key();
    let leaf =
        |ca: &Ca, usage| [ca.leaf(name(&[(DnType::CommonName, "x")]), &key, usage, FROM, TO, 1)];
    let server = leaf(&servers, Use::Server);
    assert_eq!(trust.identify(&server, NOW).unwrap(), Identity::server("keys.example"));
    assert_eq!(trust.identify(&leaf(&clinic, Use::Server), NOW).unwrap(), user("clinic", "CN=x"));
    assert!(matches!(
        trust.identify(&leaf(&servers, Use::User), NOW),
        Err(TrustError::Unusable(_))
    ));
    let unnamed = trust.identify(&leaf(&servers, Use::Unstated), NOW);
    assert!(matches!(unnamed, Err(TrustError::Unusable(why)) if why.contains("names no server")));

    assert_eq!(
        trust.identify_server(&server, "alias.example", NOW).unwrap(),
        Identity::server("keys.example")
    );
    for wrong in ["other.example", "127.0.0.1", "", "keys.example.evil.example"] {
        assert!(matches!(
            trust.identify_server(&server, wrong, NOW),
            Err(TrustError::WrongServer { .. })
        ));
    }
    let posing = leaf(&clinic, Use::Server);
    assert!(matches!(
        trust.identify_server(&posing, "keys.example", NOW),
        Err(TrustError::WrongServer { .. })
    ));
}

#[test]
fn time_bounds_hold_for_leaf_and_ca_also_when_remembered() {
    let ca = Ca::new("Clinic CA");
    let trust = trust(&[("clinic", &[&ca])]);
    let expired = |result| matches!(result, Err(TrustError::Expired { .. }));
    let chain =
        [ca.leaf(name(&[(DnType::CommonName, "Ann")]), &key(), Use::User, NOW - 10, NOW + 10, 1)];
    assert!(expired(trust.identify(&chain, NOW - 11)));
    for at in [NOW - 10, NOW, NOW + 10] {
        assert!(trust.identify(&chain, at).is_ok());
    }
    for at in [0, NOW - 11, NOW + 11, u64::MAX] {
        assert!(expired(trust.identify(&chain, at)), "{at}");
    }
    let outlives_its_ca =
        [ca.leaf(name(&[(DnType::CommonName, "Ann")]), &key(), Use::User, FROM, TO + 99, 1)];
    assert!(trust.identify(&outlives_its_ca, TO).is_ok());
    assert!(expired(trust.identify(&outlives_its_ca, TO + 1)));
}

#[test]
fn a_revoked_certificate_counts_until_its_revocation() {
    let ca = Ca::new("Clinic CA");
    let chain = [ca.user("Ann", &key())];
    let mut trust = Trust::default();
    trust
        .add("clinic", vec![ca.der.clone()], vec![ca.crl(&[(7, FROM)]), ca.crl(&[(1, NOW)])])
        .unwrap();
    let revoked = Err(TrustError::Revoked { subject: "CN=Ann".to_owned() });
    for at in [NOW, NOW - 1, NOW, TO] {
        let expected = if at < NOW { Ok(user("clinic", "CN=Ann")) } else { revoked.clone() };
        assert_eq!(trust.identify(&chain, at), expected, "{at}");
    }
}

#[test]
fn a_list_added_later_counts_at_once() {
    let ca = Ca::new("Clinic CA");
    let chain = [ca.user("Ann", &key())];
    let mut trust = trust(&[("clinic", &[&ca])]);
    assert!(trust.identify(&chain, NOW).is_ok());
    trust.add("clinic", vec![], vec![ca.crl(&[(1, NOW)])]).unwrap();
    assert!(matches!(trust.identify(&chain, NOW), Err(TrustError::Revoked { .. })));
}

#[test]
fn lists_must_be_their_cas() {
    let (ca, namesake) = (Ca::new("Clinic CA"), Ca::new("Clinic CA"));
    let mut tampered = ca.crl(&[(1, NOW)]);
    *tampered.last_mut().unwrap() ^= 1;
    for crl in [namesake.crl(&[(1, NOW)]), tampered, vec![], vec![0x30; 100]] {
        let refused = Trust::default().add("clinic", vec![ca.der.clone()], vec![crl]);
        assert!(matches!(refused, Err(TrustError::Configuration(_))), "{refused:?}");
    }
}

#[test]
fn intermediate_cas_and_their_revocation() {
    let root = Ca::new("Clinic root");
    let (wards, other) = (root.intermediate("Wards CA"), root.intermediate("Wards CA"));
    let chain = [wards.user("Ann", &key()), wards.der.clone()];
    assert_eq!(
        trust(&[("clinic", &[&root])]).identify(&chain, NOW).unwrap(),
        user("clinic", "CN=Ann")
    );
    assert!(
        trust(&[("clinic", &[&root])]).identify(&chain[..1], NOW).is_err(),
        "intermediate missing"
    );

    let with = |crl: Vec<u8>| {
        let mut trust = Trust::default();
        trust.add("clinic", vec![root.der.clone()], vec![crl]).unwrap();
        trust.identify(&chain, NOW)
    };
    assert!(matches!(with(wards.crl(&[(1, NOW)])), Err(TrustError::Revoked { .. })));
    assert!(with(wards.crl(&[(2, NOW)])).is_ok());
    assert!(
        matches!(with(other.crl(&[])), Err(TrustError::Configuration(_))),
        "no list of its key"
    );
    let too_long = vec![chain[0].clone(); CHAIN_MAX + 1];
    assert!(matches!(
        trust(&[("clinic", &[&root])]).identify(&too_long, NOW),
        Err(TrustError::Unusable(_))
    ));
}

#[test]
fn us_3_renewal_keeps_the_identity() {
    let old = Ca::new("Clinic CA");
    let renewed = Ca::new("Clinic CA");
    let mut trust = trust(&[("clinic", &[&old, &renewed])]);
    // The old CA's list neither counts for the renewed CA's certificates nor keeps them out.
    trust.add("clinic", vec![], vec![old.crl(&[(1, NOW)])]).unwrap();
    let before = trust.identify(&[old.user("Ann", &key())], NOW - 1).unwrap();
    let after = trust.identify(&[renewed.user("Ann", &key())], NOW).unwrap();
    assert_eq!(before, after);
}

#[test]
fn realms_do_not_overlap() {
    let (root, other) = (Ca::new("Root"), Ca::new("Other"));
    let under = root.intermediate("Under");
    for (first, second) in [(&root, &root), (&root, &under), (&under, &root)] {
        let mut trust = trust(&[("a", &[first])]);
        let refused = trust.add("b", vec![second.der.clone()], vec![]);
        assert!(matches!(refused, Err(TrustError::Configuration(_))));
    }
    let mut trust = trust(&[("a", &[&root])]);
    assert!(trust.add("b", vec![other.der.clone()], vec![]).is_ok());
    assert!(matches!(
        trust.add("c", vec![other.user("Ann", &key())], vec![]),
        Err(TrustError::Configuration(_))
    ));
    for name in ["", "A", "a b", "a:b", &"a".repeat(65)] {
        assert!(trust.add(name, vec![], vec![]).is_err(), "{name}");
    }
}

#[test]
fn keys_other_than_p256_and_rubbish_are_refused() {
    let ca = Ca::new("Clinic CA");
    let trust = trust(&[("clinic", &[&ca])]);
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let chain = [ca.user("Ann", &KeyPair::generate_for(algorithm).unwrap())];
        assert!(matches!(trust.identify(&chain, NOW), Err(TrustError::Unusable(_))));
    }
    let good = ca.user("Ann", &key());
    let trailing = [good.as_ref(), &[0][..]].concat();
    for rubbish in
        [vec![], vec![0x30], vec![0; 1_000_000], trailing, good[..good.len() - 1].to_vec()]
    {
        assert!(matches!(trust.identify(&[rubbish.into()], NOW), Err(TrustError::Unusable(_))));
    }
    assert!(trust.identify(std::slice::from_ref(&ca.der), NOW).is_err(), "a CA is not a user");
}

#[test]
fn subjects_have_one_text_each() {
    let (ca, key) = (Ca::new("CA"), key());
    let text = |name: DistinguishedName| subject(&ca.leaf(name, &key, Use::User, FROM, TO, 1));
    let cn = |value: &str| text(name(&[(DnType::CommonName, value)]));
    for (value, expected) in [
        ("Ann Lee", "CN=Ann Lee"),
        ("Ann,O=Lab", "CN=Ann\\,O\\=Lab"),
        ("Ann\\,O=Lab", "CN=Ann\\\\\\,O\\=Lab"),
        (" Ann ", "CN=\\ Ann\\ "),
        (" ", "CN=\\ "),
        ("#Ann#", "CN=\\#Ann#"),
        ("a+b\"<>;", "CN=a\\+b\\\"\\<\\>\\;"),
        ("Ånn 李", "CN=Ånn 李"),
    ] {
        assert_eq!(cn(value).unwrap(), expected);
    }
    for refused in ["", "a\0b", "a\nb", "a\u{202e}b", "a\u{200b}b", &"x".repeat(510)] {
        assert!(matches!(cn(refused), Err(TrustError::Unusable(_))), "{refused:?}");
    }
    let two = text(name(&[(DnType::CommonName, "Ann"), (DnType::OrganizationName, "Lab")]));
    assert_eq!(two.unwrap(), "CN=Ann,O=Lab");
    let unknown = text(name(&[(DnType::CustomDnType(vec![2, 5, 4, 12]), "Dr")]));
    assert_eq!(unknown.unwrap(), "2.5.4.12=Dr");
    let mut printable = DistinguishedName::new();
    printable.push(DnType::CommonName, DnValue::PrintableString("Ann".try_into().unwrap()));
    assert_eq!(text(printable).unwrap(), "CN=Ann", "another string type, the same identity");
    let mut bmp = DistinguishedName::new();
    bmp.push(DnType::CommonName, DnValue::BmpString("Ann".try_into().unwrap()));
    assert!(text(bmp).is_err());
    assert!(text(DistinguishedName::new()).is_err());
}

#[test]
fn the_memory_of_verified_chains_is_bounded() {
    let ca = Ca::new("CA");
    let trust = trust(&[("clinic", &[&ca])]);
    let chain = [ca.user("Ann", &key())];
    let identity = trust.identify(&chain, NOW).unwrap();
    for i in 0..CACHE_MAX {
        let verified = Verified { identity: identity.clone(), from: 0, to: TO };
        trust.verified.write().unwrap().insert(Digest::of(&i.to_be_bytes()), verified);
    }
    assert!(trust.identify(&[ca.user("Bob", &key())], NOW).is_ok());
    assert!(trust.verified.read().unwrap().len() <= CACHE_MAX);
    assert!(trust.identify(&chain, NOW).is_ok());
}
