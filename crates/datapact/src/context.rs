//! What a command gets besides its own arguments.

use std::future::Future;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use clap::builder::FalseyValueParser;
use datapact_api::problem::{Kind, Problem};
use datapact_api::trace::{Traceparent, within};
use datapact_client::session::Refreshed;
use datapact_client::{Home, Profile, Provider, Session};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::jws::Signer;
use datapact_core::trust::{Trust, validity};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Output, plain};

/// From how many days before its end on commands say that the user's certificate ends.
const EXPIRY_WARNING_DAYS: u64 = 14;
/// The trace that a command belongs to, as the W3C's `traceparent` header tells it.
const TRACE_VARIABLE: &str = "TRACEPARENT";
/// The longest passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: usize = 1024;

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The profile to act as; the current one if not given
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "DATAPACT_PROFILE",
        hide_env_values = true
    )]
    pub(crate) profile: Option<String>,
    /// The folder of profiles; `~/.datapact` if not given
    #[arg(long, global = true, value_name = "DIR", env = "DATAPACT_HOME", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// A file whose first line is the passphrase of the private key; asked for on the terminal if
    /// not given
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DATAPACT_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Print JSON: one object, or one a line where there are many
    #[arg(
        long,
        global = true,
        env = "DATAPACT_JSON",
        value_parser = FalseyValueParser::new(),
        hide_env_values = true
    )]
    pub(crate) json: bool,
    /// Answer every question with yes
    #[arg(
        long,
        short,
        global = true,
        env = "DATAPACT_YES",
        value_parser = FalseyValueParser::new(),
        hide_env_values = true
    )]
    pub(crate) yes: bool,
}

/// The global options, and what follows from them.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { output: Output::new(global.json, global.yes), global }
    }

    /// The folder of profiles.
    pub(crate) fn home(&self) -> Result<Home> {
        Ok(Home::locate(self.global.home.clone())?)
    }

    /// The chosen profile.
    pub(crate) fn profile(&self) -> Result<Profile> {
        let home = self.home()?;
        let name = home.choose(self.global.profile.as_deref())?;
        let passphrase = self.passphrase_of(&home.profile_folder(&name)?.join("key.pem"))?;
        Ok(Profile::load(&home, &name, passphrase.as_ref().map(|p| p.as_str()))?)
    }

    /// The chosen profile, else the current one, if any.
    fn profile_if_any(&self) -> Result<Option<Profile>> {
        // Without a home directory, or with several profiles and none current, it is unclear as
        // which user to act.
        let chosen = self.global.profile.is_some();
        let current = Home::locate(self.global.home.clone())
            .is_ok_and(|home| matches!(home.current(), Ok(Some(_))));
        if chosen || current { self.profile().map(Some) } else { Ok(None) }
    }

    /// The servers of the chosen profile.
    pub(crate) fn session(&self) -> Result<Session> {
        let profile = self.profile()?;
        self.warn_of_expiry(&profile);
        let session = Session::connect(profile)?;
        let refreshed = self.block_on(async { Ok(session.refresh_enrolment_if_due().await?) })?;
        self.tell_of_enrolment(&refreshed);
        Ok(refreshed.session)
    }

    /// The servers of the chosen profile, by the newest version of its enrolment; nothing is
    /// returned unless management can be asked for it.
    pub(crate) fn session_refreshed(&self, pinned: Option<&Digest>) -> Result<Refreshed> {
        let session = Session::connect(self.profile()?)?;
        let refreshed = self.block_on(async { Ok(session.refresh_enrolment(pinned).await?) })?;
        self.tell_of_enrolment(&refreshed);
        Ok(refreshed)
    }

    /// Says what a new version of the enrolment has changed.
    fn tell_of_enrolment(&self, refreshed: &Refreshed) {
        if !refreshed.renewed {
            return;
        }
        let enrolment = refreshed.session.profile().enrolment();
        self.output.note(format_args!(
            "note: version {} of the enrolment, {}",
            enrolment.version,
            enrolment.fingerprint()
        ));
        for change in &refreshed.changes {
            self.output.note(format_args!("note:   {}", plain(&change.to_string())));
        }
    }

    /// Says in time that the user's certificate ends.
    fn warn_of_expiry(&self, profile: &Profile) {
        let ends =
            profile.signer().chain().iter().filter_map(|certificate| validity(certificate).ok());
        let Some(end) = ends.map(|(_, end)| end).min() else { return };
        let days = end.saturating_sub(now()) / (24 * 60 * 60);
        if days < EXPIRY_WARNING_DAYS {
            self.output.note(format_args!(
                "note: the certificate of `{}` ends in {days} days; `datapact identity renew` \
                 renews it",
                profile.name()
            ));
        }
    }

    /// The servers of the chosen profile, once what an earlier run could not finish is finished or
    /// undone.
    pub(crate) fn session_finishing_work(&self) -> Result<Session> {
        let session = self.session()?;
        let provider = Provider::new(session.clone());
        for work in self.block_on(async { Ok(provider.finish_pending().await?) })? {
            let share = work.share.map_or_else(String::new, |share| format!(" of share `{share}`"));
            let state = if work.done { "finished" } else { "still unfinished" };
            self.output.note(format_args!(
                "note: {state}: {}{share}: {}",
                work.work,
                plain(&work.detail)
            ));
        }
        Ok(session)
    }

    /// What signs in the name of the chosen profile; none where there is no profile.
    pub(crate) fn signer(&self) -> Result<Option<Arc<Signer>>> {
        Ok(self.profile_if_any()?.map(|profile| Arc::clone(profile.signer())))
    }

    /// The CAs of the chosen profile; none where there is no profile.
    pub(crate) fn trust(&self) -> Result<Option<Arc<Trust>>> {
        Ok(self.profile_if_any()?.map(|profile| profile.trust()))
    }

    /// Runs what talks to servers: all of it one trace, which the caller may name.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let given = std::env::var(TRACE_VARIABLE).ok().and_then(|text| text.parse().ok());
        let traced = within(given.unwrap_or_else(Traceparent::random), future);
        run_on(tokio::runtime::Builder::new_multi_thread().worker_threads(2), traced)
    }

    /// Runs a server.
    pub(crate) fn block_on_all_cores<T>(
        &self,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        run_on(&mut tokio::runtime::Builder::new_multi_thread(), future)
    }

    /// The passphrase of the private key at `path`, if it has one: from the file given, else asked
    /// for.
    pub(crate) fn passphrase_of(&self, path: &Path) -> Result<Option<Zeroizing<String>>> {
        let encrypted = std::fs::read(path).map(Zeroizing::new).is_ok_and(|pem| {
            pem.windows(b"ENCRYPTED PRIVATE KEY".len())
                .any(|window| window == b"ENCRYPTED PRIVATE KEY")
        });
        if !encrypted {
            return Ok(None);
        }
        if let Some(passphrase) = self.passphrase_file()? {
            return Ok(Some(passphrase));
        }
        ask_passphrase(&format!("passphrase of `{}`: ", path.display())).map(Some)
    }

    /// A passphrase for a new private key: from the file given, else asked for, twice.
    pub(crate) fn new_passphrase(&self) -> Result<Zeroizing<String>> {
        if let Some(passphrase) = self.passphrase_file()? {
            return Ok(passphrase);
        }
        let passphrase = ask_passphrase("new passphrase: ")?;
        if *ask_passphrase("the same again: ")? != *passphrase {
            return Err(Failure::usage("the two passphrases differ", "try again"));
        }
        Ok(passphrase)
    }

    fn passphrase_file(&self) -> Result<Option<Zeroizing<String>>> {
        let Some(path) = &self.global.passphrase_file else { return Ok(None) };
        if path.is_file() {
            files::check_private(path)?;
        }
        let wrong = || {
            Failure::usage(
                format!("the first line of `{}` is not a passphrase", path.display()),
                format!("it must be 1 to {PASSPHRASE_BYTES_MAX} bytes of UTF-8"),
            )
        };
        let file =
            std::fs::File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * PASSPHRASE_BYTES_MAX));
        file.take(2 * PASSPHRASE_BYTES_MAX as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::file("read", path, &error))?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| wrong())?;
        if text.is_empty() || text.len() > PASSPHRASE_BYTES_MAX {
            return Err(wrong());
        }
        Ok(Some(Zeroizing::new(text.to_owned())))
    }
}

fn run_on<T>(
    runtime: &mut tokio::runtime::Builder,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Kind::Internal, format_args!("cannot start: {error}")))?;
    let result = runtime.block_on(future);
    // What still runs in the background is of no use once the command is done.
    runtime.shutdown_background();
    result
}

fn ask_passphrase(question: &str) -> Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "the private key has a passphrase, and there is no terminal to ask for it",
            "give it in a file with `--passphrase-file`",
        ));
    }
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(|error| {
        Failure::local(
            format_args!("cannot ask for the passphrase: {error}"),
            "use `--passphrase-file`",
        )
    })
}

/// This machine's time.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
