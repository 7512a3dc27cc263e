//! How stored values come back: from RETURNING, or read again in the same transaction.
use super::transaction::Unit;
use super::write::{Wanted, select_by_pk};
use super::{Executor, read};
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::model::ModelSql;
use crate::statement::{Assignments, Dialect, Purpose, Statement};

/// Where the stored row of an UPDATE comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The statement returns it.
    Returned,
    /// Only values were assigned, and nothing else is asked for.
    Known,
    /// It is read again: an expression was computed, or the whole row is asked for.
    Read,
}

impl Source {
    pub(super) fn of<M: ModelSql<DB>, DB: Dialect>(
        sets: &Assignments<'_, DB>,
        wanted: Wanted,
    ) -> Result<Self> {
        // Hooks see the whole row as it is stored. A time as a primary key may have been cut off, and later writes name
        // the row by what it carries.
        let is_key_cut = !DB::KEEPS_NANOSECONDS && sets.mask() & M::Pk::MASK != 0;
        let is_known =
            sets.only_values() && wanted == Wanted::Assigned && M::hooks().is_none() && !is_key_cut;
        match (DB::RETURNING, sets.only_values()) {
            _ if is_known && DB::STORES_AS_BOUND => Ok(Self::Known),
            (true, ..) => Ok(Self::Returned),
            (false, false) if sets.computed_mask() & M::Pk::MASK != 0 => Err(Error::Query(format!(
                "{}: this database does not tell which primary key an expression gives; assign a value",
                M::NAME
            ))),
            _ => Ok(Self::Read),
        }
    }

    /// Runs the UPDATE of the row of `base`; returns the rows that it hit, as they are stored.
    pub(super) async fn stored<M, S>(
        self,
        db: &mut S,
        statement: Statement<'_, S::Backend>,
        patch: &M::Patch,
        base: &M,
    ) -> Result<Vec<M>>
    where
        M: ModelSql<S::Backend>,
        S: Executor,
    {
        if self == Self::Returned {
            return db.rows(statement.returning::<M>()).await;
        }
        if db.count(statement).await? == 0 {
            return Ok(Vec::new());
        }
        let mut known = base.snapshot();
        known.apply(patch);
        match self {
            Self::Read => Ok(select_by_pk(db, &known, &[]).await?.into_iter().collect()),
            _ => Ok(vec![known]),
        }
    }
}

/// Runs the INSERT of `patch` and reads the row.
pub(super) async fn inserted<M, S>(
    db: &mut S,
    statement: Statement<'_, S::Backend>,
    patch: &M::Patch,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let unit = Unit::begin(db).await?;
    let done = match forget_insert_id::<M, S>(db, std::slice::from_ref(patch)).await {
        Ok(()) => insert_and_read(db, statement, patch).await,
        Err(error) => Err(error),
    };
    unit.end(db, done).await
}

/// Before rows whose keys the database assigns: where a statement assigns none, it would tell that of an earlier one.
pub(super) async fn forget_insert_id<M, S>(db: &mut S, patches: &[M::Patch]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    for patch in patches {
        let (key, mut pairs) = (M::Pk::pick(patch), Assignments::<S::Backend>::new::<M>(Purpose::Insert));
        M::visit(&key, &mut pairs)?;
        if pairs.mask() != M::Pk::MASK {
            return db.sql(<S::Backend as Dialect>::FORGET_INSERT_ID).await;
        }
    }
    Ok(())
}

/// Runs the INSERT of `patch` and reads the row, in a transaction that has forgotten earlier keys.
pub(super) async fn insert_and_read<M, S>(
    db: &mut S,
    statement: Statement<'_, S::Backend>,
    patch: &M::Patch,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let (key, mut pairs) = (M::Pk::pick(patch), Assignments::new::<M>(Purpose::Insert));
    M::visit(&key, &mut pairs)?;
    // What was not given, the database has assigned.
    let mask = pairs.mask();
    db.count(statement).await?;
    let assigned = M::Pk::COLUMNS.iter().zip(M::Pk::INDEXES).filter(|(_, index)| mask >> **index & 1 == 0);
    let mut statement = read::select::<M, S>(pairs);
    for (i, (column, _)) in assigned.enumerate() {
        let first = i == 0 && mask == 0;
        statement = statement.sql(if first { " WHERE " } else { " AND " }).column(None, column);
        statement = statement.sql(" = ").sql(<S::Backend as Dialect>::LAST_INSERT_ID);
        // A text that is no number equals 0.
        statement = statement.sql(" AND 0 <> ").sql(<S::Backend as Dialect>::LAST_INSERT_ID);
    }
    match db.rows(statement).await?.pop() {
        None if mask != M::Pk::MASK => Err(Error::Query(format!(
            "{}: this database does not tell a primary key that it assigns otherwise than by AUTO_INCREMENT; nothing is \
             written, give the key",
            M::NAME
        ))),
        row => Ok(row),
    }
}
