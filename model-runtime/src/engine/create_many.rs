//! Inserts of many rows, all or none.
use super::reread::forget_insert_id;
use super::transaction::Unit;
use super::write::{filled, insert_one_of_many, touch_made};
use super::{Executor, hooks};
use crate::error::{Error, Result};
use crate::hooks::Write;
use crate::model::ModelSql;
use crate::statement::{Assignments, Dialect, Pair, Purpose, Statement};
use crate::tracked::Tracked;

/// How many rows one statement inserts.
const CHUNK: usize = 128;
/// How many values one statement binds: SQLite takes 32,766.
const MAX_BINDS: usize = 16_384;

/// Inserts the rows and returns them as stored, in their order.
pub(crate) async fn create_many<M, S>(db: &mut S, mut patches: Vec<M::Patch>) -> Result<Vec<Tracked<M>>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if patches.is_empty() {
        return Ok(Vec::new());
    }
    for patch in &mut patches {
        hooks::before::<M>(patch, Write::Insert)?;
    }
    let unit = Unit::begin(db).await?;
    let done = insert_all::<M, S>(db, patches).await;
    let mut rows = unit.end(db, done).await?;
    let node = db.transaction().node();
    for row in &mut rows {
        row.inserted(node.clone());
        hooks::saved::<M, S>(db, row, Write::Insert, u64::MAX);
    }
    Ok(rows)
}

async fn insert_all<M, S>(db: &mut S, patches: Vec<M::Patch>) -> Result<Vec<Tracked<M>>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let patches: Vec<M::Patch> = patches.into_iter().map(|patch| filled::<M, S>(db, patch)).collect();
    let mut stored = Vec::with_capacity(patches.len());
    if !S::Backend::RETURNING {
        forget_insert_id::<M, S>(db, &patches).await?;
        for patch in &patches {
            stored.push(Tracked::stored(insert_one_of_many::<M, S>(db, patch).await?));
        }
        return Ok(stored);
    }
    let mut rest = patches.as_slice();
    while !rest.is_empty() {
        let values = alike::<M, S>(rest)?;
        let count = values.len();
        let (chunk, others) = rest.split_at(count);
        let statement =
            Statement::new().stays_prepared(false).sql("INSERT INTO ").table::<M>().values(values);
        let rows = db.rows::<M>(statement.returning::<M>()).await?;
        if rows.len() != count {
            let found = rows.len();
            return Err(Error::Query(format!("{}: INSERT of {count} rows returned {found}", M::NAME)));
        }
        touch_made(db, &rows).await?;
        stored.extend(in_order(chunk, rows).into_iter().map(Tracked::stored));
        rest = others;
    }
    Ok(stored)
}

/// The values of rows.
type Values<'p, DB> = Vec<Vec<Pair<'p, DB>>>;

/// The values of the first rows that set the same columns.
fn alike<M, S>(patches: &[M::Patch]) -> Result<Values<'_, S::Backend>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let (mut values, mut mask) = (Vec::new(), 0);
    for patch in patches.iter().take(CHUNK) {
        let mut row = Assignments::new::<M>(Purpose::Insert);
        M::visit(patch, &mut row)?;
        let fits = (values.len() + 1) * row.pairs.len() <= MAX_BINDS;
        // A row of defaults has no list of values to stand in.
        if !values.is_empty() && (row.mask() != mask || mask == 0 || !fits) {
            break;
        }
        mask = row.mask();
        values.push(row.pairs);
    }
    Ok(values)
}

/// The stored rows in the order of their patches: a database need not return them in it.
fn in_order<M: ModelSql<DB>, DB: Dialect>(patches: &[M::Patch], mut rows: Vec<M>) -> Vec<M> {
    let belongs = |row: &M, patch: &M::Patch| {
        let mut given = row.snapshot();
        given.apply(patch);
        given.dirty(row) == 0
    };
    for (place, patch) in patches.iter().enumerate() {
        let found = (place..rows.len()).find(|at| belongs(&rows[*at], patch));
        // Where the database stores other values than were given, the order is all there is to go by.
        rows.swap(place, found.unwrap_or(place));
    }
    rows
}
