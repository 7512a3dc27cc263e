//! Lookups, through the cache where the row may come from it.
use super::{Executor, Scope};
use crate::cache::codec::CacheSpec;
use crate::cache::flight::{self, Landing, Lead, Seat};
use crate::cache::gate::Pass;
use crate::cache::observe::Event;
use crate::cache::read::{self, Answered, Grant, Sought};
use crate::error::{Error, Result};
use crate::field::{KeyTexts, LookupKind};
use crate::model::{ModelSql, SentryModel};
use crate::statement::{Assignments, Purpose, Statement};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The row with this key, from the cache or the database; a fresh one from no copy near its reader.
pub(crate) async fn get<M, K, S>(
    db: &mut S,
    key: &K::Key,
    text: &str,
    kind: LookupKind,
    fresh: bool,
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
    if !db.cache().rules(spec).reads {
        read::passed_by::<M, S>(db, 1);
        return from_database::<M, K, S>(db, key).await;
    }
    let copy = if fresh { None } else { db.cache().near_copy(spec, text) };
    if copy.is_some() {
        tracing::Span::current().record("outcome", "near hit");
        return Ok(copy);
    }
    let entry = db.cache().key::<M>(text);
    Lookup::<M, K> { spec, key, text, entry, kind }.run(db).await
}

/// One lookup of a cached row.
pub(super) struct Lookup<'l, M: SentryModel, K: KeyTexts<Model = M>> {
    pub(super) spec: &'static CacheSpec<M>,
    pub(super) key: &'l K::Key,
    pub(super) text: &'l str,
    /// The key of the row's entry, or of the pointer.
    pub(super) entry: String,
    pub(super) kind: LookupKind,
}

impl<M: SentryModel, K: KeyTexts<Model = M>> Lookup<'_, M, K> {
    async fn run<S: Executor>(&self, db: &mut S) -> Result<Option<M>>
    where
        M: ModelSql<S::Backend>,
    {
        let sought = self.look(db).await;
        match sought {
            Sought::Hit(_) | Sought::Absent | Sought::Due(..) => self.settled(db, sought).await,
            _ => match flight::join(db.cache(), &self.entry) {
                Seat::Lead(lead) => {
                    // Whoever was filling may be done by now, before anybody could wait for him.
                    let sought = if matches!(sought, Sought::Filling) { self.look(db).await } else { sought };
                    self.lead(db, lead, sought).await
                }
                Seat::Follow(follow) => {
                    let until = Instant::now() + Duration::from_millis(db.cache().config().lease_ms);
                    match super::wait::landing(db, &follow, until).await {
                        Landing::Lead(lead) => {
                            drop(follow);
                            // What was seen before the wait is old.
                            let sought = self.look(db).await;
                            self.lead(db, lead, sought).await
                        }
                        Landing::Row(row) => self.shared(db, row.downcast_ref(), &sought).await,
                        Landing::Alone => self.shared(db, None, &sought).await,
                    }
                }
            },
        }
    }

    /// What the cache says, in one round trip.
    pub(super) async fn look<S: Executor>(&self, db: &mut S) -> Sought<M> {
        let row_key = (self.kind == LookupKind::PrimaryKey).then_some(self.entry.as_str());
        let before = db.cache().before(self.spec, row_key);
        let found = match self.kind {
            LookupKind::PrimaryKey => read::rows(db, self.spec, vec![self.entry.clone()]).await.pop(),
            LookupKind::Unique => {
                // A pointer is only a hint: the row itself must carry the value asked for.
                let entry = std::slice::from_ref(&self.entry);
                read::pointed(db, self.spec, entry, |_, row: &M| self.is_carried_by(row)).await.pop()
            }
        };
        let found = found.unwrap_or(Sought::Bypass);
        if let Sought::Hit(row) = &found {
            db.cache().keep_near(self.spec, self.text, row, before);
        }
        found
    }

    fn is_carried_by(&self, row: &M) -> bool {
        K::text(&K::of(row)) == self.text
    }

    /// What needs no reading, or, for a hit whose time is nearly over, a reading that may fail.
    async fn settled<S: Executor>(&self, db: &mut S, sought: Sought<M>) -> Result<Option<M>>
    where
        M: ModelSql<S::Backend>,
    {
        read::count(db, &sought);
        match sought {
            Sought::Hit(row) => {
                self.watch(db, &row).await;
                Ok(Some(row))
            }
            Sought::Due(old, grant) => match self.load(db, *grant).await {
                Ok(row) => Ok(row),
                Err(error) => {
                    tracing::warn!(model = M::NAME, %error, "a row was not refreshed ahead of its end");
                    Ok(Some(old))
                }
            },
            _ => Ok(None),
        }
    }

    /// Asks the database for all who wait.
    async fn lead<S: Executor>(&self, db: &mut S, lead: Lead, sought: Sought<M>) -> Result<Option<M>>
    where
        M: ModelSql<S::Backend>,
    {
        let mut found = [sought];
        read::claim(db, self.spec, &mut found).await;
        let [sought] = found;
        read::count(db, &sought);
        let row = match sought {
            Sought::Hit(row) | Sought::Due(row, _) if self.is_carried_by(&row) => Ok(Some(row)),
            Sought::Absent => Ok(None),
            Sought::Granted(grant) => self.load(db, grant).await,
            sought => {
                let _pass = pass(db, &sought).await;
                self.load_past_the_cache(db).await
            }
        };
        match &row {
            Ok(row) => lead.land(|| Arc::new(row.as_ref().map(M::snapshot))),
            Err(_) => lead.fail(),
        }
        row
    }

    /// Asks the database under leases, and fills.
    async fn load<S: Executor>(&self, db: &mut S, grant: Grant) -> Result<Option<M>>
    where
        M: ModelSql<S::Backend>,
    {
        // After the leases were granted, never before: a write in between takes them away.
        let row = self.load_past_the_cache(db).await?;
        let pointer = (self.kind == LookupKind::Unique).then(|| self.entry.clone());
        read::fill(db, self.spec, vec![Answered { grant, pointer, row: row.as_ref() }]).await;
        Ok(row)
    }

    pub(super) async fn load_past_the_cache<S: Executor>(&self, db: &mut S) -> Result<Option<M>>
    where
        M: ModelSql<S::Backend>,
    {
        from_database::<M, K, S>(db, self.key).await
    }

    /// What another read for this one; where there is nothing, the database is asked.
    async fn shared<S: Executor>(
        &self,
        db: &mut S,
        row: Option<&Option<M>>,
        sought: &Sought<M>,
    ) -> Result<Option<M>>
    where
        M: ModelSql<S::Backend>,
    {
        let Some(row) = row else {
            read::count::<M, S>(db, &Sought::Bypass);
            let _pass = pass(db, sought).await;
            return self.load_past_the_cache(db).await;
        };
        db.cache().counters().add_of(M::NAME, Event::Shared, 1);
        Ok(row.as_ref().map(M::snapshot))
    }
}

/// While the store is out of reach, the right to ask the database.
pub(super) async fn pass<M, S: Executor>(db: &mut S, sought: &Sought<M>) -> Option<Pass> {
    match sought {
        Sought::OutOfReach => super::wait::pass(db).await,
        _ => None,
    }
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
        let wanted = K::text(key);
        rows.retain(|row| K::text(&K::of(row)) == wanted);
    }
    leave_out(&mut rows);
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

/// Forgets what the cache never has, so that a lookup answers the same whoever was asked, and so that nothing of it gets
/// into what readers share.
pub(super) fn leave_out<M: SentryModel>(rows: &mut [M]) {
    if M::cache().is_some() {
        for row in rows {
            row.unload(u64::MAX);
        }
    }
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
