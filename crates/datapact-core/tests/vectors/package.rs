//! The packages in `testdata/package`: each is opened by this implementation, and by a program that
//! was written from the specification alone, and must end as the index says.

use std::fs;
use std::process::Command;

use datapact_core::id::Digest;
use datapact_core::package::{DataKey, Expected, PackageReader};

use crate::format::{PackageVector, read, testdata};
use crate::support::packages::content;

fn index() -> Vec<PackageVector> {
    read("package/index.json")
}

#[test]
fn wr_6_every_vector_ends_as_the_index_says() {
    let vectors = index();
    assert!(vectors.iter().filter(|vector| vector.error.is_some()).count() > vectors.len() / 2);
    for vector in vectors {
        let key =
            DataKey::from_file(&fs::read(testdata("package").join(&vector.key)).unwrap()).unwrap();
        let expected = Expected {
            metadata: vector.metadata,
            provider: vector.provider.as_ref().map(|provider| provider.parse().unwrap()),
            provider_key: vector.provider_key,
        };
        let file = fs::File::open(testdata("package").join(&vector.file)).unwrap();
        let mut out = Vec::new();
        let result = PackageReader::open(file)
            .and_then(|reader| reader.unlock(&key, &expected))
            .and_then(|package| package.decrypt_to(&mut out, &mut |_| {}));
        let error = result.as_ref().err().map(|error| error.name().to_owned());
        assert_eq!(error, vector.error, "{}: {result:?}", vector.file);
        // What was given out is a beginning of the data: all of it, or what stood before the fault.
        let data = content(vector.size as usize);
        assert_eq!(Digest::of(&data), vector.data);
        assert!(data.starts_with(&out), "{}", vector.file);
        assert_eq!(out.len() == data.len(), error.is_none() || data.is_empty(), "{}", vector.file);
    }
}

#[test]
fn a_program_written_from_the_specification_opens_packages() {
    let modules = "blake3, cryptography.cobblestone";
    let Some(python) = datapact_test_tools::python(modules) else { return };
    for vector in index() {
        let mut command = Command::new(&python);
        command
            .current_dir(testdata("package"))
            .arg("open_package.py")
            .arg(&vector.file)
            .arg(&vector.key);
        if let Some(digest) = &vector.metadata {
            command.args(["--metadata", &digest.to_string()]);
        }
        if let Some(provider) = &vector.provider {
            command.args(["--provider", provider]);
        }
        if let Some(digest) = &vector.provider_key {
            command.args(["--provider-key", &digest.to_string()]);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        match vector.error.as_deref() {
            None => {
                assert!(output.status.success(), "{}: {said}", vector.file);
                assert_eq!(Digest::of(&output.stdout), vector.data, "{}", vector.file);
            }
            Some(error) => {
                // It hashes the content as a whole, and says so of every damage.
                let error =
                    if ["reordered", "resealed"].contains(&error) { "altered" } else { error };
                assert_eq!(
                    (said.trim(), output.status.code()),
                    (error, Some(1)),
                    "{}",
                    vector.file
                );
                assert!(output.stdout.is_empty(), "{}", vector.file);
            }
        }
    }
}
