//! `doctor`: what is wrong with a profile's home or with a server's folder, and what to do about
//! it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::doctor::{self, Level};
use crate::failure::{Failure, Result};
use crate::output::complain;

const AFTER_HELP: &str = "\
Without a role it looks at the chosen profile: files, certificates, clock, servers, account and
log. With a role it looks at that server's configuration and folder, and at the servers that it
needs, with the server's own certificate; the server may be running or not. Repair errors now, and
warnings soon. The exit code is 9 if there is an error.

Examples:
  datapact doctor
  datapact doctor key --config key/key.toml --json";

/// Look for what is wrong, and say what to do about it
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Doctor {
    /// Whose configuration it is; the chosen profile is looked at if not given
    #[arg(requires = "config")]
    role: Option<Role>,
    /// The server's configuration file
    #[arg(long, value_name = "FILE", env = "DATAPACT_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Management
    Management,
    /// A key server
    Key,
    /// A storage server
    Storage,
}

impl Doctor {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let findings = match (self.role, &self.config) {
            (None, _) | (_, None) => doctor::profile::examine(context),
            (Some(Role::Management), Some(config)) => doctor::server::management(context, config),
            (Some(Role::Key), Some(config)) => doctor::server::key(context, config),
            (Some(Role::Storage), Some(config)) => doctor::server::storage(context, config),
        };
        for finding in &findings {
            let mut text =
                format!("{:<8} {}: {}", finding.level.name(), finding.subject, finding.detail);
            if let Some(advice) = &finding.advice {
                text.push_str(&format!("\n         {advice}"));
            }
            context.output.result(finding, text)?;
        }
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        match (count(Level::Error), count(Level::Warning)) {
            (0, warnings) => {
                if !context.output.json() {
                    complain(&format!("no errors, {warnings} warnings, {} checks", findings.len()));
                }
                Ok(())
            }
            (errors, warnings) => Err(Failure::local(
                format!("{errors} errors, {warnings} warnings, {} checks", findings.len()),
                "follow the advice under each finding, and run it again",
            )),
        }
    }
}
