//! Locking the rows of a write before it, and the bounds that refuse some of them.
//!
//! A bound that refuses one row refuses the statement. What refuses is asked of rows that are locked: a check that reads
//! an older snapshot, or a row that another transaction changes in between, would take a refusal for a success.
use super::Executor;
use super::bulk::{Key, stays_prepared};
use super::write::{Verb, overflow};
use crate::error::{Error, Result};
use crate::model::{ModelSql, SentryModel};
use crate::statement::{Dialect, Guarded, Statement};
use diesel::query_builder::QueryFragment;

/// The keys of the rows that match, locked until the transaction ends.
pub(super) async fn locked<M, P, S>(db: &mut S, predicate: &P) -> Result<Vec<Key<M>>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let kept = stays_prepared::<M, P>(Verb::Lock as u64);
    db.keys::<M>(keys_of::<M, P, S>(predicate).sql(S::Backend::LOCKING).stays_prepared(kept)).await
}

/// Locks the rows that match until the transaction ends; without locks of rows, the database.
pub(super) async fn lock<M, P, S>(db: &mut S, predicate: &P) -> Result<()>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    match S::Backend::LOCKS_ROWS {
        true => locked::<M, P, S>(db, predicate).await.map(drop),
        false => lock_database::<M, S>(db).await,
    }
}

/// A statement that writes takes the lock, whether it finds a row or not.
pub(super) async fn lock_database<M, S>(db: &mut S) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    db.count(Statement::new().sql("DELETE FROM ").table::<M>().sql(" WHERE 1 = 0")).await.map(drop)
}

/// An error where a bound refuses one of the rows that match, which are locked.
pub(super) async fn refuse<M, P, S>(
    db: &mut S,
    predicate: &P,
    guards: &[Guarded<'_, S::Backend>],
) -> Result<()>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let refused = |guards| keys_of::<M, P, S>(predicate).refused_by(guards).sql(S::Backend::LOCKING);
    if guards.is_empty() {
        return Ok(());
    }
    if db.keys::<M>(refused(guards)).await.map_err(|error| overflow(error, guards))?.is_empty() {
        return Ok(());
    }
    // Which of them?
    for guard in guards {
        let statement = refused(std::slice::from_ref(guard));
        if !db.keys::<M>(statement).await.map_err(|error| overflow(error, guards))?.is_empty() {
            return Err(guard.refused());
        }
    }
    guards.first().map_or(Ok(()), |guard| Err(guard.refused()))
}

/// Rows that are locked are hit, and no others.
///
/// # Errors
/// [`Error::Query`] where others were: below REPEATABLE READ a row can come in after the locks were taken, whose key is
/// not known.
pub(super) fn check_hits<M: SentryModel>(hit: usize, locked: usize) -> Result<()> {
    match hit == locked {
        true => Ok(()),
        false => Err(Error::Query(format!(
            "{}: {hit} rows were hit where {locked} had been locked; nothing is written, run it again, or under \
             REPEATABLE READ",
            M::NAME
        ))),
    }
}

fn keys_of<M, P, S>(predicate: &P) -> Statement<'_, S::Backend>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let select = Statement::new().sql("SELECT ").key::<M>().sql(" FROM ").table::<M>();
    select.filtered(predicate).stays_prepared(false)
}
