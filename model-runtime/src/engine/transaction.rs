//! Begin, commit and rollback with the cache's part in them.
use super::executor::Scope;
use super::guard::recover;
use super::{Executor, observe};
use crate::cache::write::{self, Touches};
use crate::error::{Error, Outcome, Result};
use crate::model::SentryModel;
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::thread;
use tracing::Instrument;

/// Opens a transaction, or a savepoint inside one.
pub(crate) async fn begin<S: Executor>(db: &mut S) -> Result<()> {
    observe::before(db).await?;
    let outer = db.open_depth().unwrap_or_default();
    let begun = db.send_begin().await;
    observe::after(db, begun).await?;
    db.transaction().begun(outer);
    Ok(())
}

/// Commits; at the outermost level the intents of all touched keys are placed just before and released
/// just after, awaited before the caller hears of success.
pub(crate) async fn commit<S: Executor>(db: &mut S) -> Result<()> {
    if let Err(refused) = check(db).await {
        roll_back_after(db, &refused).await;
        return Err(refused);
    }
    if db.transaction().depth() > 1 || db.scope() == Scope::Foreign {
        return release_savepoint(db).await;
    }
    let (touched, hooks) = (db.transaction().take_touched(), db.transaction().take_hooks());
    let span = tracing::debug_span!("commit", keys = touched.keys.len());
    let (intents, unpoint) = match write::place_touched(db, touched).instrument(span).await {
        Ok(placed) => placed,
        Err(refused) => {
            roll_back_after(db, &refused).await;
            return Err(refused);
        }
    };
    db.transaction().sent();
    let result = db.send_commit().await;
    db.transaction().answered();
    db.transaction().ended(result.is_ok());
    write::release(db, intents, unpoint, Outcome::of_commit(&result)).await;
    result.map(|()| hooks.run())
}

/// Whether the transaction may be committed, by what is known of it and by the database's own word.
async fn check<S: Executor>(db: &mut S) -> Result<()> {
    if db.transaction().is_in_flight() || db.open_depth().is_none() {
        return Err(Error::BrokenConnection);
    }
    db.transaction().usable()?;
    observe::before_commit(db).await?;
    db.transaction().usable()?;
    roll_back_others(db).await
}

/// What plain Diesel began inside and did not end is rolled back, and what is around it.
async fn roll_back_others<S: Executor>(db: &mut S) -> Result<()> {
    let expected = db.transaction().outer() + db.transaction().depth();
    let mut found = false;
    while db.open_depth().is_some_and(|open| open > expected) {
        found = true;
        db.transaction().sent();
        let result = db.send_rollback().await;
        db.transaction().answered();
        result?;
    }
    match found {
        true => Err(Error::Query(
            "the transaction is rolled back, because plain Diesel began one inside and did not end it; end it, or use \
             `db.transaction`"
                .into(),
        )),
        false => Ok(()),
    }
}

async fn release_savepoint<S: Executor>(db: &mut S) -> Result<()> {
    db.transaction().sent();
    let result = db.send_commit().await;
    let result = observe::after(db, result).await;
    let Err(error) = result else {
        db.transaction().ended(true);
        return Ok(());
    };
    // Diesel counts a savepoint whose release failed as open, or does not.
    let counted = db.transaction().outer() + db.transaction().depth();
    match db.open_depth().is_some_and(|open| open >= counted) {
        true => roll_back_after(db, &error).await,
        false => {
            db.transaction().not_rolled_back(&error.to_string());
            db.transaction().ended(false);
        }
    }
    Err(error)
}

/// Rolls back. Nothing was sent to the cache, so there is nothing to take back; but what the database has ended by itself
/// may have been followed by statements that it committed, so that their keys are invalidated.
///
/// # Errors
/// What the database says where it does not roll back; then nothing around it is committed either.
pub(crate) async fn rollback<S: Executor>(db: &mut S) -> Result<()> {
    let (has_ended, outermost) = (db.transaction().has_ended(), db.transaction().depth() == 1);
    let result = send_rollback(db).await;
    if let Err(error) = &result
        && !has_ended
    {
        db.transaction().not_rolled_back(&error.to_string());
        if outermost {
            db.break_connection();
        }
    }
    let touched = if has_ended && outermost { db.transaction().take_touched().keys } else { HashSet::new() };
    db.transaction().ended(false);
    if has_ended && outermost && db.open_depth().is_some_and(|open| open > 0) {
        // The transaction around it, which the session did not open, has ended as well.
        db.break_connection();
    }
    write::forget(db, touched.into_iter().collect()).await;
    if has_ended { Ok(()) } else { result }
}

async fn send_rollback<S: Executor>(db: &mut S) -> Result<()> {
    if db.transaction().is_in_flight() || db.open_depth().is_none() {
        return Err(Error::BrokenConnection);
    }
    db.transaction().sent();
    let result = db.send_rollback().await;
    db.transaction().answered();
    result
}

/// Rolls back because of an error, which is what the caller must see, whatever becomes of the rollback.
pub(crate) async fn roll_back_after<S: Executor>(db: &mut S, error: &Error) {
    if let Err(failed) = rollback(db).await {
        tracing::warn!(%error, %failed, "a transaction could not be rolled back after an error");
    }
}

/// Ends the transaction around a closure of the user's: commits on `Ok`, rolls back on `Err` and on panic.
pub(crate) async fn conclude<S: Executor, T, E: From<Error>>(
    db: &mut S,
    done: thread::Result<Result<T, E>>,
) -> Result<T, E> {
    match done {
        Ok(Ok(value)) => {
            commit(db).await?;
            Ok(value)
        }
        Ok(Err(error)) => {
            if let Err(failed) = rollback(db).await {
                tracing::warn!(%failed, "a transaction could not be rolled back after an error");
            }
            Err(error)
        }
        Err(panic) => {
            recover(db).await;
            let _ = rollback(db).await;
            resume_unwind(panic)
        }
    }
}

/// What statements that belong together run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The statement itself.
    Statement,
    /// A transaction of their own, or a savepoint inside one.
    Transaction,
}

impl Unit {
    /// Opens a transaction, or a savepoint inside one: what is handled as an error has left nothing behind. Inside a unit
    /// it opens none: the statements of one operation fail together.
    pub(crate) async fn begin<S: Executor>(db: &mut S) -> Result<Self> {
        match db.transaction().is_unit() {
            true => Ok(Self::Statement),
            false => Self::begin_nested(db).await,
        }
    }

    /// Opens one also inside a unit, whose operation goes on after the failure.
    pub(crate) async fn begin_nested<S: Executor>(db: &mut S) -> Result<Self> {
        begin(db).await?;
        db.transaction().become_unit();
        Ok(Self::Transaction)
    }

    /// Opens one where `wanted`, around statements that belong together; a single one stands for itself.
    pub(crate) async fn begin_if<S: Executor>(wanted: bool, db: &mut S) -> Result<Self> {
        if wanted { Self::begin(db).await } else { Ok(Self::Statement) }
    }

    /// Opens one where what the statement touches needs it.
    pub(crate) async fn around<M: SentryModel, S: Executor>(db: &mut S, touches: Touches) -> Result<Self> {
        let inside = db.scope() != Scope::Autocommit;
        Self::begin_if(touches.need_a_transaction::<M>(inside), db).await
    }

    /// Commits on `Ok` and rolls back on `Err`.
    pub(crate) async fn end<S: Executor, T>(self, db: &mut S, done: Result<T>) -> Result<T> {
        match self {
            Self::Statement => done,
            Self::Transaction => finish(db, done).await,
        }
    }
}

/// Commits on `Ok` and rolls back on `Err`.
pub(crate) async fn finish<S: Executor, T>(db: &mut S, done: Result<T>) -> Result<T> {
    conclude(db, Ok(done)).await
}
