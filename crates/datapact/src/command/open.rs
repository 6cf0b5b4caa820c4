//! `open`: one access, from request to plaintext (7.3.2; UW-1 to UW-6).

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::Args;
use datapact_client::ClientError;
use datapact_client::consumer::{Consumer, Offer};
use datapact_client::open::{OpenOptions, Opened, Output, Target};
use datapact_core::terms::Name;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Stdout};
use crate::output::{self, fields, plain};

const AFTER_HELP: &str = "\
Each opening is one access under the provider's permission, and is recorded on the ledger before the
key is released. The data goes to a pipe or to the terminal. It goes to a file only with --export,
and only where the provider allows edits. An opening that was cut short is repeated at no cost by
running it again.

To hand a share on, keep its package (--keep) and send that file: it is ciphertext. The receiver
opens the file, which asks for an access of the receiver's own, and the provider's terms decide.

Examples:
  datapact open 5d41... --purpose research | head
  datapact open forwarded.pkg
  datapact open 5d41... --export -o vitals.csv
  datapact open 5d41... --keep vitals.pkg > /dev/null";

/// Open a share: ask for access, get the key, check everything, and decrypt
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Open {
    /// The share's id, or a package that was forwarded to you
    #[arg(value_name = "SHARE|PKG")]
    target: String,
    /// What you want the data for; must be one that the provider allows
    #[arg(long, value_name = "NAME")]
    purpose: Option<Name>,
    /// Where to write the data, with --export; `-` for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Write the data to a file, which the provider must have allowed
    #[arg(long)]
    export: bool,
    /// Also keep the package, which is ciphertext, in this file
    #[arg(long, value_name = "PKG")]
    keep: Option<PathBuf>,
}

impl Open {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let to_stdout = files::is_stream(&self.output);
        self.check_output(to_stdout)?;
        let target = match self.target.parse() {
            Ok(share) => Target::Share(share),
            Err(_) if std::path::Path::new(&self.target).exists() => {
                Target::Package(self.target.clone().into())
            }
            Err(_) => {
                return Err(Failure::usage(
                    format!("`{}` is neither a share's id nor a file", self.target),
                    "`datapact catalog search` shows the ids of shares",
                ));
            }
        };
        let consumer = Consumer::new(context.session_finishing_work()?);
        let terminal = to_stdout && std::io::stdout().is_terminal();
        // The SDK knows one error for a stop. What the user was told, with its exit code, is kept
        // beside it. The lock is never held across a call.
        let declined = Mutex::new(None);
        let confirm = |offer: &Offer| {
            context.output.note(introduce(offer));
            match ask(context, terminal, offer) {
                Ok(()) => Ok(()),
                Err(failure) => {
                    let stop = ClientError::usage(failure.detail(), "nothing was spent");
                    *declined.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                        Some(failure);
                    Err(stop)
                }
            }
        };
        let sink = if to_stdout {
            Output::Stream(Box::new(Stdout::new(context.global.yes)))
        } else {
            Output::Export(self.output.clone())
        };
        let options =
            OpenOptions { purpose: self.purpose.clone(), keep_package: self.keep.clone() };
        let (progress, bar) = context.output.beside_data(to_stdout).transfer(None);
        let opened = context.block_on(async {
            Ok(consumer.open(&target, &options, &confirm, sink, progress).await?)
        });
        bar.finish_and_clear();
        let opened = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                let declined =
                    declined.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
                return Err(declined.unwrap_or(failure));
            }
        };
        if to_stdout {
            // The last bytes may fail to be written, so success is reported only after them.
            let mut stdout = std::io::stdout().lock();
            std::io::Write::flush(&mut stdout).map_err(|error| Failure::stdout(&error))?;
            context.output.result_beside_data(&opened, text(&opened));
            return Ok(());
        }
        context.output.result(&opened, text(&opened))
    }

    /// Plaintext does not get into a file by accident.
    fn check_output(&self, to_stdout: bool) -> Result<()> {
        let hint =
            "send the data through a pipe, or add `--export -o FILE` if the provider allows edits";
        if !to_stdout && !self.export {
            return Err(Failure::usage("the data goes to a file only with `--export`", hint));
        }
        if to_stdout && self.export {
            return Err(Failure::usage("`--export` needs a file", "add `-o FILE`"));
        }
        let redirected = std::fs::metadata("/dev/stdout").is_ok_and(|stdout| stdout.is_file());
        if to_stdout && redirected {
            return Err(Failure::usage("standard output is a file", hint));
        }
        Ok(())
    }
}

/// Asks before an access is spent on what a terminal cannot show.
fn ask(context: &Context, terminal: bool, offer: &Offer) -> Result<()> {
    let kind = &offer.entry.information.media_type;
    let readable = kind.starts_with("text/")
        || ["application/json", "application/x-ndjson", "application/xml"].contains(&kind.as_str());
    if terminal && !readable {
        context.output.confirm(format_args!(
            "the data are `{}`, which a terminal cannot show; open them here all the same?",
            plain(kind)
        ))?;
    }
    Ok(())
}

/// Who the provider is, and under what terms, before an access is spent.
fn introduce(offer: &Offer) -> String {
    let key = offer
        .signed
        .as_ref()
        .map_or_else(String::new, |signed| format!(", key {}", signed.provider_key));
    fields(&[
        ("opening", offer.entry.information.title.clone()),
        ("provider", format!("{}{key}", offer.entry.provider)),
        ("expires", output::time(offer.entry.expires)),
    ])
}

fn text(opened: &Opened) -> String {
    let permission = &opened.permission;
    let of = match permission.access_times {
        datapact_core::permission::AccessTimes::Times(times) => format!(" of {times}"),
        datapact_core::permission::AccessTimes::Unlimited => String::new(),
    };
    let mut lines = vec![
        ("share", opened.share.to_string()),
        ("provider", opened.provider.to_string()),
        (
            "access",
            format!("{}{of}{}", permission.access, if opened.repeated { ", repeated" } else { "" }),
        ),
        ("request", opened.request.to_string()),
        (
            "ledger",
            format!("entry {}, proven in a log of {}", opened.proof.position, opened.proof.size),
        ),
        ("data", format!("{} bytes of {}", opened.size, opened.media_type)),
        (
            "usage",
            if opened.usage_reported { "reported" } else { "will be reported by the next run" }
                .to_owned(),
        ),
    ];
    if let Some(path) = &opened.exported {
        lines.push(("exported to", path.display().to_string()));
    }
    if let Some(path) = &opened.package {
        lines.push(("package in", path.display().to_string()));
    }
    fields(&lines)
}
