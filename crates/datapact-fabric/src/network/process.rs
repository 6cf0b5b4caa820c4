//! A node's process: it outlives this one, and is known again by its id and the network's folder in its command line.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{NetworkError, Result};

/// How long a process may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command that administers a node may take; they wait for a block at most 30 s themselves.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);
/// How much of a log's end is shown, in bytes.
const WORDS_BYTES: u64 = 800;
/// What Fabric's programs read their settings from, over the files that this network gives them.
const SETTINGS: [&str; 4] = ["CORE_", "ORDERER_", "CONFIGTX_", "FABRIC_"];

/// `program` with none of Fabric's settings from this process's environment.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if SETTINGS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Starts `command` in a process group of its own, so that what ends this process does not end it. `name` is what it
/// is called: a path below the network's folder.
pub(super) fn start(mut command: Command, name: &Path, log: &Path) -> Result<u32> {
    let file =
        fs::File::options().create(true).append(true).open(log).map_err(|e| NetworkError::file(log, e))?;
    let error = file.try_clone().map_err(|e| NetworkError::file(log, e))?;
    let program = command.get_program().to_owned();
    command.arg0(name).stdout(file).stderr(error).process_group(0);
    let mut child = command.spawn().map_err(|e| cannot_run(Path::new(&program), &e))?;
    let id = child.id();
    // Nobody else waits for it: a process that has ended must not stay a zombie while this one lives.
    std::thread::spawn(move || child.wait());
    Ok(id)
}

/// Runs `command` to its end, and gives what it said: on its output, and, if that is nothing, among its errors.
pub(super) async fn run(command: Command) -> Result<String> {
    let program = Path::new(command.get_program()).to_owned();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = tokio::process::Command::from(command);
    let output = tokio::time::timeout(COMMAND_TIMEOUT, command.kill_on_drop(true).output()).await;
    let output = output
        .map_err(|_| {
            let detail = format!("`{name}` was not done after {} s", COMMAND_TIMEOUT.as_secs());
            NetworkError::new(detail, "see the nodes' logs in the network's folder")
        })?
        .map_err(|e| cannot_run(&program, &e))?;
    let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let said = if said.trim().is_empty() { errors.as_ref() } else { said.as_ref() };
    if output.status.success() {
        return Ok(said.to_owned());
    }
    let errors = if errors.trim().is_empty() { said } else { errors.as_ref() };
    let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(NetworkError::new(
        format!("`{name}` failed: {}", last.trim()),
        "see the nodes' logs in the network's folder",
    ))
}

fn cannot_run(program: &Path, error: &std::io::Error) -> NetworkError {
    NetworkError::new(format!("cannot start `{}`: {error}", program.display()), "check the program")
}

/// Whether the process runs and is of the network in `dir`.
pub(super) fn is_alive(id: u32, dir: &Path) -> bool {
    let asked = Command::new("ps").args(["-o", "state=,command=", "-p", &id.to_string()]).output();
    asked.is_ok_and(|output| {
        let line = String::from_utf8_lossy(&output.stdout);
        !line.trim_start().starts_with('Z') && line.contains(&*dir.to_string_lossy())
    })
}

/// Ends the process and waits until it has.
pub(super) async fn end(id: u32, dir: &Path, kill: bool) -> Result<()> {
    let signal = |signal: &str| Command::new("kill").args([signal, &id.to_string()]).output();
    let failed =
        |e: std::io::Error| NetworkError::new(format!("cannot end the process {id}: {e}"), "end it yourself");
    signal(if kill { "-KILL" } else { "-TERM" }).map_err(failed)?;
    let end = Instant::now() + END_TIMEOUT;
    let mut killed = kill;
    while is_alive(id, dir) {
        if Instant::now() > end {
            if killed {
                return Err(NetworkError::new(format!("the process {id} does not end"), "end it yourself"));
            }
            signal("-KILL").map_err(failed)?;
            killed = true;
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The end of a log.
pub(super) fn last_words(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WORDS_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}
