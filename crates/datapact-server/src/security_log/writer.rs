//! Writing the log: what waits becomes lines, alike events one line, and the file is put aside when
//! it is long.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use datapact_core::id::Timestamp;
use datapact_log::clock::Clock;

use super::chain::{End, LINE_BYTES_MAX};
use super::{Event, Kind, Report, SecurityLogConfig, WAITING_MAX};

/// How long alike events are gathered into one line.
const GATHER: Duration = Duration::from_millis(200);

/// Where lines are sent, too. It must not wait for long.
pub(super) trait Export: Send {
    /// Sends a line, if it can.
    fn send(&mut self, time: Timestamp, kind: Kind, line: &str);

    /// Sends what is left.
    fn end(&mut self) {}
}

/// The file, open at its end.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    length: u64,
    end: End,
    server: String,
    file_bytes_max: u64,
    files_kept: usize,
    exports: Vec<Box<dyn Export>>,
    /// What a crash has left of a line was taken out.
    is_repaired: bool,
}

impl Writer {
    pub(super) fn open(
        path: PathBuf,
        config: &SecurityLogConfig,
        server: &str,
        exports: Vec<Box<dyn Export>>,
    ) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| {
            format!("the security log `{}`: {error}", path.display())
        };
        let mut file = open(&path).map_err(|error| wrong(&error))?;
        let is_repaired = take_out_partial(&mut file).map_err(|error| wrong(&error))?;
        let mut end = last(&mut file).map_err(|error| wrong(&error))?;
        if end.is_none()
            && let Some((_, aside)) = aside(&path).map_err(|error| wrong(&error))?.pop()
        {
            let mut file = File::open(&aside).map_err(|error| wrong(&error))?;
            end = last(&mut file).map_err(|error| wrong(&error))?;
        }
        let length = file.seek(SeekFrom::End(0)).map_err(|error| wrong(&error))?;
        Ok(Self {
            file,
            length,
            end: end.unwrap_or_default(),
            server: server.to_owned(),
            file_bytes_max: config.file_bytes_max,
            files_kept: config.files_kept,
            exports,
            is_repaired,
            path,
        })
    }

    /// Writes until no one can report any more.
    pub(super) fn run(mut self, waiting: &Receiver<Report>, lost: &AtomicU64, now: &Clock) {
        if self.is_repaired {
            self.write(vec![(now(), Event::new(Kind::LineRepaired), 1)]);
        }
        let mut is_ending = false;
        while !is_ending && let Ok(Some(first)) = waiting.recv() {
            let mut batch = Vec::new();
            is_ending = gather(first, waiting, &mut batch);
            match lost.swap(0, Ordering::Relaxed) {
                0 => {}
                count => batch.push((now(), Event::new(Kind::EventsLost), count)),
            }
            self.write(batch);
        }
        self.exports.iter_mut().for_each(|export| export.end());
    }

    /// A batch that cannot be written is said in the server's log, which is all that is left to do.
    fn write(&mut self, batch: Vec<(Timestamp, Event, u64)>) {
        let mut text = String::new();
        let before = self.end;
        let mut lines = Vec::with_capacity(batch.len());
        for reported in &batch {
            let line = self.end.append(&self.server, reported);
            text.push_str(&line);
            text.push('\n');
            lines.push((reported.0, reported.1.event, line));
        }
        if let Err(error) = self.append(text.as_bytes()) {
            tracing::error!(%error, events = batch.len(), "the security log was not written");
            self.end = before;
            return;
        }
        for (time, kind, line) in lines {
            self.exports.iter_mut().for_each(|export| export.send(time, kind, &line));
        }
    }

    /// Durable when this returns.
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.length >= self.file_bytes_max {
            self.put_aside()?;
        }
        let written = self.file.write_all(text).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would be no line for good.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += text.len() as u64;
        Ok(())
    }

    /// Puts the file aside under the number of its last line, and begins another.
    fn put_aside(&mut self) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{:020}", last(&mut self.file)?.unwrap_or_default().sequence));
        fs::rename(&self.path, name)?;
        self.file = open(&self.path)?;
        self.length = 0;
        let all = aside(&self.path)?;
        let old = all.len().saturating_sub(self.files_kept);
        for (_, path) in all.into_iter().take(old) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Gathers `first` and what else comes within [`GATHER`]; alike events are counted. Whether it is
/// to be the last batch.
fn gather(
    first: (Timestamp, Event),
    waiting: &Receiver<Report>,
    batch: &mut Vec<(Timestamp, Event, u64)>,
) -> bool {
    let until = Instant::now() + GATHER;
    let mut places: HashMap<Event, usize> = HashMap::new();
    let mut next = Some(first);
    while let Some((time, event)) = next {
        match places.get(&event).and_then(|place| batch.get_mut(*place)) {
            Some((_, _, count)) => *count += 1,
            None => {
                places.insert(event.clone(), batch.len());
                batch.push((time, event, 1));
            }
        }
        if batch.len() >= WAITING_MAX {
            break;
        }
        next = match waiting.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(None) => return true,
            Ok(more) => more,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        };
    }
    false
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The files that were put aside, oldest first.
fn aside(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let number = file.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.'));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Takes out what is behind the last end of a line; whether there was anything.
fn take_out_partial(file: &mut File) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail = tail(file, length)?;
    let partial = tail.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
    if partial == 0 {
        return Ok(false);
    }
    file.set_len(length - partial)?;
    file.sync_data()?;
    Ok(true)
}

/// The end of what is in the file; none if it is empty.
fn last(file: &mut File) -> io::Result<Option<End>> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail = tail(file, length)?;
    let Some(line) =
        tail.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|b| *b == b'\n').next())
    else {
        return Ok(None);
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its last line is none");
    End::of(line).map(Some).ok_or_else(damaged)
}

/// The last bytes of the file, more than a line's.
fn tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let size = length.min(2 * LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(length - size))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}
