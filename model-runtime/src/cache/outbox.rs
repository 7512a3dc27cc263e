//! Keys that a transaction stores beside its rows, so that whoever comes next tells the cache.
use crate::engine::Executor;
use crate::error::Result;
use crate::statement::Statement;
use std::collections::BTreeSet;

/// How many keys one statement stores.
const CHUNK: usize = 256;

/// Stores the keys in the transaction that touched them.
pub(crate) async fn store<S: Executor>(db: &mut S, keys: BTreeSet<String>) -> Result<()> {
    let prefix = db.cache().config().prefix.len() + 1;
    let entries: Vec<_> = keys.iter().map(|key| key.get(prefix..).map(str::to_owned)).collect();
    for chunk in entries.chunks(CHUNK) {
        let mut statement =
            Statement::new().stays_prepared(chunk.len() == 1).sql("INSERT INTO model_cache_outbox (entry) VALUES ");
        for (place, entry) in chunk.iter().enumerate() {
            statement = statement.sql(if place == 0 { "(" } else { ", (" }).text(entry).sql(")");
        }
        db.count(statement).await?;
    }
    Ok(())
}
