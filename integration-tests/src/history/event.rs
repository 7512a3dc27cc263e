//! What happened when: records of a fixed size, appended to one file per process.
use super::fault::{Fault, Point, Trial};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// The detail of an [`What::Acked`] whose worker heard that the cache was told.
pub const TOLD: u8 = 1;

/// How many bytes a record takes.
const RECORD: usize = 32;

/// Nanoseconds of the machine's monotonic clock, which all processes share.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

macro_rules! whats { ($($(#[$doc:meta])* $what:ident)*) => {
    /// What happened.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum What { $($(#[$doc])* $what),* }

    const WHATS: &[What] = &[$(What::$what),*];
} }

whats! {
    /// A write begins, of the mark in `v`. Which rows it hit, the ledger knows.
    Started
    /// It returned success, and `count` as the number of rows. With the `detail` [`TOLD`] the cache was told
    /// before.
    Acked
    /// Its transaction was rolled back on purpose, so that it can never have been committed.
    RolledBack
    /// It returned an error that says that nothing was written.
    Refused
    /// It returned an error or was dropped, and may have been committed or not.
    Unknown
    /// The store answered an intent.
    Placed
    /// It did not.
    PlaceFailed
    /// The store answered the release of the thread's own intent.
    Released
    /// It did not.
    ReleaseFailed
    /// The store answered a release that had been postponed.
    Drained
    /// Reads in a row that returned the same value: the latest begin and the earliest end among them.
    Read
    /// A lookup returned another row than it asked for.
    Misread
    /// What an operation tried has come about.
    Tried
    /// A fault is about to be injected.
    Faulted
    /// Lookups so far: hits in `begin`, others in `end`.
    Looked
    /// The store lost everything between the two times.
    Lost
    /// The process was seen dead.
    Died
}

/// A record; what a kind of record has no use for is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub what: What,
    /// To which thread of the process.
    pub thread: u8,
    /// To which row, by its place in the list; of a read the register.
    pub row: u8,
    /// A fault's point and kind, or a trial.
    pub detail: u8,
    /// How many reads, or rows.
    pub count: u32,
    /// The row's value, or a write's mark.
    pub v: i64,
    /// The time before it.
    pub begin: u64,
    /// The time after it.
    pub end: u64,
}

impl Event {
    /// An event of this moment.
    #[must_use]
    pub fn new(what: What, thread: u8, row: u8) -> Self {
        let now = now();
        Self { what, thread, row, detail: 0, count: 0, v: 0, begin: now, end: now }
    }

    /// The fault that a [`What::Faulted`] tells of.
    #[must_use]
    pub fn fault(&self) -> Option<(Point, Fault)> {
        let (point, fault) = (usize::from(self.detail >> 4), usize::from(self.detail & 15));
        (self.what == What::Faulted).then_some(())?;
        Some((*Point::ALL.get(point)?, *Fault::ALL.get(fault)?))
    }

    /// With a fault for [`fault`](Self::fault).
    #[must_use]
    pub fn with_fault(self, point: Point, fault: Fault) -> Self {
        Self { detail: (point as u8) << 4 | fault as u8, ..self }
    }

    /// The trial that a [`What::Tried`] tells of.
    #[must_use]
    pub fn trial(&self) -> Option<Trial> {
        (self.what == What::Tried).then_some(())?;
        Trial::ALL.get(usize::from(self.detail)).copied()
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        out[..4].copy_from_slice(&[self.what as u8, self.thread, self.row, self.detail]);
        out[4..8].copy_from_slice(&self.count.to_le_bytes());
        out[8..16].copy_from_slice(&self.v.to_le_bytes());
        out[16..24].copy_from_slice(&self.begin.to_le_bytes());
        out[24..].copy_from_slice(&self.end.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8; RECORD]) -> Self {
        let eight = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().unwrap() };
        Self {
            what: WHATS[usize::from(bytes[0])],
            thread: bytes[1],
            row: bytes[2],
            detail: bytes[3],
            count: u32::from_le_bytes(bytes[4..8].try_into().unwrap()),
            v: i64::from_le_bytes(eight(8)),
            begin: u64::from_le_bytes(eight(16)),
            end: u64::from_le_bytes(eight(24)),
        }
    }
}

/// The log that a process appends to: each record is one unbuffered call, so that a kill loses none and threads
/// need no lock.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// A new log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().create(true).append(true).open(path)?))
    }

    /// Appends.
    pub fn add(&self, event: Event) {
        (&self.0).write_all(&event.to_bytes()).unwrap();
    }
}

/// Reads a log while it grows.
#[derive(Debug)]
pub struct Tail {
    file: File,
    rest: Vec<u8>,
}

impl Tail {
    /// From the beginning.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, rest: Vec::new() })
    }

    /// The events since the last call.
    ///
    /// # Errors
    /// What the file system says.
    pub fn events(&mut self) -> io::Result<Vec<Event>> {
        self.file.read_to_end(&mut self.rest)?;
        let (records, rest) = self.rest.as_chunks::<RECORD>();
        let events = records.iter().map(Event::from_bytes).collect();
        self.rest = rest.to_vec();
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_logged_is_read_while_the_log_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log::create(&path).unwrap();
        let mut tail = Tail::open(&path).unwrap();
        for (number, what) in WHATS.iter().enumerate() {
            let event = Event { count: 7, v: -1, end: u64::MAX, ..Event::new(*what, 1, 2) };
            let event = event.with_fault(Point::ALL[number % 6], Fault::ALL[number % 4]);
            log.add(event);
            assert_eq!(tail.events().unwrap(), [event]);
            assert_eq!(event.fault().is_some(), *what == What::Faulted);
        }
        assert_eq!(tail.events().unwrap(), []);
    }
}
