//! Writing on a second thread, so that making bytes and writing them take place at the same time.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::package::PackageError;

/// Buffers in flight.
const BUFFERS: usize = 4;

/// Takes filled buffers to the writer and brings emptied ones back.
pub(crate) struct Sink {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    made: usize,
    capacity: usize,
}

impl Sink {
    /// A buffer as long as the pipe's capacity, with any content.
    pub(crate) fn buffer(&mut self) -> Result<Vec<u8>, PackageError> {
        let mut buffer = match self.empty.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if self.made < BUFFERS => {
                self.made += 1;
                Vec::new()
            }
            Err(_) => self.empty.recv().map_err(|_| PackageError::OutputClosed)?,
        };
        buffer.resize(self.capacity, 0); // Costs nothing when it was full before.
        Ok(buffer)
    }

    /// Hands the first `used` bytes of a buffer over to be written.
    pub(crate) fn write(&mut self, mut buffer: Vec<u8>, used: usize) -> Result<(), PackageError> {
        buffer.truncate(used);
        self.full.send(buffer).map_err(|_| PackageError::OutputClosed)
    }
}

/// Runs `make`, and writes what it hands to its sink to `output` on another thread. When `make` fails, what it
/// had handed over before is still written, and its error returned; an error of `output` goes before.
pub(crate) fn pipe<T>(
    capacity: usize,
    output: &mut (impl Write + Send),
    make: impl FnOnce(&mut Sink) -> Result<T, PackageError>,
) -> Result<T, PackageError> {
    let (full, filled) = sync_channel::<Vec<u8>>(BUFFERS);
    let (emptied, empty) = channel();
    thread::scope(|scope| {
        let writer = scope.spawn(move || write(&filled, &emptied, output));
        let mut sink = Sink { full, empty, made: 0, capacity };
        let made = make(&mut sink);
        drop(sink);
        match writer.join() {
            Ok(Ok(())) => made,
            Ok(Err(error)) => Err(PackageError::Write(error)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn write(
    filled: &Receiver<Vec<u8>>,
    emptied: &Sender<Vec<u8>>,
    output: &mut impl Write,
) -> std::io::Result<()> {
    for buffer in filled {
        output.write_all(&buffer)?;
        // Nobody waits for it any more at the end.
        let _ = emptied.send(buffer);
    }
    output.flush()
}
