//! Where faults strike, which there are, what operations try, and how all can be broken on purpose.
use std::fmt;
use std::str::FromStr;

macro_rules! named { ($(#[$of:meta])* $name:ident $($(#[$doc:meta])* $variant:ident $text:literal)*) => {
    $(#[$of])*
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum $name { $($(#[$doc])* $variant),* }

    impl $name {
        /// Each of them.
        pub const ALL: &[Self] = &[$(Self::$variant),*];
    }

    impl fmt::Display for $name {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(match self { $(Self::$variant => $text),* })
        }
    }
} }

named! {
    /// Where a fault strikes.
    Point
    /// The intents are in place, the statement or COMMIT is not sent.
    AfterPlace "after place"
    /// COMMIT was answered, the release is not sent.
    BeforeRelease "before release"
    /// The release was answered, the write has not returned.
    MidRelease "mid release"
    /// The lease is granted, the database is not asked.
    AfterLease "after lease"
    /// The database has answered, the fill is not sent.
    BeforeFill "before fill"
    /// The fill was answered, the read has not returned.
    AfterFill "after fill"
}

named! {
    /// What strikes.
    Fault
    /// `kill -9` of the process.
    Kill "kill -9"
    /// SIGSTOP of the process for longer than an intent lives.
    Stop "stop"
    /// Redis cuts the connections of all clients.
    CutStore "cut redis"
    /// The database cuts the connection of the thread.
    CutDatabase "cut database"
}

named! {
    /// What an operation does on purpose, beside reading and writing.
    Trial
    /// A bound refused some rows of a statement.
    RefusedBound "refused bound"
    /// A unique key refused a row.
    UniqueViolation "unique violation"
    /// A statement of plain Diesel failed, and nobody was told.
    HiddenFailure "hidden failure"
    /// A statement of plain Diesel failed that on SQLite rolls the transaction back.
    HiddenRollback "hidden rollback"
    /// A call failed in a transaction that went on.
    Swallowed "error swallowed"
    /// A call failed in a savepoint, and the transaction went on.
    SavepointFailed "savepoint failed"
    /// A savepoint was rolled back on purpose, and the transaction went on.
    SavepointUndone "savepoint undone"
    /// A deadlock, or a serialization failure.
    Deadlock "serialization"
    /// A lock was not to be had.
    LockTimeout "lock time-out"
    /// A future was polled a few times and dropped.
    DroppedByPolls "dropped, polls"
    /// A future was dropped after a time.
    DroppedByTime "dropped, time"
    /// A hook before a write panicked.
    PanicBeforeWrite "panic in hook"
    /// A hook after a commit panicked.
    PanicAfterCommit "panic after commit"
    /// The closure of a transaction panicked.
    PanicInClosure "panic in closure"
    /// A call panicked, and no callback was to: a finding.
    Crashed "call panicked"
    /// A statement found its rows by a table that others change.
    Subquery "subquery"
    /// That table was changed.
    Picked "subquery's table"
    /// A primary key changed its spelling.
    Renamed "key renamed"
    /// Two rows exchanged a key.
    Swapped "keys exchanged"
    /// A row was deleted.
    Deleted "row deleted"
    /// It was inserted again.
    Inserted "row inserted"
    /// An instance was saved again whose transaction had been rolled back or dropped.
    SavedAgain "saved again"
    /// A connection at READ COMMITTED.
    ReadCommitted "READ COMMITTED"
    /// A connection at REPEATABLE READ.
    RepeatableRead "REPEATABLE READ"
    /// A connection at SERIALIZABLE.
    Serializable "SERIALIZABLE"
    /// A connection at REPEATABLE READ whose snapshots also end where another transaction has written.
    SnapshotIsolation "snapshot isolation"
}

named! {
    /// A deliberate break of the protocol, which the checker must catch.
    Defect
    /// A fill is carried out whatever stands under the key.
    FillWithoutLease "fill-without-lease"
    /// Writers announce nothing.
    NoIntents "no-intents"
    /// Intents are taken away before COMMIT.
    ReleaseEarly "release-early"
    /// Of several rows of a batch only the first one is announced and released.
    SkipSomeKeys "skip-some-keys"
    /// A worker reports success of what it rolled back.
    LostWrite "lost-write"
    /// A worker reports as rolled back what it committed.
    PhantomWrite "phantom-write"
    /// A connection is taken for sound after a call on it was dropped.
    UnguardedDrop "unguarded-drop"
}

impl FromStr for Defect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|defect| defect.to_string() == text);
        let names = || Self::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        found.copied().ok_or_else(|| format!("expected one of {}", names()))
    }
}
