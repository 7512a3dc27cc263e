//! What becomes of a call that does not return: its future is dropped, or it panics.
//!
//! Nothing that such a call has begun may be committed by a later one. A panic rolls back what the call had opened. Where
//! that cannot be done, because the future is gone or the database has not answered yet, the connection is marked as
//! broken, and every instance written in the open transactions takes its baseline back.
use super::Executor;
use super::transaction::rollback;
use crate::error::Result;
use crate::operation::Operation;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;
use std::thread;

/// Holds the session for one call.
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

    /// Rolls back what the call has left open.
    async fn roll_back(&mut self) {
        while self.db.transaction().depth() > self.depth && !self.db.transaction().is_in_flight() {
            if let Err(error) = rollback(self.db).await {
                tracing::warn!(%error, "a transaction could not be rolled back");
            }
        }
    }
}

impl<S: Executor> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        let own = self.db.transaction();
        if own.is_in_flight() || own.depth() > self.depth {
            self.db.break_connection();
        }
        self.db.transaction().abandon(self.depth);
    }
}

/// Runs an operation; what it opens is closed when it ends, however it does.
pub(crate) async fn guarded<S: Executor, O: Operation<S>>(db: &mut S, operation: O) -> Result<O::Output> {
    let mut guard = Guard::new(db);
    let done = caught(operation.run(guard.db())).await;
    guard.roll_back().await;
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The result of the future, or its panic.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> thread::Result<T> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
