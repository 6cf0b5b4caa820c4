//! The chaincode's package: it holds no program, only where the chaincode listens (chaincode as a
//! service).
//!
//! The same label and connection always give the same bytes, so that the package's id, which is
//! made of their digest, is known before it is installed.

use std::io::Write as _;

use datapact_core::id::Digest;
use flate2::{Compression, GzBuilder};
use serde_json::json;

use datapact_local::{NetworkError, Result};

/// What a `tar` archive is made of, in bytes.
const TAR_BLOCK: usize = 512;

/// Where the chaincode listens, as seen from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `HOST:PORT`.
    pub address: String,
    /// How the peer connects by TLS; without it, it connects without.
    pub tls: Option<ConnectionTls>,
}

/// What a peer needs to connect by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTls {
    /// The CA of the chaincode's certificate, PEM.
    pub root_cert: String,
    /// The peer's certificate and key, PEM, where the chaincode asks for one.
    pub client: Option<(String, String)>,
}

impl Connection {
    /// `connection.json`.
    fn to_json(&self) -> String {
        let mut json = json!({
            "address": self.address, "dial_timeout": "10s", "tls_required": self.tls.is_some(),
        });
        if let (Some(json), Some(tls)) = (json.as_object_mut(), &self.tls) {
            json.insert("root_cert".to_owned(), tls.root_cert.clone().into());
            json.insert("client_auth_required".to_owned(), tls.client.is_some().into());
            if let Some((certificate, key)) = &tls.client {
                json.insert("client_cert".to_owned(), certificate.clone().into());
                json.insert("client_key".to_owned(), key.clone().into());
            }
        }
        json.to_string()
    }
}

/// A package, and the id that a peer gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `<label>:<SHA-256 of the bytes>`: what `peer lifecycle chaincode approveformyorg` and the
    /// chaincode itself are told.
    pub id: String,
    /// What `peer lifecycle chaincode install` takes.
    pub bytes: Vec<u8>,
}

impl Package {
    /// The package named `label` of a chaincode that is reached by `connection`.
    ///
    /// # Errors
    /// When the label is not one to Fabric: letters, digits, `.`, `+`, `-` and `_`, at most 64, the
    /// first of them a letter or digit.
    pub fn new(label: &str, connection: &Connection) -> Result<Self> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        if label.len() > 64
            || !label.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !label.chars().all(inner)
        {
            let hint = "it has letters, digits, `.`, `+`, `-` and `_`, at most 64, and begins with \
                        a letter or digit";
            return Err(NetworkError::new(
                format!("`{label}` cannot be the label of a chaincode package"),
                hint,
            ));
        }
        let metadata = json!({ "type": "ccaas", "label": label }).to_string();
        let connection = connection.to_json();
        let failed = |e: std::io::Error| NetworkError::new(e, "this is a defect; please report it");
        let code = gzip(&tar(&[("connection.json", connection.as_bytes())])).map_err(failed)?;
        let bytes = gzip(&tar(&[("metadata.json", metadata.as_bytes()), ("code.tar.gz", &code)]))
            .map_err(failed)?;
        Ok(Self { id: format!("{label}:{}", Digest::of(&bytes)), bytes })
    }
}

/// A `tar` archive (POSIX ustar) of regular files, without owners and times: the same files must
/// give the same bytes.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = Vec::with_capacity(TAR_BLOCK);
        let mut field = |text: &str, length: usize| {
            let end = header.len() + length;
            header.extend_from_slice(text.as_bytes());
            header.resize(end, 0);
        };
        field(name, 100);
        field("0000644", 8);
        field("0000000", 8);
        field("0000000", 8);
        field(&format!("{:011o}", content.len()), 12);
        field("00000000000", 12);
        // The checksum counts itself as spaces.
        field("        ", 8);
        field("0", 1);
        field("", 100);
        field("ustar", 6);
        field("00", 2);
        field("", 64);
        field("0000000", 8);
        field("0000000", 8);
        field("", TAR_BLOCK - 345);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
        archive.extend(header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(TAR_BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * TAR_BLOCK, 0);
    archive
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::none());
    writer.write_all(bytes)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::process::{Command, Stdio};

    use super::*;

    /// What `tar` reads as `file` out of a gzipped archive.
    fn unpacked(archive: &[u8], file: &str) -> Vec<u8> {
        let mut tar = Command::new("tar")
            .args(["-xzOf", "-", file])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(archive).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn a_package_is_what_fabric_describes_and_always_the_same() {
        let mut there = Connection { address: "127.0.0.1:9999".to_owned(), tls: None };
        let package = Package::new("datapact_1", &there).unwrap();
        assert_eq!(package, Package::new("datapact_1", &there).unwrap());
        assert_eq!(package.id, format!("datapact_1:{}", Digest::of(&package.bytes)));
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        let metadata = json(&unpacked(&package.bytes, "metadata.json"));
        assert_eq!(metadata, json!({ "type": "ccaas", "label": "datapact_1" }));
        let connection =
            json(&unpacked(&unpacked(&package.bytes, "code.tar.gz"), "connection.json"));
        assert_eq!(connection["address"], "127.0.0.1:9999");
        assert_eq!(connection["tls_required"], false);
        // Changed bytes would be another chaincode to every peer.
        assert_eq!(
            package.id,
            "datapact_1:4f0fdfe5fcbe33c324bb3449cf849a869d5a1393b09431d05ce35c83ff5b9d60"
        );

        there.tls = Some(ConnectionTls { root_cert: "CA".to_owned(), client: None });
        let by_tls = |there: &Connection| {
            let package = Package::new("datapact_1", there).unwrap();
            json(&unpacked(&unpacked(&package.bytes, "code.tar.gz"), "connection.json"))
        };
        let connection = by_tls(&there);
        assert_eq!(connection["root_cert"], "CA");
        assert_eq!(
            (&connection["tls_required"], &connection["client_auth_required"]),
            (&json!(true), &json!(false))
        );
        there.tls =
            Some(ConnectionTls { root_cert: "CA".into(), client: Some(("C".into(), "K".into())) });
        let connection = by_tls(&there);
        assert_eq!(
            (&connection["client_cert"], &connection["client_key"]),
            (&json!("C"), &json!("K"))
        );
        assert_eq!(connection["client_auth_required"], true);
    }

    #[test]
    fn what_fabric_takes_for_no_label_is_refused() {
        for label in ["", "_a", "a b", "a:b", "a/b", &"a".repeat(65)] {
            let there = Connection { address: "127.0.0.1:1".to_owned(), tls: None };
            assert!(Package::new(label, &there).is_err(), "{label}");
        }
    }
}
