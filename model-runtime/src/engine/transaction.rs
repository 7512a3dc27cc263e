//! Begin, commit and rollback with the cache's part in them.
use super::Executor;
use super::executor::Scope;
use crate::cache::write::{self, Touches};
use crate::error::{Outcome, Result};
use crate::model::SentryModel;
use tracing::Instrument;

/// Opens a transaction, or a savepoint inside one.
pub(crate) async fn begin<S: Executor>(db: &mut S) -> Result<()> {
    db.begin().await?;
    db.transaction().begun();
    Ok(())
}

/// Commits; at the outermost level the intents of all touched keys are placed just before and released
/// just after, awaited before the caller hears of success.
pub(crate) async fn commit<S: Executor>(db: &mut S) -> Result<()> {
    if let Err(ended) = db.transaction().committable() {
        rollback(db).await?;
        return Err(ended);
    }
    if db.transaction().depth() > 1 || db.scope() == Scope::Foreign {
        let result = db.commit().await;
        db.transaction().ended(result.is_ok());
        return result;
    }
    let (touched, hooks) = (db.transaction().take_touched(), db.transaction().take_hooks());
    let span = tracing::debug_span!("commit", keys = touched.keys.len());
    let (intents, unpoint) = match write::place_touched(db, touched).instrument(span).await {
        Ok(placed) => placed,
        Err(refused) => {
            rollback(db).await?;
            return Err(refused);
        }
    };
    let result = db.commit().await;
    db.transaction().ended(result.is_ok());
    write::release(db, intents, unpoint, Outcome::of_commit(&result)).await;
    result.map(|()| hooks.run())
}

/// Rolls back. Nothing was sent to the cache, so there is nothing to take back.
pub(crate) async fn rollback<S: Executor>(db: &mut S) -> Result<()> {
    let result = db.rollback().await;
    db.transaction().ended(false);
    result
}

/// What statements that belong together run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The statement itself, or the transaction that is open already.
    Statement,
    /// A transaction of their own.
    Transaction,
}

impl Unit {
    /// Opens a transaction unless there is one.
    pub(crate) async fn begin<S: Executor>(db: &mut S) -> Result<Self> {
        match db.scope() {
            Scope::Autocommit => begin(db).await.map(|()| Self::Transaction),
            Scope::Session | Scope::Foreign => Ok(Self::Statement),
        }
    }

    /// The same, where what the statement touches needs it.
    pub(crate) async fn around<M: SentryModel, S: Executor>(db: &mut S, touches: Touches) -> Result<Self> {
        match touches.need_a_transaction::<M>() {
            true => Self::begin(db).await,
            false => Ok(Self::Statement),
        }
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
    match done {
        Ok(value) => commit(db).await.map(|()| value),
        Err(error) => {
            rollback(db).await?;
            Err(error)
        }
    }
}
