//! Writes of all rows that a predicate matches, with the invalidation of each.
use super::transaction::Unit;
use super::write::{Verb, overflow};
use super::{Executor, hooks};
use crate::cache::write;
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::statement::{Assignments, Dialect, Guarded, Purpose, SqlSet, Statement, shape_of_predicate};
use diesel::query_builder::QueryFragment;

type Key<M> = <<M as SentryModel>::Pk as KeyCols>::Key;

/// Updates the rows that match, and returns how many.
pub(crate) async fn update_where<M, P, S>(
    db: &mut S,
    predicate: &P,
    mut patch: M::Patch,
    sql: Vec<SqlSet<'_, S::Backend>>,
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    hooks::before::<M>(&mut patch, Write::Update)?;
    check_fields::<M, S>(&patch, &sql)?;
    M::auto_now(&mut patch, db.now());
    let mut sets = Assignments::new::<M>(Purpose::Update);
    M::visit(&patch, &mut sets)?;
    sets.take_sql(sql);
    let mask = sets.mask();
    let guards = std::mem::take(&mut sets.guards);
    let kept = sets.is_countable() && stays_prepared::<M, P, S>(sets.shape() ^ Verb::UpdateWhere as u64);
    let (statement, old) = Statement::update::<M>(sets);
    let statement = statement.filtered(predicate).guards(&guards, old).stays_prepared(kept);
    // What guards refuse must be taken back.
    if M::cache().is_none() && guards.is_empty() {
        return db.count(statement).await;
    }
    let unit = Unit::begin(db).await?;
    let done = update_and_touch::<M, P, S>(db, statement, predicate, &guards).await;
    let done = match done {
        Ok(keys) if write::makes_keys::<M>(mask) => {
            touch_stored::<M, S>(db, &keys, mask).await.map(|()| keys.len())
        }
        done => done.map(|keys| keys.len()),
    };
    unit.end(db, done).await
}

fn check_fields<M, S>(patch: &M::Patch, sql: &[SqlSet<'_, S::Backend>]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut sets = Assignments::<S::Backend>::new::<M>(Purpose::Update);
    M::visit(patch, &mut sets)?;
    match sql.iter().fold(sets.mask(), |mask, set| mask | 1 << set.index()) {
        0 => Err(Error::Query(format!("{}: update_where sets no field; set one before `execute`", M::NAME))),
        mask if mask & M::Pk::MASK != 0 => Err(Error::Query(format!(
            "{}: update_where cannot assign the primary key, which names the rows; update them one by one",
            M::NAME
        ))),
        _ => Ok(()),
    }
}

async fn update_and_touch<M, P, S>(
    db: &mut S,
    statement: Statement<'_, S::Backend>,
    predicate: &P,
    guards: &[Guarded<'_, S::Backend>],
) -> Result<Vec<Key<M>>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let keys = if S::Backend::RETURNING {
        let statement = statement.sql(" RETURNING ").key::<M>();
        let keys = db.keys::<M>(statement).await.map_err(|error| overflow(error, guards))?;
        refuse::<M, P, S>(db, predicate, guards, &keys).await?;
        keys
    } else {
        let keys = locked::<M, P, S>(db, predicate).await?;
        refuse::<M, P, S>(db, predicate, guards, &[]).await?;
        let hit = db.count(statement).await.map_err(|error| overflow(error, guards))?;
        check_phantoms::<M>(hit, keys.len())?;
        keys
    };
    write::touch_keys::<M, S>(db, &keys).await?;
    Ok(keys)
}

/// How many rows are read again in one SELECT.
const READ_AGAIN: usize = 256;

/// The keys that an update of the fields of `mask` has made, from the rows as they are stored.
pub(super) async fn touch_stored<M, S>(db: &mut S, keys: &[Key<M>], mask: u64) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    for chunk in keys.chunks(READ_AGAIN) {
        let patches: Vec<M::Patch> = chunk.iter().map(M::Pk::patch).collect();
        let mut alternatives = Vec::with_capacity(patches.len());
        for patch in &patches {
            let mut pairs = Assignments::new::<M>(Purpose::Update);
            M::visit(patch, &mut pairs)?;
            alternatives.push(pairs.pairs);
        }
        let select = Statement::new().stays_prepared(false).sql("SELECT ").columns::<M>().sql(" FROM ");
        let rows: Vec<M> = db.rows(select.table::<M>().matching_any(alternatives)).await?;
        for row in &rows {
            write::touch_new::<M, S>(db, row, mask).await?;
        }
    }
    Ok(())
}

/// Deletes the rows that match, and returns how many.
pub(crate) async fn delete_where<M, P, S>(db: &mut S, predicate: &P) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    if M::cache().is_none() {
        return db.count(deletion::<M, P, S>(predicate)).await;
    }
    let unit = Unit::begin(db).await?;
    let done = delete_and_touch::<M, P, S>(db, predicate).await;
    unit.end(db, done).await
}

async fn delete_and_touch<M, P, S>(db: &mut S, predicate: &P) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let statement = deletion::<M, P, S>(predicate);
    let keys = if S::Backend::RETURNING {
        db.keys::<M>(statement.sql(" RETURNING ").key::<M>()).await?
    } else {
        let keys = locked::<M, P, S>(db, predicate).await?;
        let hit = db.count(statement).await?;
        check_phantoms::<M>(hit, keys.len())?;
        keys
    };
    write::touch_keys::<M, S>(db, &keys).await?;
    Ok(keys.len())
}

/// Below REPEATABLE READ a row can come in after the locks were taken; its key would not be known.
pub(super) fn check_phantoms<M: SentryModel>(hit: usize, locked: usize) -> Result<()> {
    match hit > locked {
        false => Ok(()),
        true => Err(Error::Query(format!(
            "{}: {hit} rows were hit where {locked} had been locked; run it again, or under REPEATABLE READ",
            M::NAME
        ))),
    }
}

fn deletion<M, P, S>(predicate: &P) -> Statement<'_, S::Backend>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let kept = stays_prepared::<M, P, S>(Verb::DeleteWhere as u64);
    Statement::new().sql("DELETE FROM ").table::<M>().filtered(predicate).stays_prepared(kept)
}

/// Whether a statement of this shape stays prepared, over rows that a predicate of type `P` names.
fn stays_prepared<M, P, S>(shape: u64) -> bool
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    shape_of_predicate::<P>().is_some_and(|predicate| M::state().shapes.admit(shape ^ predicate))
}

/// The keys of the rows that match, locked until the transaction ends.
async fn locked<M, P, S>(db: &mut S, predicate: &P) -> Result<Vec<Key<M>>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let kept = stays_prepared::<M, P, S>(Verb::Lock as u64);
    db.keys::<M>(keys_of::<M, P, S>(predicate).sql(S::Backend::LOCKING).stays_prepared(kept)).await
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

/// A bound that refuses one row refuses the statement: the caller rolls back.
async fn refuse<M, P, S>(
    db: &mut S,
    predicate: &P,
    guards: &[Guarded<'_, S::Backend>],
    updated: &[Key<M>],
) -> Result<()>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    for guard in guards {
        let statement = keys_of::<M, P, S>(predicate).refused_by(std::slice::from_ref(guard));
        let refused = db.keys::<M>(statement).await.map_err(|error| overflow(error, guards))?;
        // An updated row may stand at the limit by now, and would be refused the next time only.
        if refused.iter().any(|key| !updated.contains(key)) {
            return Err(guard.refused());
        }
    }
    Ok(())
}
