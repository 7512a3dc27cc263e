//! The types that `#[auto_now]` and `#[auto_now_add]` can fill.
use std::time::SystemTime;

/// A timestamp that the session's clock can fill.
#[diagnostic::on_unimplemented(
    message = "`#[auto_now]` and `#[auto_now_add]` need a timestamp field, not `{Self}`",
    label = "not a timestamp",
    note = "with the feature `chrono`: `chrono::NaiveDateTime`, `chrono::DateTime<Utc>`; with `time`: `time::PrimitiveDateTime`, `time::OffsetDateTime`; or `Option` of them"
)]
pub trait Timestamp: Sized {
    /// `now` in UTC, cut to microseconds: what every database keeps, so that the value in memory is the
    /// stored one.
    fn from_clock(now: SystemTime) -> Self;
}

impl<T: Timestamp> Timestamp for Option<T> {
    fn from_clock(now: SystemTime) -> Self {
        Some(T::from_clock(now))
    }
}

#[cfg(feature = "chrono")]
mod with_chrono {
    use super::{SystemTime, Timestamp};
    use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};

    impl Timestamp for DateTime<Utc> {
        fn from_clock(now: SystemTime) -> Self {
            DateTime::<Utc>::from(now).trunc_subsecs(6)
        }
    }

    impl Timestamp for NaiveDateTime {
        fn from_clock(now: SystemTime) -> Self {
            DateTime::<Utc>::from_clock(now).naive_utc()
        }
    }
}

#[cfg(feature = "time")]
mod with_time {
    use super::{SystemTime, Timestamp};
    use time::{OffsetDateTime, PrimitiveDateTime};

    impl Timestamp for OffsetDateTime {
        fn from_clock(now: SystemTime) -> Self {
            let now = OffsetDateTime::from(now);
            now.replace_microsecond(now.microsecond()).unwrap_or(now)
        }
    }

    impl Timestamp for PrimitiveDateTime {
        fn from_clock(now: SystemTime) -> Self {
            let now = OffsetDateTime::from_clock(now);
            PrimitiveDateTime::new(now.date(), now.time())
        }
    }
}
