//! Where a session's "now" comes from.
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// The clock that `#[auto_now]` and `#[auto_now_add]` read; the system's unless a session is given
/// another one, as tests do.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl Clock {
    /// A clock that asks `now` for the time.
    ///
    /// # Example: a clock that stands still
    /// ```
    /// use model_runtime::Clock;
    /// use std::time::SystemTime;
    ///
    /// let clock = Clock::new(|| SystemTime::UNIX_EPOCH);
    /// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
    /// ```
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.0.as_ref().map_or_else(SystemTime::now, |now| now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(custom)" } else { "Clock(system)" })
    }
}
