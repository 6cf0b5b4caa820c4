//! `trust.toml`.

use datapact_api::trust_file::{TrustFileError, load};

use crate::world::{Ca, HOUR, World};

#[tokio::test]
async fn a_broken_file_leaves_the_trust_in_force() {
    let world = World::new().await;
    std::fs::write(world.path("clinic.crl"), "broken").unwrap();
    assert!(matches!(world.trust.reload_if_changed(), Err(TrustFileError::Pem { .. })));
    assert!(!world.trust.reload_if_changed().unwrap(), "reported once");
    assert!(world.connect(Some(world.clinic.issue("Ann", &[], 1, HOUR))).await.is_ok());
}

#[test]
fn trust_files_are_read_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trust.toml");
    let (clinic, lab) = (Ca::new("Clinic CA"), Ca::new("Lab CA"));
    let bundle = [clinic.pem.as_str(), "\nsome text\n", &lab.pem].concat();
    for (name, text) in [
        ("both.pem", &bundle),
        ("clinic.pem", &clinic.pem),
        ("lab.crl", &lab.crl(&[])),
        ("long.pem", &"x".repeat(1 << 21)),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&path).map(|trust| trust.realms().map(str::to_owned).collect::<Vec<_>>())
    };
    let good = "[[realm]]\nname = 'lab'\nca = ['both.pem']\ncrl = ['lab.crl']";
    assert_eq!(read(good).unwrap(), ["lab"]);
    for (text, expected) in [
        ("", "names no"),
        ("[[realm]]\nname = 'lab'", "missing field `ca`"),
        ("[[realm]]\nname = 'lab'\nca = []", "has no CA"),
        ("[[realm]]\nname = 'Lab'\nca = ['clinic.pem']", "a name is"),
        ("[[realm]]\nname = 'lab'\nca = ['clinic.pem']\ncrls = []", "unknown field `crls`"),
        ("[[realm]]\nname = 'lab'\nca = ['missing.pem']", "cannot read"),
        ("[[realm]]\nname = 'lab'\nca = ['long.pem']", "longer than"),
        ("[[realm]]\nname = 'lab'\nca = ['lab.crl']", "holds no certificate"),
        (
            "[[realm]]\nname = 'lab'\nca = ['clinic.pem']\ncrl = ['clinic.pem']",
            "holds no revocation list",
        ),
        (
            "[[realm]]\nname = 'a'\nca = ['clinic.pem']\n[[realm]]\nname = 'a'\nca = ['both.pem']",
            "twice",
        ),
        (
            "[[realm]]\nname = 'a'\nca = ['clinic.pem']\n[[realm]]\nname = 'b'\nca = ['both.pem']",
            "its own CA",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
