//! Lookups, through the cache where the row may come from it.
use super::{Executor, Scope};
use crate::cache::codec::{CacheSpec, Texts};
use crate::cache::read::{self, Pointed, Probe, Repoint};
use crate::error::{Error, Result};
use crate::field::{KeyTexts, LookupKind};
use crate::model::ModelSql;
use crate::statement::{Assignments, Purpose, Statement};

/// The row with this key, from the cache or the database.
pub(crate) async fn get<M, K, S>(
    db: &mut S,
    key: &K::Key,
    texts: &Texts,
    kind: LookupKind,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let cached = |_: &&_| db.scope() == Scope::Autocommit && !K::is_null(key);
    let Some(spec) = M::cache().filter(cached) else {
        return from_database::<M, K, S>(db, key).await;
    };
    let entry = db.cache().key(M::NAME, texts);
    match kind {
        LookupKind::PrimaryKey => by_primary_key::<M, K, S>(db, spec, key, entry).await,
        LookupKind::Unique => by_unique_field::<M, K, S>(db, spec, key, texts, entry).await,
    }
}

async fn by_primary_key<M, K, S>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    key: &K::Key,
    entry: String,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    match read::rows(db, spec, vec![entry]).await.pop() {
        Some(Probe::Hit(row)) => Ok(Some(row)),
        Some(Probe::Bypass) | None => from_database::<M, K, S>(db, key).await,
        Some(Probe::Granted(lease)) => {
            // After the lease was granted, never before: a write in between takes the lease away.
            let row = from_database::<M, K, S>(db, key).await?;
            read::fill(db, spec, vec![(lease, row.as_ref())]).await;
            Ok(row)
        }
    }
}

async fn by_unique_field<M, K, S>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    key: &K::Key,
    texts: &Texts,
    entry: String,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    // A pointer is only a hint: the row itself must carry the value asked for.
    let carries = |_, row: &M| K::texts(&K::of(row)) == *texts;
    let lease = match read::pointed(db, spec, std::slice::from_ref(&entry), carries).await.pop() {
        Some(Pointed::Hit(row)) => return Ok(Some(row)),
        Some(Pointed::Bypass) | None => return from_database::<M, K, S>(db, key).await,
        Some(Pointed::Nowhere) => None,
        Some(Pointed::Granted(lease)) => Some(lease),
    };
    let row = from_database::<M, K, S>(db, key).await?;
    read::repoint(db, spec, vec![Repoint { pointer: entry, lease, row: row.as_ref() }]).await;
    Ok(row)
}

pub(super) async fn from_database<M, K, S>(db: &mut S, key: &K::Key) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let (patch, mut pairs) = (K::patch(key), Assignments::new::<M>(Purpose::Update));
    M::visit(&patch, &mut pairs)?;
    let mut rows = db.rows(select::<M, S>(pairs.normalized::<K>())).await?;
    if K::FUNCTIONS.iter().any(Option::is_some) {
        // The database may take more texts for the same than the normal form does.
        let wanted = K::texts(key);
        rows.retain(|row| K::texts(&K::of(row)) == wanted);
    }
    if rows.len() > 1 {
        return Err(Error::Query(format!(
            "{}: {} rows match {}; a cached lookup must go by a unique key",
            M::NAME,
            rows.len(),
            described::<K>(key),
        )));
    }
    Ok(rows.pop())
}

/// `SELECT … FROM … WHERE a = … AND b = …`.
pub(super) fn select<M, S>(pairs: Assignments<'_, S::Backend>) -> Statement<'_, S::Backend>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    Statement::new().sql("SELECT ").columns::<M>().sql(" FROM ").table::<M>().matching(pairs.pairs, None)
}

/// The lookup in messages: `slug="pump"`.
pub(crate) fn described<K: KeyTexts>(key: &K::Key) -> String {
    let texts = K::texts(key);
    match K::is_null(key) {
        true => format!("NULL in {}", texts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
        false => texts.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(", "),
    }
}
