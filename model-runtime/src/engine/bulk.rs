//! Writes of all rows that a predicate matches, with the invalidation of each.
//!
//! With RETURNING the statement names the rows that it wrote. Without it the rows are locked before, and the statement
//! writes those: by the predicate where that must match the same rows again, else by their keys.
use super::lock::{check_hits, lock_database, locked, refuse};
use super::transaction::Unit;
use super::write::{Verb, overflow};
use super::{Executor, hooks};
use crate::cache::write;
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::statement::{
    Assignments, Dialect, Guarded, Pair, Purpose, SqlSet, Statement, decides_by_the_row, shape_of_predicate,
};
use diesel::query_builder::QueryFragment;

pub(super) type Key<M> = <<M as SentryModel>::Pk as KeyCols>::Key;

/// How many rows one statement names by their keys.
const CHUNK: usize = 256;

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
    let values = Values::<M, S::Backend> { patch: &patch, sql: &sql };
    let guards = values.sets()?.guards;
    // What guards refuse must be taken back.
    if M::cache().is_none() && guards.is_empty() {
        return db.count(values.update_matching(predicate, &guards)?).await;
    }
    let unit = Unit::begin(db).await?;
    let done = match S::Backend::RETURNING {
        true => update_returning(db, &values, predicate, &guards).await,
        false => update_locked(db, &values, predicate, &guards).await,
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

/// What an UPDATE of many rows sets.
struct Values<'v, M: SentryModel, DB: Dialect> {
    patch: &'v M::Patch,
    sql: &'v [SqlSet<'v, DB>],
}

impl<M: ModelSql<DB>, DB: Dialect> Values<'_, M, DB> {
    fn sets(&self) -> Result<Assignments<'_, DB>> {
        let mut sets = Assignments::new::<M>(Purpose::Update);
        M::visit(self.patch, &mut sets)?;
        sets.take_sql(self.sql.to_vec());
        Ok(sets)
    }

    /// `UPDATE … SET … WHERE (predicate) AND guards`.
    fn update_matching<'q, P>(
        &'q self,
        predicate: &'q P,
        guards: &'q [Guarded<'q, DB>],
    ) -> Result<Statement<'q, DB>>
    where
        P: QueryFragment<DB> + Sync,
    {
        let sets = self.sets()?;
        let shape = sets.shape() ^ Verb::UpdateWhere as u64;
        let kept = sets.is_countable() && stays_prepared::<M, P>(shape);
        let (statement, old) = Statement::update::<M>(sets);
        Ok(statement.filtered(predicate).guards(guards, old).stays_prepared(kept))
    }

    /// `UPDATE … SET … WHERE (keys) AND guards`.
    fn update_keys<'q>(
        &'q self,
        keys: Vec<Vec<Pair<'q, DB>>>,
        guards: &'q [Guarded<'q, DB>],
    ) -> Result<Statement<'q, DB>> {
        let (statement, old) = Statement::update::<M>(self.sets()?);
        Ok(statement.matching_any_of(keys, old).guards(guards, old).stays_prepared(false))
    }
}

/// The statement names the rows; where bounds guard it, they are locked and checked before, and it writes those: a row that
/// comes in between could be refused without an error.
async fn update_returning<M, P, S>(
    db: &mut S,
    values: &Values<'_, M, S::Backend>,
    predicate: &P,
    guards: &[Guarded<'_, S::Backend>],
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    if !guards.is_empty() {
        if S::Backend::LOCKS_ROWS {
            return update_locked(db, values, predicate, guards).await;
        }
        lock_database::<M, S>(db).await?;
        refuse::<M, P, S>(db, predicate, guards).await?;
    }
    let statement = values.update_matching(predicate, guards)?.sql(" RETURNING ").key::<M>();
    let keys = db.keys::<M>(statement).await.map_err(|error| overflow(error, guards))?;
    touch::<M, S>(db, &keys).await?;
    Ok(keys.len())
}

/// The rows are locked before, so that they are known; the statement must hit each of them.
async fn update_locked<M, P, S>(
    db: &mut S,
    values: &Values<'_, M, S::Backend>,
    predicate: &P,
    guards: &[Guarded<'_, S::Backend>],
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let keys = locked::<M, P, S>(db, predicate).await?;
    write::touch_keys::<M, S>(db, &keys).await?;
    refuse::<M, P, S>(db, predicate, guards).await?;
    let hit = if guards.is_empty() && decides_by_the_row(predicate) {
        db.count(values.update_matching(predicate, guards)?).await?
    } else {
        let mut hit = 0;
        for chunk in keys.chunks(CHUNK) {
            let patches = patches::<M>(chunk);
            let statement = values.update_keys(pairs::<M, S::Backend>(&patches)?, guards)?;
            hit += db.count(statement).await.map_err(|error| overflow(error, guards))?;
        }
        hit
    };
    check_hits::<M>(hit, keys.len())?;
    touch::<M, S>(db, &keys).await?;
    Ok(hit)
}

/// Rows with these keys were written.
async fn touch<M, S>(db: &mut S, keys: &[Key<M>]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    write::touch_keys::<M, S>(db, keys).await?;
    match write::absence_is_cached::<M>() {
        true => touch_stored::<M, S>(db, keys).await,
        false => Ok(()),
    }
}

/// The keys that a write has made, from the rows as they are stored, after every trigger.
pub(super) async fn touch_stored<M, S>(db: &mut S, keys: &[Key<M>]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    for chunk in keys.chunks(CHUNK) {
        let patches = patches::<M>(chunk);
        let select = Statement::new().sql("SELECT ").columns::<M>().sql(" FROM ").table::<M>();
        let select = select.matching_any(pairs::<M, S::Backend>(&patches)?);
        let rows: Vec<M> = db.rows(select.stays_prepared(chunk.len() == 1)).await?;
        for row in &rows {
            write::touch_new::<M, S>(db, row).await?;
        }
    }
    Ok(())
}

fn patches<M: SentryModel>(keys: &[Key<M>]) -> Vec<M::Patch> {
    keys.iter().map(M::Pk::patch).collect()
}

fn pairs<M: ModelSql<DB>, DB: Dialect>(patches: &[M::Patch]) -> Result<Vec<Vec<Pair<'_, DB>>>> {
    let pairs = patches.iter().map(|patch| {
        let mut pairs = Assignments::new::<M>(Purpose::Update);
        M::visit(patch, &mut pairs)?;
        Ok(pairs.pairs)
    });
    pairs.collect()
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
    let done = match S::Backend::RETURNING {
        true => delete_returning::<M, P, S>(db, predicate).await,
        false => delete_locked::<M, P, S>(db, predicate).await,
    };
    unit.end(db, done).await
}

async fn delete_returning<M, P, S>(db: &mut S, predicate: &P) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let statement = deletion::<M, P, S>(predicate).sql(" RETURNING ").key::<M>();
    let keys = db.keys::<M>(statement).await?;
    write::touch_keys::<M, S>(db, &keys).await?;
    Ok(keys.len())
}

async fn delete_locked<M, P, S>(db: &mut S, predicate: &P) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let keys = locked::<M, P, S>(db, predicate).await?;
    write::touch_keys::<M, S>(db, &keys).await?;
    let hit = if decides_by_the_row(predicate) {
        db.count(deletion::<M, P, S>(predicate)).await?
    } else {
        let mut hit = 0;
        for chunk in keys.chunks(CHUNK) {
            let patches = patches::<M>(chunk);
            let delete = Statement::new().sql("DELETE FROM ").table::<M>();
            let delete = delete.matching_any(pairs::<M, S::Backend>(&patches)?);
            hit += db.count(delete.stays_prepared(false)).await?;
        }
        hit
    };
    check_hits::<M>(hit, keys.len())?;
    Ok(hit)
}

fn deletion<M, P, S>(predicate: &P) -> Statement<'_, S::Backend>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let kept = stays_prepared::<M, P>(Verb::DeleteWhere as u64);
    Statement::new().sql("DELETE FROM ").table::<M>().filtered(predicate).stays_prepared(kept)
}

/// Whether a statement of this shape stays prepared, over rows that a predicate of type `P` names.
pub(super) fn stays_prepared<M: SentryModel, P>(shape: u64) -> bool {
    shape_of_predicate::<P>().is_some_and(|predicate| M::state().shapes.admit(shape ^ predicate))
}
