//! Keys that a transaction stores beside its rows, so that whoever comes next tells the cache.
//!
//! An entry is a key without the cache's prefix: `Project:` and the hash of its text, or, where a trigger wrote it, the
//! text itself.
use super::key::hashed;
use super::send::deletions;
use crate::engine::{Executor, Scope, begin, finish};
use crate::error::{Error, Result};
use crate::statement::{Dialect, Statement};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use std::collections::BTreeSet;

/// How many keys one statement stores.
const CHUNK: usize = 256;

/// Stores the keys in the transaction that touched them.
pub(crate) async fn store<S: Executor>(db: &mut S, keys: BTreeSet<String>) -> Result<()> {
    let prefix = db.cache().config().prefix.len() + 1;
    let entries: Vec<_> = keys.iter().map(|key| key.get(prefix..).map(str::to_owned)).collect();
    for chunk in entries.chunks(CHUNK) {
        let mut statement = Statement::new()
            .stays_prepared(chunk.len() == 1)
            .sql("INSERT INTO model_cache_outbox (entry) VALUES ");
        for (place, entry) in chunk.iter().enumerate() {
            statement = statement.sql(if place == 0 { "(" } else { ", (" }).text(entry).sql(")");
        }
        db.count(statement).await?;
    }
    Ok(())
}

/// Tells the cache of the stored keys; returns how many there were.
pub(crate) async fn sweep<S: Executor>(db: &mut S) -> Result<usize> {
    if db.scope() != Scope::Autocommit {
        return Err(Error::Query(
            "the outbox cannot be swept inside a transaction; call `sweep_outbox` outside".into(),
        ));
    }
    let mut count = 0;
    loop {
        begin(db).await?;
        let done = sweep_some(db).await;
        let swept = finish(db, done).await?;
        count += swept;
        if swept < CHUNK {
            return Ok(count);
        }
    }
}

/// The rows are locked until the commit, so that a sweep which dies leaves them to another.
async fn sweep_some<S: Executor>(db: &mut S) -> Result<usize> {
    let catalog = S::Backend::CATALOG.map(|catalog| catalog.outbox);
    let sql = catalog.ok_or_else(|| {
        Error::Query(
            "nobody told how this database stores keys for the cache; give its `Dialect` a `CATALOG`".into(),
        )
    })?;
    let select = Statement::new().sql("SELECT CAST(id AS ").sql(sql.text);
    let select = select.sql("), entry FROM model_cache_outbox ORDER BY id LIMIT 256").sql(sql.skip_locked);
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for row in db.texts(select, 2).await? {
        let Ok([Some(id), Some(entry)]) = <[Option<String>; 2]>::try_from(row) else { continue };
        ids.extend(id.parse().ok().map(Id));
        keys.extend(hashed(&db.cache().config().prefix, &entry));
    }
    if !keys.is_empty() {
        // Committed rows only are seen here, so that no reader after this fills what was before them.
        let told = db.store(&deletions(&keys)).await;
        told.map_err(|error| Error::Cache(format!("the keys stay in the outbox, sweep it again: {error}")))?;
    }
    if ids.is_empty() {
        return Ok(0);
    }
    let mut delete = Statement::new()
        .stays_prepared(ids.len() == CHUNK)
        .sql("DELETE FROM model_cache_outbox WHERE id IN (");
    for (place, id) in ids.iter().enumerate() {
        delete = delete.sql(if place == 0 { "" } else { ", " }).fragment(id);
    }
    db.count(delete.sql(")")).await?;
    Ok(ids.len())
}

struct Id(i64);

impl QueryId for Id {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB: Dialect> QueryFragment<DB> for Id {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        DB::bind_i64(&self.0, &mut out)
    }
}
