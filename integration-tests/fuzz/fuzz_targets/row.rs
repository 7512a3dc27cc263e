//! Any bytes as the payload of a cached row, behind a part of a good one.
#![no_main]
use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use libfuzzer_sys::fuzz_target;
use model_runtime::cache::entry::HEADER;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use model_runtime::store::{MemoryStore, Store};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

diesel::table! {
    notes (id) { id -> Integer, title -> Text, stars -> Nullable<Integer>, shape -> Text, data -> Text }
}

/// What serde makes of every kind of value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
struct Shape {
    tags: Vec<String>,
    counts: HashMap<String, u64>,
    extra: serde_json::Value,
    mood: Option<Mood>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Mood {
    Calm,
    Loud(u8),
    Mixed { of: Vec<Mood> },
}

impl FromSql<Text, Sqlite> for Shape {
    fn from_sql(bytes: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(serde_json::from_str(&<String as FromSql<Text, Sqlite>>::from_sql(bytes)?)?)
    }
}

impl ToSql<Text, Sqlite> for Shape {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(self)?);
        Ok(IsNull::No)
    }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = notes)]
#[cache_fields()]
struct Note {
    #[bounded(auto)]
    id: i32,
    title: String,
    stars: Option<i32>,
    shape: Shape,
    data: GzippedDict,
}

struct World {
    conn: SqliteConnection,
    store: Arc<MemoryStore>,
    cache: Cache,
    key: String,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(world().expect("a database in memory"));
}

fn world() -> Result<World, Error> {
    let store = Arc::new(MemoryStore::default());
    let cache = Cache::builder().store(store.clone()).refresh_ahead(0.0).build()?;
    let mut conn =
        SqliteConnection::establish(":memory:").map_err(|error| Error::Cache(error.to_string()))?;
    conn.batch_execute(
        "CREATE TABLE notes (
            id INTEGER PRIMARY KEY, title TEXT NOT NULL, stars INTEGER, shape TEXT NOT NULL, data TEXT NOT NULL)",
    )?;
    let note = Note::create()
        .title("a")
        .shape(Shape::default())
        .data(GzippedDict::new())
        .execute(&mut Session::new(&mut conn, &cache))?;
    let key = cache.row_key::<Note>(&note);
    Ok(World { conn, store, cache, key })
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how much of the good payload is kept, so that the last field is met as often as the first.
    let Some((keep, bytes)) = bytes.split_first() else { return };
    WORLD.with_borrow_mut(|World { conn, store, cache, key }| {
        let mut db = Session::new(conn, cache);
        let _ = Note::get_from_cache(&mut db, notes::id, 1);
        let Ok(answer) = store.call(&[Command::Get { key: key.clone() }]) else { return };
        let Some(Reply::Entry(Some(good))) = answer.replies.into_iter().next() else { return };
        let kept = usize::from(*keep).min(good.len() - HEADER - 20);
        let new = [&good[..HEADER + 20 + kept], bytes].concat();
        let _ = store.call(&[Command::Swap { key: key.clone(), expect: good, new, ttl_ms: 60_000 }]);
        assert!(Note::get_from_cache(&mut db, notes::id, 1).is_ok(), "what is no row is a miss");
        let _ = cache.clear::<Note>();
    });
});
