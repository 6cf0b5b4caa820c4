//! `notification`: what a user should know (US-5).

use clap::{Args, Subcommand};
use datapact_api::management::{Notification as Notice, NotificationEvent};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Result;
use crate::output;

const AFTER_HELP: &str = "\
Examples:
  datapact notification list
  datapact notification ack 12";

/// See what happened to your shares and accesses
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Notification {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List notifications, oldest first: those not acknowledged yet
    List {
        /// The acknowledged ones too
        #[arg(long)]
        all: bool,
    },
    /// Acknowledge the notifications up to a number, so that `list` shows them no more
    Ack {
        /// The number
        sequence: u64,
    },
}

#[derive(Serialize)]
struct Acknowledged {
    acknowledged: u64,
}

impl Notification {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let session = context.session()?;
        match self.command {
            Verb::List { all } => {
                let list = context.block_on(async { Ok(session.notifications(all).await?) })?;
                let rows: Vec<_> = list.iter().map(row).collect();
                context.output.list(&list, ["NUMBER", "TIME", "SHARE", "EVENT"], &rows)
            }
            Verb::Ack { sequence } => {
                context.block_on(async { Ok(session.acknowledge(sequence).await?) })?;
                let text = format!("acknowledged up to {sequence}");
                context.output.result(&Acknowledged { acknowledged: sequence }, text)
            }
        }
    }
}

fn row(notice: &Notice) -> [String; 4] {
    let event = match &notice.event {
        NotificationEvent::PolicySet { version, state, .. } => {
            format!("policy version {version} is set, {}", output::state(*state))
        }
        NotificationEvent::AccessGranted { consumer, access, .. } => {
            format!("access {access} of `{consumer}` was granted")
        }
        NotificationEvent::UsageReported { consumer, action, .. } => {
            format!("`{consumer}` reported: {}", output::action(*action))
        }
    };
    [notice.sequence.to_string(), output::time(notice.time), notice.share.to_string(), event]
}
