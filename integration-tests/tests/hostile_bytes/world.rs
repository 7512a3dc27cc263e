//! A cached row whose entries a test may poison, in both stores.
use crate::memory::{Alone, alone};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use integration_tests::databases::{self, Schema};
use integration_tests::stores;
use model_runtime::cache::entry::{self, Entry};
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use model_runtime::store::{RedisStore, Store};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// What one lookup may hold at once: a lookup of these rows needs a few kilobytes.
const LOOKUP_MIB: usize = 16;

diesel::table! {
    notes (id) {
        id -> Integer,
        slug -> Text,
        tags -> Text,
        counts -> Text,
        extra -> Text,
        mood -> Text,
        spare -> Nullable<Text>,
        packed -> Binary,
        data -> Text,
    }
}

const NOTES: Schema = Schema(&["CREATE TABLE notes (
    id {pk}, slug TEXT NOT NULL UNIQUE, tags TEXT NOT NULL, counts TEXT NOT NULL, extra TEXT NOT NULL,
    mood TEXT NOT NULL, spare TEXT, packed {binary} NOT NULL, data TEXT NOT NULL)"]);

/// JSON in the database, and whatever serde makes of `T` in the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromSql<Text, Sqlite> for Json<T> {
    fn from_sql(bytes: <Sqlite as diesel::backend::Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(&<String as FromSql<Text, Sqlite>>::from_sql(bytes)?)?))
    }
}

impl<T: Serialize + Debug> ToSql<Text, Sqlite> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Mood {
    Calm,
    Loud(u8),
    Mixed { of: Vec<Mood>, why: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = notes)]
#[cache_fields(slug)]
pub(crate) struct Note {
    #[bounded(auto)]
    pub(crate) id: i32,
    pub(crate) slug: String,
    pub(crate) tags: Json<Vec<String>>,
    pub(crate) counts: Json<HashMap<String, u64>>,
    pub(crate) extra: Json<Value>,
    pub(crate) mood: Json<Mood>,
    pub(crate) spare: Option<String>,
    pub(crate) packed: Vec<u8>,
    pub(crate) data: GzippedDict,
}

fn saved(db: &mut Session<'_, SqliteConnection>) -> Note {
    let note = Note::create()
        .slug("pump")
        .tags(Json(vec!["a".to_owned(), "b".to_owned()]))
        .counts(Json(HashMap::from([("a".to_owned(), 1)])))
        .extra(Json(serde_json::json!({"a": [1, 2.5, null, "text", {"b": true}]})))
        .mood(Json(Mood::Mixed { of: vec![Mood::Calm, Mood::Loud(3)], why: Some("so".to_owned()) }))
        .spare("spare")
        .packed(vec![0_u8, 128, 255])
        .data(GzippedDict::from(serde_json::Map::from_iter([("k".to_owned(), Value::from(1))])))
        .execute(db)
        .unwrap();
    (*note).clone()
}

/// Puts bytes under a key of the store, whatever stands there.
pub(crate) type Poison = Box<dyn Fn(&str, &[u8])>;

fn in_the_process() -> (Arc<dyn Store>, Poison) {
    let store = stores::memory();
    let poisoned = store.clone();
    let poison = move |key: &str, new: &[u8]| {
        let key = key.to_owned();
        let swap = match found(&*poisoned, &key) {
            Some(expect) => Command::Swap { key, expect, new: new.to_vec(), ttl_ms: 60_000 },
            None => {
                poisoned
                    .call(&[Command::Lease { key: key.clone(), token: [1; 16], ttl_ms: 60_000 }])
                    .unwrap();
                Command::Swap { key, expect: entry::lease([1; 16]), new: new.to_vec(), ttl_ms: 60_000 }
            }
        };
        assert_eq!(poisoned.call(&[swap]).unwrap().replies, [Reply::Done(true)]);
    };
    (store, Box::new(poison))
}

/// With bytes that no command of the protocol has written.
fn on_redis() -> (Arc<dyn Store>, Poison) {
    const PATIENCE: Duration = Duration::from_secs(20);
    let url = stores::redis_url();
    let raw = RefCell::new(redis::Client::open(url.as_str()).unwrap().get_connection().unwrap());
    let poison = move |key: &str, new: &[u8]| {
        redis::cmd("SET").arg(key).arg(new).arg("PX").arg(60_000).exec(&mut *raw.borrow_mut()).unwrap();
    };
    (Arc::new(RedisStore::new(&url, PATIENCE, PATIENCE, Duration::ZERO).unwrap()), Box::new(poison))
}

fn found(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    let answer = store.call(&[Command::Get { key: key.into() }]).unwrap();
    match answer.replies.into_iter().next() {
        Some(Reply::Entry(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

/// A cached row and what the cache wrote for it.
pub(crate) struct World<'s> {
    pub(crate) db: Session<'s, SqliteConnection>,
    pub(crate) cache: &'s Cache,
    pub(crate) poison: &'s Poison,
    pub(crate) note: Note,
    pub(crate) key: String,
    pub(crate) good: Vec<u8>,
    pub(crate) pointer: (String, Vec<u8>),
    pub(crate) alone: Alone,
}

impl World<'_> {
    pub(crate) fn in_each(check: impl Fn(World<'_>)) {
        for (store, poison) in [in_the_process(), on_redis()] {
            let alone = alone();
            let cache = Cache::builder().store(store.clone()).refresh_ahead(0.0).build().unwrap();
            let mut conn = databases::sqlite_in_memory(NOTES);
            let mut db = Session::new(&mut conn, &cache);
            let note = saved(&mut db);
            // The first sets the pointer, the second fills the row, the third finds both.
            for hits in [0, 0, 1] {
                assert_eq!(*Note::get_from_cache(&mut db, notes::slug, "pump").unwrap(), note);
                assert_eq!(cache.stats().hits, hits);
            }
            let key = cache.row_key::<Note>(&note);
            let good = found(&*store, &key).unwrap();
            let mut entries =
                keys(&*store).into_iter().filter_map(|key| found(&*store, &key).map(|it| (key, it)));
            let pointer = entries.find(|(_, it)| matches!(entry::parse(it), Entry::Pointer { .. })).unwrap();
            check(World { db, cache: &cache, poison: &poison, note, key, good, pointer, alone });
        }
    }

    /// A lookup by the primary key, within bounds.
    pub(crate) fn by_id(&mut self) -> Result<Note, Error> {
        let Self { db, note, alone, .. } = self;
        let found = alone.within(LOOKUP_MIB, || Note::get_from_cache(db, notes::id, note.id));
        found.map(|found| (*found).clone())
    }

    /// The same by the slug.
    pub(crate) fn by_slug(&mut self) -> Result<Note, Error> {
        let Self { db, alone, .. } = self;
        let found = alone.within(LOOKUP_MIB, || Note::get_from_cache(db, notes::slug, "pump"));
        found.map(|found| (*found).clone())
    }

    /// The next lookup is answered by the cache.
    pub(crate) fn assert_healed(&mut self) -> Result<(), TestCaseError> {
        let hits = self.cache.stats().hits;
        prop_assert_eq!(self.by_id().unwrap(), self.note.clone());
        prop_assert_eq!(self.cache.stats().hits, hits + 1, "it was replaced");
        Ok(())
    }
}

fn keys(store: &dyn Store) -> Vec<String> {
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let answer = store.call(&[Command::Scan { prefix: String::new(), cursor }]).unwrap();
        let Some(Reply::Page { next, keys }) = answer.replies.into_iter().next() else { return all };
        all.extend(keys);
        cursor = next;
        if next == 0 {
            return all;
        }
    }
}
