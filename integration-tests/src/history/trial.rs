//! What operations do on purpose that others never expect: they fail halfway, panic, are dropped, and go on.
use super::fault::Trial;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Code of the model or of the caller that may panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    /// A hook before the statement.
    BeforeWrite,
    /// A hook after COMMIT, whose panic is logged and goes no further.
    AfterCommit,
}

thread_local! {
    static ARMED: Cell<Option<Callback>> = const { Cell::new(None) };
}

/// What a planned panic carries.
struct Planned;

/// A panic that no message tells of.
pub fn panic_as_planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// Lets the callback panic when it next runs on this thread.
pub fn arm(callback: Option<Callback>) {
    ARMED.set(callback);
}

/// Which callback has panicked since [`arm`], if it was to.
#[must_use]
pub fn struck(armed: Option<Callback>) -> Option<Trial> {
    let left = ARMED.take();
    armed.filter(|_| left.is_none()).map(|callback| match callback {
        Callback::BeforeWrite => Trial::PanicBeforeWrite,
        Callback::AfterCommit => Trial::PanicAfterCommit,
    })
}

/// What a callback runs.
pub fn panic_if_armed(here: Callback) {
    if ARMED.get() == Some(here) {
        ARMED.set(None);
        panic_as_planned();
    }
}

/// When a call is dropped that has not ended.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// After so many polls.
    Polls(u32),
    /// After that time.
    Time(Duration),
}

impl Limit {
    /// What it is counted as.
    #[must_use]
    pub fn trial(self) -> Trial {
        match self {
            Self::Polls(_) => Trial::DroppedByPolls,
            Self::Time(_) => Trial::DroppedByTime,
        }
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum End<T> {
    /// It returned.
    Done(T),
    /// It panicked as planned.
    Panicked,
    /// It panicked otherwise, which nothing is to do.
    Crashed,
    /// Its future was dropped.
    Dropped,
}

fn caught_panic<T>(call: impl FnOnce() -> T) -> End<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => End::Done(value),
        Err(panic) if panic.is::<Planned>() => End::Panicked,
        // The message is on standard error.
        Err(_) => End::Crashed,
    }
}

/// A blocking call, which has no limit.
pub fn attempt<T>(call: impl FnOnce() -> T, _: Option<Limit>) -> End<T> {
    caught_panic(call)
}

/// A future that is dropped at its limit.
pub async fn attempt_future<T>(future: impl Future<Output = T>, limit: Option<Limit>) -> End<T> {
    let mut future = pin!(future);
    let mut polls = 0;
    let until_dropped = std::future::poll_fn(|context| {
        polls += 1;
        match caught_panic(|| future.as_mut().poll(context)) {
            End::Done(Poll::Ready(value)) => Poll::Ready(End::Done(value)),
            End::Done(Poll::Pending) if matches!(limit, Some(Limit::Polls(most)) if polls >= most) => {
                Poll::Ready(End::Dropped)
            }
            End::Done(Poll::Pending) => Poll::Pending,
            End::Panicked => Poll::Ready(End::Panicked),
            End::Crashed | End::Dropped => Poll::Ready(End::Crashed),
        }
    });
    match limit {
        Some(Limit::Time(time)) => tokio::time::timeout(time, until_dropped).await.unwrap_or(End::Dropped),
        _ => until_dropped.await,
    }
}
