//! Where faults strike, which there are, and how the protocol can be broken on purpose.
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
    /// A deliberate break of the protocol, which the checker must catch.
    Defect
    /// A fill is carried out whatever stands under the key.
    FillWithoutLease "fill-without-lease"
    /// Writers announce nothing.
    NoIntents "no-intents"
    /// Intents are taken away before COMMIT.
    ReleaseEarly "release-early"
}

impl FromStr for Defect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|defect| defect.to_string() == text);
        let names = || Self::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        found.copied().ok_or_else(|| format!("expected one of {}", names()))
    }
}
