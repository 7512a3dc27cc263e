//! Lookups of many rows at once: the same steps as of one, each for all of them.
use super::read::from_database;
use super::{Executor, Scope};
use crate::cache::codec::{CacheSpec, Texts};
use crate::cache::read::{self, Lease, Pointed, Probe, Repoint};
use crate::error::Result;
use crate::field::{KeyTexts, LookupKind};
use crate::model::ModelSql;
use crate::statement::{Assignments, Purpose, Statement};
use std::collections::HashMap;

/// How many rows are looked up in one round trip and one SELECT.
const CHUNK: usize = 256;

/// The rows with these keys, in the order of the keys.
pub(crate) async fn get_many<M, K, S>(db: &mut S, keys: &[K::Key], kind: LookupKind) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    // Each row is asked for once.
    let (mut wanted, mut known) = (Vec::new(), HashMap::new());
    let mut place_of = |key| {
        *known.entry(K::texts(key)).or_insert_with_key(|texts| {
            wanted.push((key, texts.clone()));
            wanted.len() - 1
        })
    };
    // NULL has no text and is not cached.
    let places: Vec<_> = keys.iter().map(|key| (!K::is_null(key)).then(|| place_of(key))).collect();
    let mut rows = Vec::with_capacity(wanted.len());
    for chunk in wanted.chunks(CHUNK) {
        rows.extend(get_chunk::<M, K, S>(db, chunk, kind).await?);
    }
    // A row that is asked for again is copied, and goes with the last who asks.
    let mut asking = vec![0_usize; rows.len()];
    places.iter().flatten().for_each(|place| asking[*place] += 1);
    let mut found = Vec::with_capacity(keys.len());
    for (key, place) in keys.iter().zip(places) {
        let Some(place) = place else {
            found.push(from_database::<M, K, S>(db, key).await?);
            continue;
        };
        asking[place] -= 1;
        found.push(match asking[place] {
            0 => rows[place].take(),
            _ => rows[place].as_ref().map(M::snapshot),
        });
    }
    Ok(found)
}

/// A key and its texts.
type Wanted<'k, K> = (&'k K, Texts);

async fn get_chunk<M, K, S>(
    db: &mut S,
    wanted: &[Wanted<'_, K::Key>],
    kind: LookupKind,
) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let Some(spec) = M::cache().filter(|_| db.scope() == Scope::Autocommit) else {
        let mut rows: Vec<_> = wanted.iter().map(|_| None).collect();
        load::<M, K, S>(db, wanted, &mut rows).await?;
        return Ok(rows);
    };
    let entries = wanted.iter().map(|(_, texts)| db.cache().key(M::NAME, texts)).collect();
    match kind {
        LookupKind::PrimaryKey => by_primary_key::<M, K, S>(db, spec, wanted, entries).await,
        LookupKind::Unique => by_unique_field::<M, K, S>(db, spec, wanted, entries).await,
    }
}

async fn by_primary_key<M, K, S>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    wanted: &[Wanted<'_, K::Key>],
    entries: Vec<String>,
) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let mut rows = Vec::with_capacity(wanted.len());
    let mut leases: Vec<(usize, Lease)> = Vec::new();
    for (place, probe) in read::rows(db, spec, entries).await.into_iter().enumerate() {
        rows.push(match probe {
            Probe::Hit(row) => Some(row),
            Probe::Bypass => None,
            Probe::Granted(lease) => {
                leases.push((place, lease));
                None
            }
        });
    }
    load::<M, K, S>(db, wanted, &mut rows).await?;
    read::fill(db, spec, leases.into_iter().map(|(place, lease)| (lease, rows[place].as_ref())).collect())
        .await;
    Ok(rows)
}

async fn by_unique_field<M, K, S>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    wanted: &[Wanted<'_, K::Key>],
    entries: Vec<String>,
) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let carries = |place: usize, row: &M| K::texts(&K::of(row)) == wanted[place].1;
    let found = read::pointed(db, spec, &entries, carries).await;
    let mut rows = Vec::with_capacity(wanted.len());
    let mut missed: Vec<(usize, Option<Lease>)> = Vec::new();
    for (place, pointed) in found.into_iter().enumerate() {
        rows.push(match pointed {
            Pointed::Hit(row) => Some(row),
            Pointed::Bypass => None,
            Pointed::Nowhere => {
                missed.push((place, None));
                None
            }
            Pointed::Granted(lease) => {
                missed.push((place, Some(lease)));
                None
            }
        });
    }
    load::<M, K, S>(db, wanted, &mut rows).await?;
    let repoint = |(place, lease): (usize, Option<Lease>)| Repoint {
        pointer: entries[place].clone(),
        lease,
        row: rows[place].as_ref(),
    };
    read::repoint(db, spec, missed.into_iter().map(repoint).collect()).await;
    Ok(rows)
}

/// Asks the database for the rows that are not there yet.
async fn load<M, K, S>(db: &mut S, wanted: &[Wanted<'_, K::Key>], rows: &mut [Option<M>]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let missing: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let loaded = select_any::<M, K, S>(db, missing.iter().map(|place| wanted[*place].0)).await?;
    let mut by_texts: HashMap<Texts, M> =
        loaded.into_iter().map(|row| (K::texts(&K::of(&row)), row)).collect();
    for place in &missing {
        rows[*place] = by_texts.remove(&wanted[*place].1);
    }
    // A collation may find a row by another spelling than its own.
    for place in missing.into_iter().filter(|_| !by_texts.is_empty()) {
        if rows[place].is_none() {
            rows[place] = from_database::<M, K, S>(db, wanted[place].0).await?;
        }
    }
    Ok(())
}

async fn select_any<M, K, S>(db: &mut S, keys: impl Iterator<Item = &K::Key>) -> Result<Vec<M>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let mut patches: Vec<M::Patch> = keys.map(K::patch).collect();
    // Few texts stay prepared: one for each power of two.
    if let Some(last) = patches.last().cloned() {
        patches.resize(patches.len().next_power_of_two(), last);
    }
    let mut alternatives = Vec::with_capacity(patches.len());
    for patch in &patches {
        let mut pairs = Assignments::new::<M>(Purpose::Update);
        M::visit(patch, &mut pairs)?;
        alternatives.push(pairs.normalized::<K>().pairs);
    }
    let select = Statement::new().sql("SELECT ").columns::<M>().sql(" FROM ").table::<M>();
    db.rows(select.matching_any(alternatives)).await
}
