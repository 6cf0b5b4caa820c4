//! `wrap`: seals a file into a package, offline.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use datapact_core::id::{Digest, KeyId, PackageId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::package::{DataKey, PackageError, SealSpec, Sealed, seal};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use serde::Serialize;

use crate::context::{Context, now};
use crate::failure::{Failure, Result};
use crate::files::{self, NewFile, SecretFile, Stdout};
use crate::media_type;
use crate::output::fields;

/// The realm of one-off identities; it is reserved, so no organisation has it (RFC 2606).
const ONE_OFF_REALM: &str = "self-signed.invalid";

const AFTER_HELP: &str = "\
The key file opens the package: keep it apart from the package, and give it only to those who may
have the data. Nothing limits or records its use; for that, share the file with `datapact share
create`.

Examples:
  datapact wrap data.csv -o data.pkg --key-out data.key
  tar c folder | datapact wrap - -o folder.pkg --key-out folder.key
  datapact unwrap data.pkg --key-file data.key -o -";

/// Seal a file into a package, without any server
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Wrap {
    /// The file to seal, or `-` for standard input
    file: PathBuf,
    /// Where to write the package, or `-` for standard output
    #[arg(long, short, value_name = "PKG")]
    output: PathBuf,
    /// Where to write the key, readable only by you; must not exist
    #[arg(long, value_name = "KEY")]
    key_out: PathBuf,
    /// The media type of the data; by the file's extension if not given
    #[arg(long, value_name = "TYPE/SUBTYPE")]
    media_type: Option<String>,
}

#[derive(Serialize)]
struct Wrapped {
    package: PackageId,
    key: KeyId,
    provider: Identity,
    provider_key: Digest,
    one_off: bool,
    metadata: Digest,
    media_type: String,
    size: u64,
    package_size: u64,
}

impl Wrap {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let (signer, one_off) = match context.signer()? {
            Some(signer) => (signer, false),
            None => (std::sync::Arc::new(one_off_signer()?), true),
        };
        let spec = SealSpec {
            package: PackageId::random(),
            key: KeyId::random(),
            management: String::new(),
            share: None,
            media_type: self
                .media_type
                .clone()
                .unwrap_or_else(|| media_type::of(&self.file).to_owned()),
        };
        let key = DataKey::random();
        let to_stdout = files::is_stream(&self.output);
        if to_stdout && std::io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a package is not written to a terminal",
                "name a file with `-o`",
            ));
        }
        let (input, length) = files::open_input_to_send(&self.file)?;
        // The key is safe before the first byte that needs it; a package without its key is worth
        // nothing.
        let file = if to_stdout {
            None
        } else {
            Some(NewFile::create(&self.output, false, &context.output)?)
        };
        let key_file = SecretFile::write(&self.key_out, key.to_file().as_bytes())?;
        let sealed = self.seal(context, input, length, file, &key, &spec, &signer, now())?;
        key_file.keep();
        self.report(context, &sealed, one_off, to_stdout)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and each is another thing")]
    fn seal(
        &self,
        context: &Context,
        mut input: Box<dyn std::io::Read + Send>,
        length: Option<u64>,
        file: Option<NewFile>,
        key: &DataKey,
        spec: &SealSpec,
        signer: &Signer,
        time: Timestamp,
    ) -> Result<Sealed> {
        let bar = context.output.progress("sealing", length);
        let mut progress = |done| bar.set_position(done);
        let sealed = match file {
            Some(mut file) => {
                let sealed = seal(&mut input, &mut file, key, spec, signer, time, &mut progress)
                    .map_err(|error| self.refused(error))?;
                file.keep()?;
                sealed
            }
            None => {
                seal(&mut input, &mut Stdout::new(true), key, spec, signer, time, &mut progress)
                    .map_err(|error| self.refused(error))?
            }
        };
        bar.finish_and_clear();
        Ok(sealed)
    }

    /// What of the arguments or files made sealing fail.
    fn refused(&self, error: PackageError) -> Failure {
        match error {
            PackageError::Malformed(detail) => {
                Failure::usage(detail, "give another `--media-type`")
            }
            PackageError::Read(cause) => Failure::file("read", &self.file, &cause),
            PackageError::Write(cause) if !files::is_stream(&self.output) => {
                Failure::file("write", &self.output, &cause)
            }
            other => other.into(),
        }
    }

    fn report(
        &self,
        context: &Context,
        sealed: &Sealed,
        one_off: bool,
        to_stdout: bool,
    ) -> Result<()> {
        let body = sealed.metadata.body();
        let wrapped = Wrapped {
            package: body.package,
            key: body.key,
            provider: sealed.metadata.signer().clone(),
            provider_key: body.provider_key,
            one_off,
            metadata: sealed.metadata.id(),
            media_type: body.media_type.clone(),
            size: body.size,
            package_size: sealed.size,
        };
        let text = fields(&[
            ("package", format!("{} ({} bytes)", files::shown(&self.output), wrapped.package_size)),
            ("key file", self.key_out.display().to_string()),
            ("provider", wrapped.provider.to_string()),
            ("provider key", wrapped.provider_key.to_string()),
        ]);
        if one_off {
            context.output.note(
                "note: there is no profile, so the package is signed by a one-off identity that no \
                 CA vouches for; tell the receiver the provider key",
            );
        }
        if to_stdout {
            context.output.result_beside_data(&wrapped, text);
            return Ok(());
        }
        context.output.result(&wrapped, text)
    }
}

/// An identity that lives for this one package: its key is forgotten when the package is signed.
fn one_off_signer() -> Result<Signer> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::from(datapact_api::problem::Problem::new(
            datapact_api::problem::Kind::Internal,
            format_args!("cannot make a one-off identity: {error}"),
        ))
    };
    let key = KeyPair::generate().map_err(|e| failed(&e))?;
    let common_name = format!("one-off {}", hex::encode(datapact_core::id::random::<8>()));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name.clone());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).map_err(|e| failed(&e))?;
    let identity =
        Identity { realm: ONE_OFF_REALM.to_owned(), subject: format!("CN={common_name}") };
    let pkcs8 = zeroize::Zeroizing::new(key.serialize_der());
    Signer::new(&pkcs8, vec![certificate.der().clone()], identity).map_err(|e| failed(&e))
}
