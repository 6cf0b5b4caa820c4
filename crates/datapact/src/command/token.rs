//! `token`: the access tokens of accesses that were granted (MG-16).

use clap::{Args, Subcommand};
use datapact_api::management::Introspection;
use datapact_core::id::Digest;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Result;
use crate::output::{self, fields};

const AFTER_HELP: &str = "\
A token is named by the access request that it was granted for, as `open` and `record list` show it.

Examples:
  datapact token introspect 3f0c...
  datapact token revoke 3f0c...";

/// See and revoke the access tokens of your accesses, and of those to your shares
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Token {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Tell whether the access token of an access is good
    Introspect {
        /// The access request
        request: Digest,
    },
    /// Make the access token of an access good for nothing, at the key server too
    ///
    /// The access is spent all the same, and a key that was released before stays released.
    Revoke {
        /// The access request
        request: Digest,
    },
}

#[derive(Serialize)]
struct Revoked {
    revoked: Digest,
}

impl Token {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Introspect { request } => {
                let session = context.session()?;
                let told = context.block_on(async { Ok(session.token(&request).await?) })?;
                context.output.result(&told, text(&told))
            }
            Verb::Revoke { request } => {
                let question = format_args!("revoke the access token of `{request}` for good?");
                context.output.confirm(question)?;
                let session = context.session()?;
                context.block_on(async { Ok(session.revoke_token(&request).await?) })?;
                let text = format!("the access token of {request} is good for nothing any more");
                context.output.result(&Revoked { revoked: request }, text)
            }
        }
    }
}

fn text(told: &Introspection) -> String {
    let Some(token) = told.token.as_ref().filter(|_| told.active) else {
        return "not good: dead, revoked, or of a share or account that is not active".to_owned();
    };
    fields(&[
        ("good until", output::time(token.exp)),
        ("granted", output::time(token.iat)),
        ("key server", token.aud.clone()),
        ("account", token.sub.to_string()),
        ("share", token.share.to_string()),
        ("key", token.key.to_string()),
    ])
}
