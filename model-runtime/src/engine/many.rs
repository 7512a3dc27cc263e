//! Lookups of many rows at once: the same steps as of one, each for all of them.
use super::read::{Lookup, from_database, leave_out};
use super::{Executor, Scope};
use crate::cache::codec::CacheSpec;
use crate::cache::read::{self, Answered, Grant, Sought};
use crate::error::Result;
use crate::field::{KeyTexts, LookupKind};
use crate::model::ModelSql;
use crate::statement::{Assignments, Purpose, Statement};
use std::collections::{HashMap, HashSet};

/// How many rows are looked up in one round trip and one SELECT.
const CHUNK: usize = 256;

/// The rows with these keys, in the order of the keys.
pub(crate) async fn get_many<M, K, S>(db: &mut S, keys: &[K::Key], kind: LookupKind) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    // NULL has no text and is not cached.
    let texts: Vec<_> = keys.iter().map(|key| (!K::is_null(key)).then(|| K::text(key))).collect();
    // Each row is asked for once.
    let (mut wanted, mut known) = (Vec::with_capacity(keys.len()), HashMap::with_capacity(keys.len()));
    let mut place_of = |key, text| {
        *known.entry(text).or_insert_with(|| {
            wanted.push((key, text));
            wanted.len() - 1
        })
    };
    let asked = keys.iter().zip(&texts);
    let places: Vec<_> = asked.map(|(key, text)| Some(place_of(key, text.as_deref()?))).collect();
    let mut rows = get_all::<M, K, S>(db, &wanted, kind).await?;
    if rows.len() == keys.len() {
        return Ok(rows);
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

/// The rows of keys that are all different.
async fn get_all<M, K, S>(
    db: &mut S,
    wanted: &[Wanted<'_, K::Key>],
    kind: LookupKind,
) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let near = M::cache().filter(|spec| spec.near_ms > 0 && db.scope() == Scope::Autocommit);
    let mut rows: Vec<_> = wanted.iter().map(|(_, text)| db.cache().near_copy(near?, text)).collect();
    let far: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].is_none()).collect();
    for places in far.chunks(CHUNK) {
        let asked: Vec<_> = places.iter().map(|place| wanted[*place]).collect();
        for (place, row) in places.iter().zip(get_chunk::<M, K, S>(db, &asked, kind).await?) {
            rows[*place] = row;
        }
    }
    Ok(rows)
}

/// A key and its text.
type Wanted<'k, K> = (&'k K, &'k str);

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
    let cached = M::cache().filter(|_| db.scope() == Scope::Autocommit);
    let reads = |spec: &&'static CacheSpec<M>| db.cache().rules(spec).reads;
    let Some(spec) = cached.filter(reads) else {
        if cached.is_some() {
            read::passed_by::<M, S>(db, wanted.len());
        }
        let mut rows: Vec<_> = wanted.iter().map(|_| None).collect();
        load::<M, K, S>(db, wanted, (0..wanted.len()).collect(), &mut rows).await?;
        return Ok(rows);
    };
    let entries: Vec<_> = wanted.iter().map(|(_, text)| db.cache().key::<M>(text)).collect();
    let known = |entry| (kind == LookupKind::PrimaryKey).then_some(entry);
    let before: Vec<_> = entries.iter().map(|entry| db.cache().before(spec, known(entry.as_str()))).collect();
    let (mut found, pointers) = match kind {
        LookupKind::PrimaryKey => (read::rows(db, spec, entries).await, None),
        LookupKind::Unique => {
            let carries = |place: usize, row: &M| K::text(&K::of(row)) == wanted[place].1;
            (read::pointed(db, spec, &entries, carries).await, Some(entries))
        }
    };
    for ((sought, (key, text)), before) in found.iter().zip(wanted).zip(before) {
        let Sought::Hit(row) = sought else { continue };
        db.cache().keep_near(spec, text, row, before);
        if db.cache().config().canary > 0.0 {
            let entry = db.cache().key::<M>(text);
            Lookup::<M, K> { spec, key, text, entry, kind }.watch(db, row).await;
        }
    }
    read::claim(db, spec, &mut found).await;
    load_and_fill::<M, K, S>(db, spec, wanted, found, pointers).await
}

/// Asks for the rows that the cache does not have, and fills them.
async fn load_and_fill<M, K, S>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    wanted: &[Wanted<'_, K::Key>],
    found: Vec<Sought<M>>,
    pointers: Option<Vec<String>>,
) -> Result<Vec<Option<M>>>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let mut rows: Vec<Option<M>> = Vec::with_capacity(found.len());
    let (mut missing, mut due, mut grants) = (Vec::new(), Vec::new(), Vec::new());
    read::tally(db, &found);
    let out_of_reach = found.iter().any(|sought| matches!(sought, Sought::OutOfReach));
    for (place, sought) in found.into_iter().enumerate() {
        rows.push(match sought {
            Sought::Hit(row) => Some(row),
            Sought::Due(row, grant) => {
                due.push((place, *grant));
                Some(row)
            }
            Sought::Absent => None,
            Sought::Granted(grant) => {
                missing.push(place);
                grants.push((place, grant));
                None
            }
            Sought::Open { .. } | Sought::Bypass | Sought::Filling | Sought::OutOfReach => {
                missing.push(place);
                None
            }
        });
    }
    let _pass = match out_of_reach {
        true => super::wait::pass(db).await,
        false => None,
    };
    load::<M, K, S>(db, wanted, missing, &mut rows).await?;
    if refresh::<M, K, S>(db, wanted, &due, &mut rows).await {
        grants.extend(due);
    }
    let answer = |(place, grant): (usize, _)| Answered {
        grant,
        pointer: pointers.as_ref().map(|pointers| pointers[place].clone()),
        row: rows[place].as_ref(),
    };
    read::fill(db, spec, grants.into_iter().map(answer).collect()).await;
    Ok(rows)
}

/// Loads hits whose time is nearly over; returns whether the database answered. If not, the old rows serve.
async fn refresh<M, K, S>(
    db: &mut S,
    wanted: &[Wanted<'_, K::Key>],
    due: &[(usize, Grant)],
    rows: &mut [Option<M>],
) -> bool
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    let places: Vec<usize> = due.iter().map(|(place, _)| *place).collect();
    let old: Vec<_> = places.iter().map(|place| rows[*place].take()).collect();
    let Err(error) = load::<M, K, S>(db, wanted, places.clone(), rows).await else { return true };
    tracing::warn!(model = M::NAME, %error, "rows were not refreshed ahead of their end");
    for (place, row) in places.into_iter().zip(old) {
        rows[place] = row;
    }
    false
}

/// Asks the database for the rows that are not there yet.
async fn load<M, K, S>(
    db: &mut S,
    wanted: &[Wanted<'_, K::Key>],
    missing: Vec<usize>,
    rows: &mut [Option<M>],
) -> Result<()>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    if missing.is_empty() {
        return Ok(());
    }
    let (mut by_text, mut twice) = (HashMap::new(), HashSet::new());
    for row in select_any::<M, K, S>(db, missing.iter().map(|place| wanted[*place].0)).await? {
        let text = K::text(&K::of(&row));
        if by_text.contains_key(&text) {
            twice.insert(text.clone());
        }
        by_text.insert(text, row);
    }
    let any_found = !by_text.is_empty();
    let (mut open, mut inexact) = (Vec::new(), false);
    for place in missing {
        let (key, text) = wanted[place];
        match by_text.remove(text) {
            // As a lookup of it alone, which says that the key is not unique.
            Some(_) if twice.contains(text) => rows[place] = from_database::<M, K, S>(db, key).await?,
            Some(row) => rows[place] = Some(row),
            None => {
                inexact |= !K::is_exact(key);
                open.push(place);
            }
        }
    }
    if !any_found || (!inexact && by_text.is_empty()) {
        return Ok(());
    }
    load_other_spellings::<M, K, S>(db, wanted, open, by_text.is_empty(), rows).await
}

/// A collation may find a row by another spelling than its own, and one row by several that are asked for.
async fn load_other_spellings<M, K, S>(
    db: &mut S,
    wanted: &[Wanted<'_, K::Key>],
    open: Vec<usize>,
    every_row_was_taken: bool,
    rows: &mut [Option<M>],
) -> Result<()>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    // In most databases there is none, which one statement tells.
    if every_row_was_taken && open.len() > 1 {
        let others = select_any::<M, K, S>(db, open.iter().map(|place| wanted[*place].0)).await?;
        if others.is_empty() {
            return Ok(());
        }
    }
    for place in open {
        rows[place] = from_database::<M, K, S>(db, wanted[place].0).await?;
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
    let mut rows = db.rows(select.matching_any(alternatives)).await?;
    leave_out(&mut rows);
    Ok(rows)
}
