//! `inspect`: what a package says of itself.

use std::path::PathBuf;

use clap::Args;
use datapact_core::package::PackageReader;

use crate::context::Context;
use crate::failure::Result;
use crate::files;
use crate::output::fields;

const AFTER_HELP: &str = "\
Nothing is decrypted and no key is needed. The signature fits the certificate in the package;
whether that certificate is to be trusted is decided by `unwrap` and `open`. Compare the provider
key with your provider.

Example:
  datapact inspect data.pkg";

/// Show what a package says of itself: its ids, provider and size
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// The package
    #[arg(value_name = "PKG")]
    package: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let inspection = PackageReader::open(files::open_seekable(&self.package)?)?.inspect();
        let mut lines = vec![
            ("package", inspection.package.to_string()),
            ("key", inspection.key.to_string()),
            ("provider", inspection.provider.to_string()),
            ("provider key", inspection.provider_key.to_string()),
            ("signed", crate::output::time(inspection.time)),
            ("metadata", inspection.metadata.to_string()),
            ("media type", inspection.media_type.clone()),
            ("data", format!("{} bytes", inspection.size)),
            ("file", format!("{} bytes", inspection.package_size)),
            ("root", inspection.root.to_string()),
        ];
        if let Some(share) = inspection.share {
            lines.push(("share", share.to_string()));
        }
        if inspection.management.is_empty() {
            lines.push(("management", "none: an offline package".to_owned()));
        } else {
            lines.push(("management", inspection.management.clone()));
        }
        context.output.result(&inspection, fields(&lines))
    }
}
