//! `unwrap`: opens a package with its key file, offline.

use std::path::PathBuf;

use clap::Args;
use datapact_core::document::ANYBODY;
use datapact_core::id::{Digest, PackageId};
use datapact_core::identity::Identity;
use datapact_core::package::{DataKey, Expected, KEY_FILE_BYTES_MAX, OpenPackage, PackageReader};
use serde::Serialize;

use crate::context::{Context, now};
use crate::failure::{Failure, Result};
use crate::files::{self, NewFile, Stdout};
use crate::output::plain;

const AFTER_HELP: &str = "\
Every byte is checked against the provider's signature before it is given out. The provider's
identity is checked against `--provider-key`, or `--provider` and the CAs of `--trust` or of the
profile.

Examples:
  datapact unwrap data.pkg --key-file data.key -o data.csv
  datapact unwrap data.pkg --key-file data.key --provider-key 3f0a... -o - | head
  datapact unwrap data.pkg --key-file data.key --trust trust.toml --provider clinic:CN=alice -o -";

/// Open a package with its key file, without any server
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Unwrap {
    /// The package
    #[arg(value_name = "PKG")]
    package: PathBuf,
    /// The key file that was written with the package
    #[arg(long, value_name = "KEY")]
    key_file: PathBuf,
    /// Where to write the data, or `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Who must have signed the package, as `realm:subject`; its certificate is checked
    #[arg(long, value_name = "IDENTITY")]
    provider: Option<Identity>,
    /// Which public key must have signed the package, as `inspect` and `wrap` show it
    #[arg(long, value_name = "DIGEST")]
    provider_key: Option<Digest>,
    /// The CAs that may vouch for the provider: a `trust.toml`
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

#[derive(Serialize)]
struct Unwrapped {
    package: PackageId,
    provider: Identity,
    provider_key: Digest,
    /// How the provider was checked: `certificate`, `key`, or `none`.
    provider_checked: &'static str,
    metadata: Digest,
    media_type: String,
    size: u64,
}

impl Unwrap {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let reader = PackageReader::open(files::open_seekable(&self.package)?)?;
        let checked = self.check_provider(context, &reader)?;
        files::check_private(&self.key_file)?;
        let key =
            DataKey::from_file(&files::read_small(&self.key_file, KEY_FILE_BYTES_MAX as u64)?)
                .map_err(|e| {
                    Failure::usage(
                        format!("`{}`: {e}", self.key_file.display()),
                        "give the key file",
                    )
                })?;
        let inspection = reader.inspect();
        let expected = Expected {
            metadata: None,
            provider: self.provider.clone(),
            provider_key: self.provider_key,
        };
        let opened = reader.unlock(&key, &expected)?;
        let unwrapped = Unwrapped {
            package: inspection.package,
            provider: inspection.provider,
            provider_key: inspection.provider_key,
            provider_checked: checked,
            metadata: inspection.metadata,
            media_type: inspection.media_type,
            size: inspection.size,
        };
        if checked == "none" {
            context.output.note(format_args!(
                "note: the package says it is from `{}`, and no CA vouches for that; compare the \
                 provider key {} with its provider, or give it with `--provider-key`",
                plain(&unwrapped.provider.to_string()),
                unwrapped.provider_key,
            ));
        }
        self.write(context, &opened)?;
        if files::is_stream(&self.output) {
            // The data are the result; programs that want more read it beside them.
            if context.output.json() {
                context.output.result_beside_data(&unwrapped, "");
            }
            return Ok(());
        }
        let text = format!("{} bytes to {}", unwrapped.size, self.output.display());
        context.output.result(&unwrapped, text)
    }

    /// Checks who signed, by whatever the user gave to check it by.
    fn check_provider(
        &self,
        context: &Context,
        reader: &PackageReader<std::fs::File>,
    ) -> Result<&'static str> {
        let trust = match &self.trust {
            Some(path) => {
                Some(std::sync::Arc::new(datapact_api::trust_file::load(path).map_err(|e| {
                    Failure::usage(e, "see the identity specification for the file's form")
                })?))
            }
            None => context.trust()?,
        };
        let by_key = self.provider_key.is_some();
        match trust {
            Some(trust) => match reader.metadata().verify(&trust, ANYBODY, now()) {
                Ok(()) => Ok("certificate"),
                // What the user demanded is checked or refused; a profile's CAs need not know every
                // provider.
                Err(error) if self.trust.is_some() || self.provider.is_some() => {
                    Err(Failure::untrusted(error, "check the provider, or give another `--trust`"))
                }
                Err(_) => Ok(if by_key { "key" } else { "none" }),
            },
            None if self.provider.is_some() && !by_key => Err(Failure::usage(
                "`--provider` needs CAs to check the certificate by",
                "add `--trust FILE`, or use a profile, or give `--provider-key` instead",
            )),
            None => Ok(if by_key { "key" } else { "none" }),
        }
    }

    fn write(&self, context: &Context, package: &OpenPackage<std::fs::File>) -> Result<()> {
        let output = context.output.beside_data(files::is_stream(&self.output));
        let bar = output.progress("opening", Some(package.size()));
        let mut progress = |done| bar.set_position(done);
        if files::is_stream(&self.output) {
            let mut stdout = Stdout::new(context.global.yes);
            let written = package.decrypt_to(&mut stdout, &mut progress);
            bar.finish_and_clear();
            if stdout.refused {
                return Err(Stdout::refusal());
            }
            written?;
            return std::io::Write::flush(&mut stdout).map_err(|error| Failure::stdout(&error));
        }
        let mut file = NewFile::create(&self.output, true, &context.output)?;
        let written = package.decrypt_to(&mut file, &mut progress);
        bar.finish_and_clear();
        written.map_err(|error| files::package_failure(error, &self.output))?;
        file.keep()
    }
}
