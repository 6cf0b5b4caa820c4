//! Processes: nodes, which outlive this process and are recognised by their id and the network's
//! folder in their command line; and commands, which end when the task that awaits them does.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{NetworkError, Result};

/// How long a node may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a new process may take to have its command line.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// How much of a log's end is shown, in bytes.
const WORDS_BYTES: u64 = 800;
/// How many of the last lines of what a command says are shown when it fails.
const WORDS_LINES: usize = 5;

/// Starts `command`, of the network in `dir`, in a process group of its own, so that what ends this
/// process does not end it; its id.
///
/// # Errors
/// When it cannot be started.
pub fn start(mut command: Command, log: &Path, dir: &Path) -> Result<u32> {
    let file = fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(|e| NetworkError::file(log, e))?;
    let error = file.try_clone().map_err(|e| NetworkError::file(log, e))?;
    command.stdin(Stdio::null()).stdout(file).stderr(error).process_group(0);
    let mut child = command.spawn().map_err(|e| cannot_run(&command, &e))?;
    let id = child.id();
    // It has its command line, by which it is known again, a moment later: without it an
    // interruption would leave it.
    let end = Instant::now() + KNOWN_TIMEOUT;
    while !is_alive(id, dir) && matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Without a thread that waits for it, a process that has ended would stay a zombie while this
    // one lives.
    std::thread::spawn(move || child.wait());
    Ok(id)
}

/// Whether the process runs and is of the network in `dir`.
pub fn is_alive(id: u32, dir: &Path) -> bool {
    let listed = tool("ps").args(["-o", "state=,command=", "-p", &id.to_string()]).output();
    listed.is_ok_and(|output| {
        let line = String::from_utf8_lossy(&output.stdout);
        !line.trim_start().starts_with('Z') && line.contains(&*dir.to_string_lossy())
    })
}

/// Ends the process of the network in `dir`, at once if `kill`, and waits until it has.
///
/// # Errors
/// When it does not end.
pub async fn end(id: u32, dir: &Path, kill: bool) -> Result<()> {
    let failed = |e: io::Error| {
        NetworkError::new(format!("cannot end the process {id}: {e}"), "end it yourself")
    };
    let mut killed = kill;
    signal(if kill { "-KILL" } else { "-TERM" }, &id.to_string()).map_err(failed)?;
    let end = Instant::now() + END_TIMEOUT;
    while is_alive(id, dir) {
        if Instant::now() > end {
            if killed {
                return Err(NetworkError::new(
                    format!("the process {id} does not end"),
                    "end it yourself",
                ));
            }
            signal("-KILL", &id.to_string()).map_err(failed)?;
            killed = true;
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn signal(signal: &str, to: &str) -> io::Result<()> {
    tool("kill").args([signal, "--", to]).output().map(drop)
}

/// A program of the system, in a process group of its own: Ctrl-C, which goes to all of a
/// terminal's group, does not end it, and what it would have said is not missed.
fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.process_group(0);
    command
}

/// The node `name` does not answer; what its log says last.
pub fn no_answer(name: &str, log: &Path) -> NetworkError {
    let detail = format!("{name} does not answer: {}", last_words(log));
    NetworkError::new(detail, format!("its log is `{}`", log.display()))
}

/// The end of a log.
fn last_words(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WORDS_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

/// Runs `command` to its end, and gives what it said: on its output, and, if that is nothing, among
/// its errors. It and what it has started are killed when it takes longer than `timeout`, or when
/// this future is dropped.
///
/// # Errors
/// That it cannot be started, fails, with what it said last and `hint`, or takes too long.
pub async fn run(mut command: Command, timeout: Duration, hint: &str) -> Result<String> {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut command = tokio::process::Command::from(command);
    let child = command.kill_on_drop(true).spawn().map_err(|e| cannot_run(command.as_std(), &e))?;
    let group = child.id().map(Group);
    let output = tokio::time::timeout(timeout, child.wait_with_output()).await.map_err(|_| {
        NetworkError::new(format!("`{name}` was not done after {} s", timeout.as_secs()), hint)
    })?;
    let output = output.map_err(|e| cannot_run(command.as_std(), &e))?;
    // It has ended by itself: there is nothing to kill.
    std::mem::forget(group);
    let [said, errors] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let (said, errors) = match (said.trim().is_empty(), errors.trim().is_empty()) {
        (true, _) => (&errors, &errors),
        (false, true) => (&said, &said),
        (false, false) => (&said, &errors),
    };
    if output.status.success() {
        return Ok(said.clone().into_owned());
    }
    let lines: Vec<&str> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(WORDS_LINES)..).unwrap_or_default();
    Err(NetworkError::new(format!("`{name}` failed: {}", last.join("\n")), hint))
}

/// The processes of a command, which are killed when this is dropped.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = signal("-KILL", &format!("-{}", self.0));
    }
}

fn cannot_run(command: &Command, error: &io::Error) -> NetworkError {
    let program = Path::new(command.get_program()).display();
    NetworkError::new(format!("cannot start `{program}`: {error}"), "check the program")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_command_says_what_it_said_and_why_it_failed() {
        let patience = Duration::from_secs(60);
        assert_eq!(run(shell("echo out; echo err >&2"), patience, "").await.unwrap(), "out\n");
        assert_eq!(run(shell("echo err >&2"), patience, "").await.unwrap(), "err\n");
        let error =
            run(shell("echo out; echo why >&2; exit 3"), patience, "go on so").await.unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: why; go on so");
        let error = run(Command::new("/no/such"), patience, "").await.unwrap_err();
        assert!(error.detail.contains("cannot start `/no/such`"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_is_not_awaited_any_more_is_gone_with_what_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("child");
        let script =
            format!("sleep 1000 & echo $! > '{}.new'; mv '{0}.new' '{0}'; wait", file.display());
        let running = tokio::spawn(run(shell(&script), Duration::from_secs(1000), ""));
        while !file.exists() {
            tokio::time::sleep(POLL).await;
        }
        let child: u32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert!(is_alive(child, Path::new("sleep 1000")));
        running.abort();
        let end = Instant::now() + END_TIMEOUT;
        while is_alive(child, Path::new("sleep 1000")) {
            assert!(Instant::now() < end, "it lives");
            tokio::time::sleep(POLL).await;
        }
    }
}
