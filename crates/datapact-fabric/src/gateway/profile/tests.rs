//! Profiles as Fabric's samples and operators write them.
#![allow(clippy::unwrap_used)]

use datapact_log::clock::system_clock;

use super::*;

/// As Fabric's samples and operators write them.
const YAML: &str = r#"---
name: test-network-org1
version: 1.0.0
client:
  organization: Org1
  connection:
    timeout:
      peer:
        endorser: '300'
organizations:
  Org1:
    mspid: Org1MSP
    peers:
    - peer0.org1.example.com
    - peer1
    certificateAuthorities:
    - ca.org1.example.com
peers:
  peer0.org1.example.com:
    url: grpcs://localhost:7051
    tlsCACerts:
      pem: |
          -----BEGIN CERTIFICATE-----
          MIIB
          -----END CERTIFICATE-----
    grpcOptions:
      ssl-target-name-override: peer0.org1.example.com
      hostnameOverride: peer0.org1.example.com
      grpc.keepalive_time_ms: 600000
  peer1:
    url: localhost:7052
    tlsCACerts:
      path: ca.pem
certificateAuthorities:
  ca.org1.example.com:
    url: https://localhost:7054
    tlsCACerts:
      pem:
        - |
          -----BEGIN CERTIFICATE-----
    httpOptions:
      verify: false
"#;

struct TestProfile {
    dir: tempfile::TempDir,
    options: Options,
}

impl TestProfile {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let msp = dir.path().join("msp");
        for file in ["signcerts/cert.pem", "keystore/0f_sk"] {
            let file = msp.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        fs::write(dir.path().join("ca.pem"), "").unwrap();
        let options = Options {
            channel: Some("sharing".to_owned()),
            organization: None,
            chaincode: "datapact".to_owned(),
            msp,
            administrator_msp: None,
            tls: None,
        };
        Self { dir, options }
    }

    fn profile(&self, text: &str) -> Result<Profile, LedgerError> {
        let path = self.dir.path().join("connection.yaml");
        fs::write(&path, text).unwrap();
        Profile::load(&path)
    }

    /// Why it cannot be described; no peer is there to be asked.
    async fn fails(&self, text: &str, options: &Options) -> String {
        let output = self.dir.path().join("ledger.toml");
        let profile = match self.profile(text) {
            Ok(profile) => profile,
            Err(error) => return error.to_string(),
        };
        let error = profile.describe(options, system_clock(), &output).await.unwrap_err();
        assert!(!output.exists());
        error.to_string()
    }
}

#[test]
fn a_profile_is_read_as_yaml_and_as_json() {
    let test = TestProfile::new();
    let profile = test.profile(YAML).unwrap();
    let (name, organization) = profile.organization(None).unwrap();
    assert_eq!((name, organization.mspid.as_str()), ("Org1", "Org1MSP"));
    let mut files = Files::beside(&test.dir.path().join("ledger.toml")).unwrap();
    let nodes: Vec<NodeConfig> = organization
        .peers
        .iter()
        .map(|name| profile.node(name, profile.peers.get(name).unwrap(), &mut files).unwrap())
        .collect();
    let [first, second] = nodes.try_into().unwrap();
    assert_eq!(first.address, "grpcs://localhost:7051");
    assert_eq!(first.server_name.as_deref(), Some("peer0.org1.example.com"));
    let file = first.tls_ca_file.unwrap();
    assert!(file.ends_with("ledger-tls/peer0.org1.example.com.pem"));
    assert!(files.content.get(&file).unwrap().starts_with(b"-----BEGIN CERTIFICATE-----\nMIIB\n"));
    assert_eq!(second.address, "grpcs://localhost:7052");
    assert!(second.tls_ca_file.unwrap().ends_with("ca.pem"));

    let json = r#"{"client":{"organization":"Org1"},"channels":{"one":{"orderers":["o"]}},
        "organizations":{"Org1":{"mspid":"Org1MSP","peers":["p"]}},
        "peers":{"p":{"url":"grpc://localhost:1"}}}"#;
    let profile = test.profile(json).unwrap();
    assert_eq!(profile.channel(None).unwrap(), "one");
    assert_eq!(profile.channel(Some("two")).unwrap(), "two");
    assert_eq!(profile.organization(None).unwrap().1.peers, ["p"]);
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let test = TestProfile::new();
    for (from, to, said) in [
        ("organization: Org1", "organization: Org2", "has no `Org2`"),
        ("    - peer1\n", "    - peer2\n", "no `peer2`, which `Org1` names"),
        ("mspid: Org1MSP", "mspidd: Org1MSP", "mspid"),
        ("      path: ca.pem", "      path: no.pem", "no.pem"),
        ("    tlsCACerts:\n      path: ca.pem\n", "", "`peer1` has TLS, and no `tlsCACerts`"),
        ("organization: Org1", "logging: {}", "keystore/0f_sk"),
    ] {
        let error = test.fails(&YAML.replace(from, to), &test.options).await;
        assert!(error.contains(said), "`{error}` does not say `{said}`");
    }
    let without = Options { channel: None, ..test.options.clone() };
    assert!(test.fails(YAML, &without).await.contains("`--channel`"));
    let elsewhere = Options { msp: test.dir.path().join("other"), ..test.options.clone() };
    assert!(test.fails(YAML, &elsewhere).await.contains("other/signcerts"));
    fs::write(test.options.msp.join("keystore/second_sk"), "").unwrap();
    assert!(test.fails(YAML, &test.options).await.contains("one file is expected there"));
}

#[test]
fn nested_and_long_profiles_are_refused_and_not_a_danger() {
    let test = TestProfile::new();
    assert!(test.profile(&"[".repeat(100_000)).is_err());
    assert!(test.profile(&format!("name: {}", "x".repeat(2 << 20))).is_err());
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n\
                c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n\
                e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let _ = test.profile(bomb);
}
