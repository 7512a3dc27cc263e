//! What becomes of a call that does not return: its future is dropped, or it panics.
//!
//! Nothing that such a call has begun may be committed by a later one. A panic rolls back what the call had opened. Where
//! that cannot be done, because the future is gone or the database has not answered yet, the connection is marked as
//! broken, and every instance written in the open transactions takes its baseline back.
use super::Executor;
use super::transaction::rollback;
#[cfg(feature = "async")]
use crate::error::Result;
#[cfg(feature = "async")]
use crate::operation::Operation;
#[cfg(feature = "async")]
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    task::Poll,
    thread,
};

/// Holds the session for one call, and closes what the call leaves open.
pub(crate) struct Guard<'s, S: Executor> {
    db: &'s mut S,
    /// How many transactions and savepoints were open before.
    depth: u32,
}

impl<'s, S: Executor> Guard<'s, S> {
    pub(crate) fn new(db: &'s mut S) -> Self {
        let depth = db.transaction().depth();
        Self { db, depth }
    }

    pub(crate) fn db(&mut self) -> &mut S {
        self.db
    }
}

impl<S: Executor> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        let is_closed =
            |db: &mut S| !db.transaction().is_in_flight() && db.transaction().depth() <= self.depth;
        if !is_closed(self.db) {
            self.db.roll_back_at_once(self.depth);
        }
        if !is_closed(self.db) {
            self.db.break_connection();
        }
        self.db.transaction().abandon(self.depth);
    }
}

/// Rolls back to `depth`, unless the database has a statement that it has not answered.
pub(crate) async fn roll_back_to<S: Executor>(db: &mut S, depth: u32) {
    while db.transaction().depth() > depth && !db.transaction().is_in_flight() {
        if let Err(error) = rollback(db).await {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
    }
}

/// Runs an operation of an async session; what it opens is closed when it ends, however it does.
#[cfg(feature = "async")]
pub(crate) async fn guarded<S: Executor, O: Operation<S>>(db: &mut S, operation: O) -> Result<O::Output> {
    let mut guard = Guard::new(db);
    let done = {
        // Pinned where it is made: it is large, and each move would copy it.
        let work = pin!(operation.run(guard.db()));
        caught(work).await
    };
    if done.is_err() {
        recover(guard.db()).await;
    }
    let depth = guard.depth;
    roll_back_to(guard.db(), depth).await;
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A wrapper around a blocking connection does not show its state after a panic, until it has run something: only then can
/// it be marked as broken.
pub(crate) async fn recover<S: Executor>(db: &mut S) {
    if db.transaction().is_in_flight() && db.open_depth().is_none() {
        let _ = db.send_sql("SELECT 1").await;
        db.break_connection();
    }
}

/// The result of the future, or its panic.
#[cfg(feature = "async")]
pub(crate) async fn caught<T>(mut work: Pin<&mut impl Future<Output = T>>) -> thread::Result<T> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
