//! Any bytes as the payload of a cached row.
#![no_main]
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use libfuzzer_sys::fuzz_target;
use model_runtime::cache::entry::HEADER;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use model_runtime::store::{MemoryStore, Store};
use std::cell::RefCell;
use std::sync::Arc;

diesel::table! { notes (id) { id -> Integer, title -> Text, stars -> Nullable<Integer>, data -> Text } }

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = notes)]
#[cache_fields()]
struct Note {
    #[bounded(auto)]
    id: i32,
    title: String,
    stars: Option<i32>,
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
    let mut conn = SqliteConnection::establish(":memory:").map_err(|error| Error::Cache(error.to_string()))?;
    conn.batch_execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL, stars INTEGER, data TEXT NOT NULL)")?;
    let note = Note::create().title("a").data(GzippedDict::new()).execute(&mut Session::new(&mut conn, &cache))?;
    let key = cache.row_key::<Note>(&note);
    Ok(World { conn, store, cache, key })
}

fuzz_target!(|payload: &[u8]| {
    WORLD.with_borrow_mut(|World { conn, store, cache, key }| {
        let mut db = Session::new(conn, cache);
        let _ = Note::get_from_cache(&mut db, notes::id, 1);
        let Ok(answer) = store.call(&[Command::Get { key: key.clone() }]) else { return };
        let Some(Reply::Entry(Some(good))) = answer.replies.into_iter().next() else { return };
        let new = [&good[..HEADER + 20], payload].concat();
        let _ = store.call(&[Command::Swap { key: key.clone(), expect: good, new, ttl_ms: 60_000 }]);
        assert!(Note::get_from_cache(&mut db, notes::id, 1).is_ok(), "what is no row is a miss");
        let _ = cache.clear::<Note>();
    });
});
