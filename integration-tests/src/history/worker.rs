//! A process that reads and writes through the cache and logs what it saw, until its input ends.
use super::desk::Desk;
use super::event::{Event, Log, What};
use super::ledger::part_keys;
use super::link::{AsyncLink, Database, Link};
use super::model::{History, Part, histories, slug};
use super::orders::Orders;
use super::steps;
use super::store::FaultyStore;
use super::{INTENT_LIFETIME, LEASE, ROWS};
use diesel::{MysqlConnection, PgConnection, SqliteConnection};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use model_runtime::ModelSql;
use model_runtime::prelude::*;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::array::from_fn;
use std::collections::HashMap;
use std::io::{Read, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a worker tries to tell the store what it owes, before it ends.
const PATIENCE: Duration = Duration::from_secs(40);

/// Works until the input ends.
pub fn run(orders: &Orders) {
    // A stopped worker would not see its input end.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    match orders.database {
        Database::Sqlite => work::<SqliteConnection>(orders),
        Database::Postgres => work::<PgConnection>(orders),
        Database::Mysql => work::<MysqlConnection>(orders),
    }
}

fn work<C: Link>(orders: &Orders)
where
    History: ModelSql<C::Backend>,
{
    let log = Arc::new(Log::create(&orders.log).unwrap());
    let rows = load::<C>(orders);
    let store = Arc::new(FaultyStore::new(&orders.redis, keys(&rows), log.clone(), orders.defect));
    let cache = Cache::builder().store(store.clone()).intent_lifetime(INTENT_LIFETIME).lease(LEASE);
    let cache = cache.build().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, on_face) in (0..).zip([work_sync as fn(&mut Desk<'_>, &Cache, &AtomicBool), work_async])
        {
            let (log, rows, cache, over) = (log.clone(), rows.clone(), &cache, &over);
            scope.spawn(move || {
                let mut desk = Desk::new(orders, number, log, rows);
                on_face(&mut desk, cache, over);
                desk.end_runs();
            });
        }
        scope.spawn(|| {
            // A byte ends the faults, the end of the input everything.
            let _ = stdin().read(&mut [0]);
            store.calm.store(true, Ordering::Relaxed);
            let _ = stdin().read_to_end(&mut Vec::new());
            over.store(true, Ordering::Relaxed);
        });
        let mut last = false;
        while !last {
            last = over.load(Ordering::Relaxed);
            let stats = cache.stats();
            let others = stats.misses + stats.bypasses;
            log.add(Event { begin: stats.hits, end: others, ..Event::new(What::Looked, u8::MAX, u8::MAX) });
            thread::sleep(Duration::from_millis(50));
        }
    });
    cache.drain(PATIENCE).unwrap();
}

fn load<C: Link>(orders: &Orders) -> [Tracked<History>; ROWS as usize]
where
    History: ModelSql<C::Backend>,
{
    let cache = Cache::memory();
    let mut conn = C::open(&orders.url, &orders.setup).unwrap_or_else(|error| unreachable_database(&error));
    let mut db = Session::new(&mut conn, &cache);
    from_fn(|row| from_database(&mut db, u8::try_from(row).unwrap()).unwrap())
}

fn unreachable_database(error: &dyn std::fmt::Display) -> ! {
    panic!("a worker cannot reach its database: {error}")
}

/// The row as the database has it: inside a transaction no lookup asks the store.
pub(super) fn from_database<C: Link>(
    db: &mut Session<'_, C>,
    row: u8,
) -> model_runtime::Result<Tracked<History>>
where
    History: ModelSql<C::Backend>,
{
    db.transaction(|db| History::get_from_cache(db, histories::slug, slug(row)))
}

/// The cache keys, by number.
fn keys(rows: &[Tracked<History>]) -> HashMap<String, u8> {
    let cache = Cache::memory();
    let parts =
        part_keys().map(|(key, code)| (cache.row_key(&Part { code, slug: String::new(), v: 0 }), key));
    let rows = (0..).zip(rows).map(|(key, row)| (cache.row_key(&**row), key));
    rows.chain(parts).collect()
}

fn work_sync(desk: &mut Desk<'_>, cache: &Cache, over: &AtomicBool) {
    match desk.orders.database {
        Database::Sqlite => on::<SqliteConnection>(desk, cache, over, steps::sqlite::work),
        Database::Postgres => on::<PgConnection>(desk, cache, over, steps::postgres::work),
        Database::Mysql => on::<MysqlConnection>(desk, cache, over, steps::mysql::work),
    }
}

/// On one connection after the other.
fn on<C: Link>(
    desk: &mut Desk<'_>,
    cache: &Cache,
    over: &AtomicBool,
    work: fn(&mut C, &Cache, &mut Desk<'_>, &AtomicBool),
) {
    while !over.load(Ordering::Relaxed) {
        let (url, level) = (&desk.orders.url, desk.level(C::DATABASE));
        let mut conn = C::open(url, &desk.orders.setup).unwrap_or_else(|error| unreachable_database(&error));
        for statement in C::DATABASE.at_level(level).iter().map(String::as_str).chain([C::PATIENCE]) {
            conn.batch_execute(statement).unwrap();
        }
        desk.connected(conn.cut(url));
        work(&mut conn, cache, desk, over);
    }
}

fn work_async(desk: &mut Desk<'_>, cache: &Cache, over: &AtomicBool) {
    // A call of `SyncConnectionWrapper` that is dropped waits for its statement, which needs such a runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        macro_rules! on {
            ($connection:ty, $work:path) => {
                while !over.load(Ordering::Relaxed) {
                    let mut conn = open::<$connection>(desk).await;
                    $work(&mut conn, cache, desk, over).await;
                }
            };
        }
        match desk.orders.database {
            Database::Sqlite => on!(SyncConnectionWrapper<SqliteConnection>, steps::sqlite_async::work),
            Database::Postgres => on!(AsyncPgConnection, steps::postgres_async::work),
            Database::Mysql => on!(AsyncMysqlConnection, steps::mysql_async::work),
        }
    });
}

async fn open<C: AsyncLink>(desk: &mut Desk<'_>) -> C {
    let (url, level) = (&desk.orders.url, desk.level(C::DATABASE));
    let conn = C::open(url, &desk.orders.setup).await;
    let mut conn = conn.unwrap_or_else(|error| unreachable_database(&error));
    for statement in C::DATABASE.at_level(level).iter().map(String::as_str).chain([C::PATIENCE]) {
        conn.batch_execute(statement).await.unwrap();
    }
    desk.connected(conn.cut(url).await);
    conn
}
