//! What a thread of a worker keeps from one operation to the next, whichever connection it is on.
use super::event::{Event, Log, TOLD, What, now};
use super::fault::{Defect, Fault, Point, Trial};
use super::ledger::{ABSENT, REGISTERS, SOME};
use super::link::Database;
use super::model::{History, Part, code};
use super::orders::Orders;
use super::plan::{Plan, Step};
use super::store::FaultyStore;
use super::{PARTS, ROWS};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use fastrand::Rng;
use model_runtime::prelude::*;
use std::sync::Arc;

/// How long a run of equal reads may grow before it is logged.
const LONGEST_RUN: u64 = 100_000_000;
/// One read of so many asks the database, and so knows what was committed whatever the cache holds.
const WITNESS: u32 = 10;
/// Of 100 operations.
const WRITES: u32 = 3;
/// Of so many reads one is of a part.
const PARTS_READ: u32 = 4;
/// Errors in a row, after which a connection is replaced.
const ENOUGH: u32 = 20;
/// A defect of writes strikes one of so many.
const SELDOM: u64 = 20;

/// Reads in a row that returned the same value.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    count: u32,
    v: i64,
    latest_begin: u64,
    earliest_end: u64,
}

/// Why a transaction did not commit.
#[derive(Debug)]
pub(super) enum Stop {
    OnPurpose,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A lookup whose answer is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Inside a transaction, where no lookup asks the store.
    InDatabase(u8),
    BySlug(u8),
    ById(u8, i32),
    PartByCode(u8, String),
    PartBySlug(u8),
}

impl Lookup {
    /// Whose answer it is.
    pub(super) fn register(&self) -> u8 {
        match self {
            Self::InDatabase(row) | Self::BySlug(row) | Self::ById(row, _) => *row,
            Self::PartByCode(part, _) => ROWS + part,
            Self::PartBySlug(slot) => ROWS + PARTS + slot,
        }
    }
}

/// What a lookup returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Value(i64),
    AnotherRow,
    Nothing,
}

impl Answer {
    /// The value, where it is the row that was asked for.
    pub(super) fn of(right: bool, v: i64) -> Self {
        if right { Self::Value(v) } else { Self::AnotherRow }
    }
}

/// What the next operation runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    SameSession,
    /// On the same connection.
    NewSession,
    Reconnect,
}

/// What an operation does.
pub(super) enum Turn {
    Read(Lookup),
    Write(Plan),
}

/// How far an operation is, on which it depends what its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// In a call of its own.
    Alone,
    /// In the closure of a transaction: no COMMIT was sent.
    Inside,
    /// The closure has returned `Ok`.
    Committing,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Pending,
    Done(u32),
    Refused,
    RolledBack(u32),
    Unknown,
}

/// Of one thread.
pub(super) struct Desk<'w> {
    pub(super) orders: &'w Orders,
    number: u8,
    log: Arc<Log>,
    pub(super) rng: Rng,
    pub(super) rows: [Tracked<History>; ROWS as usize],
    pub(super) parts: [Option<Tracked<Part>>; PARTS as usize],
    runs: [Run; REGISTERS as usize],
    next_mark: i64,
    scene: Scene,
    book: Vec<(i64, Came)>,
    /// The part and the mark of the last `save`; then of one that came to nothing.
    saving: Option<(u8, i64)>,
    pub(super) again: Option<(u8, i64)>,
    /// Errors since the last success, or since the connection was opened.
    errors: u32,
    /// A call was dropped on the connection.
    dropped: bool,
}

impl<'w> Desk<'w> {
    pub(super) fn new(
        orders: &'w Orders,
        number: u8,
        log: Arc<Log>,
        rows: [Tracked<History>; ROWS as usize],
    ) -> Self {
        Self {
            orders,
            number,
            log,
            rng: Rng::with_seed(orders.seed.wrapping_add(u64::from(number))),
            rows,
            parts: Default::default(),
            runs: [Run::default(); REGISTERS as usize],
            next_mark: orders.marks + (i64::from(number) << 32),
            scene: Scene::Alone,
            book: Vec::new(),
            saving: None,
            again: None,
            errors: 0,
            dropped: false,
        }
    }

    fn log(&self, what: What, v: i64, count: u32, detail: u8) {
        self.log.add(Event { detail, count, v, ..Event::new(what, self.number, u8::MAX) });
    }

    /// What was tried has come about.
    pub(super) fn tried(&self, trial: Trial) {
        self.log(What::Tried, 0, 0, trial as u8);
    }

    /// A connection was opened.
    pub(super) fn connected(&mut self, cut: Option<Box<dyn Fn()>>) {
        (self.errors, self.dropped) = (0, false);
        FaultyStore::enter(self.number);
        FaultyStore::on_cut(cut);
    }

    /// At which isolation level the next connection is.
    pub(super) fn level(&mut self, database: Database) -> Trial {
        let levels = database.levels();
        let level = levels[self.rng.usize(..levels.len())];
        self.tried(level);
        level
    }

    pub(super) fn turn(&mut self) -> Turn {
        if self.rng.f64() < self.orders.chance {
            let point = Point::ALL[self.rng.usize(..Point::ALL.len())];
            FaultyStore::arm(point, self.fault());
        }
        if self.rng.u32(..100) >= WRITES {
            return Turn::Read(self.lookup());
        }
        let again = self.again.is_some() && self.rng.bool();
        Turn::Write(if again { Plan::Alone(Step::PartSaveAgain) } else { Plan::any(&mut self.rng) })
    }

    fn fault(&mut self) -> Fault {
        let faults: &[Fault] = match (self.orders.lossy, self.orders.database) {
            (true, _) => &[Fault::Stop, Fault::CutStore],
            // A kill waits while its process has just been stopped, so that it comes seldom enough.
            (false, Database::Sqlite) => &[Fault::Kill, Fault::Kill, Fault::Stop, Fault::CutStore],
            (false, Database::Postgres | Database::Mysql) => {
                &[Fault::Kill, Fault::Kill, Fault::Stop, Fault::CutStore, Fault::CutDatabase]
            }
        };
        faults[self.rng.usize(..faults.len())]
    }

    fn lookup(&mut self) -> Lookup {
        if self.rng.u32(..PARTS_READ) == 0 {
            let part = self.rng.u8(..PARTS);
            return match self.rng.bool() {
                true => Lookup::PartByCode(part, self.spelling(part)),
                false => Lookup::PartBySlug(part),
            };
        }
        let row = self.rng.u8(..ROWS);
        match self.rng.u32(..2 * WITNESS) {
            0 | 1 => Lookup::InDatabase(row),
            2..=WITNESS => Lookup::BySlug(row),
            _ => Lookup::ById(row, self.rows[usize::from(row)].id),
        }
    }

    /// The code in either spelling.
    pub(super) fn spelling(&mut self, part: u8) -> String {
        if self.rng.bool() { code(part) } else { code(part).to_uppercase() }
    }

    /// Takes note of an answer.
    pub(super) fn read(&mut self, register: u8, answer: Answer, begin: u64) {
        let (at, end) = (usize::from(register), now());
        self.errors = 0;
        let v = match answer {
            Answer::Value(v) => v,
            Answer::Nothing if register >= ROWS => ABSENT,
            // Histories are never deleted.
            Answer::Nothing | Answer::AnotherRow => {
                let event = Event::new(What::Misread, self.number, register);
                let v = if answer == Answer::Nothing { ABSENT } else { 0 };
                return self.log.add(Event { count: 1, v, begin, end, ..event });
            }
        };
        // A key can be absent, there and absent again.
        let another = self.runs[at].v != v || v == ABSENT;
        if another || end > self.runs[at].earliest_end + LONGEST_RUN {
            self.end_run(register);
        }
        let run = &mut self.runs[at];
        if run.count == 0 {
            *run = Run { v, earliest_end: end, ..*run };
        }
        *run = Run { count: run.count + 1, latest_begin: begin, ..*run };
    }

    fn end_run(&mut self, register: u8) {
        let Run { count, v, latest_begin: begin, earliest_end: end } =
            std::mem::take(&mut self.runs[usize::from(register)]);
        if count > 0 {
            let event = Event::new(What::Read, self.number, register);
            self.log.add(Event { count, v, begin, end, ..event });
        }
    }

    pub(super) fn end_runs(&mut self) {
        (0..REGISTERS).for_each(|register| self.end_run(register));
    }

    /// A write begins.
    pub(super) fn begin(&mut self) -> i64 {
        self.next_mark += 1;
        self.begin_again(self.next_mark);
        self.next_mark
    }

    /// A write begins once more.
    pub(super) fn begin_again(&mut self, mark: i64) {
        self.log(What::Started, mark, 0, 0);
        self.book.push((mark, Came::Pending));
    }

    /// It is the `save` of a part.
    pub(super) fn saves(&mut self, part: u8, mark: i64) {
        self.saving = Some((part, mark));
    }

    /// Its call returned.
    pub(super) fn came(&mut self, mark: i64, done: Result<u32, Error>) -> Result<u32, Error> {
        let came = match &done {
            Ok(rows) => Came::Done(*rows),
            // What a statement in a transaction refused is not in what the transaction commits.
            Err(error) if self.scene == Scene::Inside || self.is_refusal(error) => Came::Refused,
            Err(_) => Came::Unknown,
        };
        if let Err(error) = &done {
            self.failed(error);
        }
        if let Some(entry) = self.book.iter_mut().rev().find(|(of, _)| *of == mark) {
            entry.1 = came;
        }
        done
    }

    fn failed(&self, error: &Error) {
        match error {
            Error::OutOfBounds(_) => self.tried(Trial::RefusedBound),
            Error::Deadlock(_) => self.tried(Trial::Deadlock),
            Error::LockTimeout(_) => self.tried(Trial::LockTimeout),
            Error::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
                self.tried(Trial::UniqueViolation);
            }
            _ => {}
        }
    }

    /// Whether the error says that nothing was written.
    fn is_refusal(&self, error: &Error) -> bool {
        match error {
            // Without a server no answer is lost.
            Error::Database(DieselError::DatabaseError(kind, info)) => {
                self.orders.database == Database::Sqlite
                    || refuses(kind)
                    || REFUSED.iter().any(|text| info.message().contains(text))
            }
            Error::Database(_) => false,
            _ => true,
        }
    }

    pub(super) fn enters(&mut self) {
        self.scene = Scene::Inside;
    }

    pub(super) fn commits(&mut self) {
        self.scene = Scene::Committing;
    }

    /// How many writes there are, for [`undo`](Self::undo).
    pub(super) fn writes(&self) -> usize {
        self.book.len()
    }

    /// What was written since then is rolled back.
    pub(super) fn undo(&mut self, from: usize) {
        self.settle(from, Came::RolledBack);
    }

    fn settle(&mut self, from: usize, came: impl Fn(u32) -> Came) {
        for (_, entry) in &mut self.book[from..] {
            match entry {
                Came::Pending => *entry = came(0),
                Came::Done(rows) => *entry = came(*rows),
                Came::Refused | Came::RolledBack(_) | Came::Unknown => {}
            }
        }
    }

    /// A transaction returned.
    pub(super) fn ended(&mut self, done: &Result<(), Stop>) {
        match done {
            Ok(()) => {}
            Err(Stop::OnPurpose) => self.undo(0),
            // COMMIT was never sent.
            Err(Stop::Failed(_)) if self.scene == Scene::Inside => self.settle(0, |_| Came::Refused),
            Err(Stop::Failed(error)) if self.is_refusal(error) => {
                self.failed(error);
                self.settle(0, |_| Came::Refused);
            }
            Err(Stop::Failed(_)) => self.settle(0, |_| Came::Unknown),
        }
    }

    /// A callback panicked, before COMMIT was sent.
    pub(super) fn panicked(&mut self) -> Next {
        self.undo(0);
        self.next(Ok(()))
    }

    /// The operation was dropped. Where COMMIT was not sent, it never will be.
    pub(super) fn dropped(&mut self) -> Next {
        self.dropped = true;
        match self.scene {
            Scene::Inside => self.undo(0),
            Scene::Alone | Scene::Committing => self.settle(0, |_| Came::Unknown),
        }
        // A session remembers by itself what was dropped.
        let forgets = self.orders.defect == Some(Defect::UnguardedDrop) || self.rng.bool();
        if forgets { Next::NewSession } else { Next::SameSession }
    }

    /// A call panicked that no callback was to. The connection is not used on.
    pub(super) fn crashed(&mut self) -> Next {
        self.tried(Trial::Crashed);
        self.dropped();
        Next::Reconnect
    }

    /// Logs what became of the operation's writes. `told`: the cache was, before it returned.
    pub(super) fn close(&mut self, told: bool) {
        self.scene = Scene::Alone;
        let defect = self.orders.defect;
        for (mark, came) in std::mem::take(&mut self.book) {
            let seldom = mark.unsigned_abs() % SELDOM == 0;
            let (what, rows) = match came {
                Came::RolledBack(rows) if defect == Some(Defect::LostWrite) && rows > 0 => {
                    (What::Acked, rows)
                }
                Came::Done(_) if defect == Some(Defect::PhantomWrite) && seldom => (What::RolledBack, 0),
                Came::Done(rows) => (What::Acked, rows),
                Came::RolledBack(_) => (What::RolledBack, 0),
                Came::Refused => (What::Refused, 0),
                Came::Pending | Came::Unknown => (What::Unknown, 0),
            };
            self.log(what, mark, rows, if told { TOLD } else { 0 });
            if let Some((part, _)) = self.saving.take_if(|(_, saving)| *saving == mark)
                && what != What::Acked
            {
                self.again = Some((part, mark));
            }
        }
        self.saving = None;
    }

    /// What the next operation runs on, as one came to this.
    pub(super) fn next(&mut self, done: Result<(), &Error>) -> Next {
        let Err(error) = done else {
            self.errors = 0;
            return Next::SameSession;
        };
        self.errors += 1;
        let sound = !self.dropped && self.errors < ENOUGH && self.is_refusal(error);
        if sound { Next::SameSession } else { Next::Reconnect }
    }

    /// What a part's `save` returned, which counts no rows.
    pub(super) fn some(done: Result<(), Error>) -> Result<u32, Error> {
        done.map(|()| SOME)
    }
}

/// What a server says when nothing was written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "not `Copy`: Diesel may add kinds with content")]
fn refuses(kind: &DatabaseErrorKind) -> bool {
    matches!(
        kind,
        DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ReadOnlyTransaction
    )
}

/// The same where Diesel has no kind for it.
const REFUSED: [&str; 3] = ["current transaction is aborted", "Record has changed", "max_statement_time"];
