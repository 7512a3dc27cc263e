//! Promise: while the cache cannot be told of a write, the write goes on or is refused, as the model says; what the
//! cache is owed is paid in the background, and the session says what the cache learned.
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::Postgres;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::servers::RedisServer;
use integration_tests::{databases, on_every_database, stores};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::{CacheOutcome, store};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

integration_tests::project_cached_as! {
    /// The model of the contract, which is not written while the cache cannot be told.
    Strict: slug, outage = "refuse"
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + HANGS;
    while !done() {
        assert!(Instant::now() < deadline, "it never comes: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn quick(url: &str) -> Cache {
    let cache = Cache::builder().redis(url).lazy().intent_lifetime(Duration::from_millis(300));
    cache.io_timeout(Duration::from_millis(200)).build().unwrap()
}

on_every_database! {
    fn a_model_that_refuses_is_not_written_where_intents_are_dropped_first(conn) {
        for (memory, policy, fit) in
            [("64mb", "volatile-ttl", false), ("0", "volatile-ttl", true), ("64mb", "allkeys-lru", true)]
        {
            let server = RedisServer::start_with(&["--maxmemory", memory, "--maxmemory-policy", policy]);
            let cache = quick(&server.url());
            let mut db = Session::new(conn, &cache);
            let mut free = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
            assert!(free.update().name("v1").execute(&mut db).unwrap(), "of a model that proceeds");
            let mut p = Strict::get_from_cache(&mut db, projects::id, free.id).unwrap();
            let alone = p.update().events(1).execute(&mut db);
            let together = db.transaction(|db| p.update().events(2).execute(db));
            let stored = projects::table.find(p.id).select(projects::events).first::<i32>(db.connection());
            for result in [alone, together] {
                match (fit, result) {
                    (true, Ok(true)) => {}
                    (false, Err(Error::Cache(text))) => assert!(text.contains("Strict") && text.contains(policy), "{text}"),
                    (_, other) => panic!("{memory} {policy}: {other:?}"),
                }
            }
            assert_eq!(stored.unwrap(), if fit { 2 } else { 0 });
            free.delete(&mut db).unwrap();
        }
    }

    fn a_model_that_refuses_is_not_written_while_the_cache_is_away(conn, place) {
        let mut server = RedisServer::start();
        let cache = quick(&server.url());
        let mut db = Session::new(conn, &cache);
        let mut p = Strict::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        let mut q = Strict::create().organization_id(1).slug("tank").name("q0").execute(&mut db).unwrap();
        p.update().name("v1").execute(&mut db).unwrap();
        assert_eq!(db.cache_outcome(), CacheOutcome::Told);
        server.kill();
        let refused = |result: Result<(), Error>, what: &str| match result {
            Err(Error::Cache(text)) => assert!(text.contains("Strict") && text.contains("refuse"), "{text}"),
            other => panic!("{what}: {other:?}"),
        };
        refused(p.update().name("v2").execute(&mut db).map(drop), "update");
        refused(db.transaction(|db| {
            q.update().name("q1").execute(db)?;
            p.update().events(9).execute(db).map(drop)
        }), "transaction");
        refused(p.delete(&mut db).map(drop), "delete");
        refused(Strict::update_where(projects::id.eq(p.id)).events(3).execute(&mut db).map(drop), "update_where");
        let upsert = Strict::create_or_update().slug("pump").defaults(|d| d.events(4));
        refused(upsert.execute(&mut db).map(drop), "create_or_update");
        // The database has nothing of it, and a second session agrees.
        let mut other = place.connect();
        let stored: Vec<(String, i32)> =
            projects::table.order(projects::id).select((projects::name, projects::events)).load(&mut other).unwrap();
        assert_eq!(stored, [("v1".to_owned(), 0), ("q0".to_owned(), 0)]);
        assert_eq!(q.old_value(projects::name).map(String::as_str), Some("q0"), "memory knows of the rollback");
        server.restart();
        let deadline = Instant::now() + HANGS;
        while p.update().name("v3").execute(&mut db).is_err() {
            assert!(Instant::now() < deadline, "it is refused for ever");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(db.cache_outcome(), CacheOutcome::Told);
        assert_eq!(Strict::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v3");
    }
}

#[test]
fn the_session_says_what_the_cache_learned() {
    let place = databases::sqlite(SCHEMA);
    let mut server = RedisServer::start();
    let cache = quick(&server.url());
    let (mut conn, mut other) = (place.connect(), place.connect());
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    assert_eq!(db.cache_outcome(), CacheOutcome::Untouched, "a new row has no entry");
    p.update().name("v1").execute(&mut db).unwrap();
    assert_eq!(db.cache_outcome(), CacheOutcome::Told);
    other
        .transaction::<_, Error, _>(|conn| {
            let mut db = Session::new(conn, &cache);
            p.update().name("v2").execute(&mut db)?;
            assert_eq!(db.cache_outcome(), CacheOutcome::LeftToExpire, "the commit is not the session's");
            Ok(())
        })
        .unwrap();
    server.kill();
    p.update().name("v3").execute(&mut db).unwrap();
    assert_eq!(db.cache_outcome(), CacheOutcome::Owed);
}

#[test]
fn what_the_store_is_owed_is_paid_without_another_call() {
    let place = databases::sqlite(SCHEMA);
    let server = RedisServer::start();
    let cache = quick(&server.url());
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    until("a fill", || {
        Project::get_from_cache(&mut Session::new(&mut place.connect(), &cache), projects::id, p.id).unwrap();
        cache.stats().hits > 0
    });
    server.freeze();
    p.update().name("v1").execute(&mut db).unwrap();
    assert!(matches!(cache.drain(Duration::from_millis(50)), Err(Error::Cache(text)) if text.contains('1')));
    server.thaw();
    until("the background thread", || cache.stats().drained >= 1);
    // Another process reaches the same server, and finds nothing old.
    let stranger = quick(&server.url());
    let mut db = Session::new(&mut conn, &stranger);
    assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    cache.drain(Duration::ZERO).unwrap();
}

#[test]
fn at_the_end_of_a_process_nobody_waits_until_the_store_is_asked_again() {
    let (place, hooked) = (databases::sqlite(SCHEMA), Interleaved::new(stores::memory()));
    let cache = Cache::builder().store(hooked.clone()).build().unwrap();
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    hooked.fail(|command| matches!(command, Command::Release { .. }));
    p.update().name("v1").execute(&mut db).unwrap();
    assert_eq!(db.cache_outcome(), CacheOutcome::Owed);
    cache.drain(Duration::ZERO).unwrap();
    assert_eq!(cache.stats().drained, 1);
}

#[test]
fn at_the_end_of_a_process_its_debt_is_paid() {
    let place = databases::sqlite(SCHEMA);
    let mut server = RedisServer::start();
    let cache = quick(&server.url());
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    server.kill();
    p.update().name("v1").execute(&mut db).unwrap();
    assert!(cache.drain(Duration::from_millis(50)).is_err());
    server.restart();
    cache.drain(HANGS).unwrap();
    assert_eq!(cache.stats().drained, 1);
}

#[test]
fn more_debt_than_is_remembered_empties_the_namespace_and_no_other() {
    let mut server = RedisServer::start();
    let place = databases::sqlite(SCHEMA);
    let ours =
        Cache::builder().redis(&server.url()).namespace("ours").intent_lifetime(Duration::from_millis(300));
    let ours = ours.io_timeout(Duration::from_millis(500)).build().unwrap();
    let mut conn = place.connect();
    diesel::sql_query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000)
         INSERT INTO projects (organization_id, slug, name, date_added, date_updated)
         SELECT i, 's' || i, 'v0', '2026-01-01 00:00:00', '2026-01-01 00:00:00' FROM n",
    )
    .execute(&mut conn)
    .unwrap();
    let mut db = Session::new(&mut conn, &ours);
    let keep = |server: &RedisServer, key: &str| {
        let mut conn = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        redis::cmd("SET").arg(key).arg("Vold").exec(&mut conn).unwrap();
    };
    server.freeze();
    assert_eq!(Project::update_where(projects::id.gt(0)).name("v1").execute(&mut db).unwrap(), 70_000);
    assert_eq!(db.cache_outcome(), CacheOutcome::Owed);
    let stats = ours.stats();
    assert!(stats.postponed == 70_000 && stats.dropped_invalidations == 70_000 - 65_536, "{stats:?}");
    server.thaw();
    // What another process may have filled meanwhile, of a row whose key was forgotten.
    keep(&server, "ours:modelcache:Project:filled meanwhile");
    keep(&server, "theirs:modelcache:Project:kept");
    ours.drain(HANGS).unwrap();
    let mut conn = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut values = || -> Vec<String> {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut conn).unwrap();
        let is_value = |key: &String| {
            let entry: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(&mut conn).unwrap();
            entry.is_some_and(|entry| entry.starts_with(b"V"))
        };
        keys.into_iter().filter(is_value).collect()
    };
    // Intents that reached the frozen server are left to expire.
    assert_eq!(values(), ["theirs:modelcache:Project:kept"]);
    server.kill();
}

#[test]
fn a_restarted_server_is_only_read_from_until_no_old_writer_is_at_work() {
    let server = RedisServer::start();
    let place = databases::sqlite(SCHEMA);
    let long = Cache::builder().redis(&server.url()).build().unwrap();
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &long);
    let p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    for _ in 0..3 {
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
    }
    let stats = long.stats();
    assert_eq!((stats.hits, stats.fills, stats.bypasses), (0, 0, 6), "nothing is filled: {stats:?}");
    assert_eq!(stats.round_trips, 6, "no lease is asked for that could not be used");
    // What is there may be served: another process has known the server for longer.
    let short = quick(&server.url());
    until("a fill", || {
        Project::get_from_cache(&mut Session::new(&mut place.connect(), &short), projects::id, p.id).unwrap();
        short.stats().fills > 0
    });
    let mut db = Session::new(&mut conn, &long);
    Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
    assert_eq!(long.stats().hits, 1);
}

#[test]
fn no_more_connections_are_open_than_the_pool_has() {
    let server = RedisServer::start();
    let cache = Cache::builder().redis(&server.url()).io_timeout(HANGS).build().unwrap();
    let mut admin = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    // Everybody asks while nobody is answered.
    redis::cmd("CLIENT").arg("PAUSE").arg(300).arg("WRITE").exec(&mut admin).unwrap();
    let ask = |_| {
        let cache = cache.clone();
        std::thread::spawn(move || {
            let mut conn = databases::sqlite_in_memory(SCHEMA);
            Project::invalidate(&mut Session::new(&mut conn, &cache), projects::id, [1]).unwrap();
        })
    };
    let threads: Vec<_> = (0..150).map(ask).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let clients: String = redis::cmd("INFO").arg("clients").query(&mut admin).unwrap();
    let open = clients.lines().find_map(|line| line.strip_prefix("connected_clients:")).unwrap().trim();
    assert!(open.parse::<u32>().unwrap() <= 65, "64 of the pool, and this one: {open}");
    assert_eq!(cache.stats().store_errors, 0, "the others waited");
}

fn locked_row(place: &Postgres, id: i32) -> PgConnection {
    let mut lock = place.connect();
    lock.batch_execute(&format!("BEGIN; UPDATE projects SET events = events + 1 WHERE id = {id}")).unwrap();
    lock
}

#[test]
fn the_intent_of_a_statement_that_takes_longer_than_its_lifetime_stays() {
    let place = databases::postgres(SCHEMA);
    let cache =
        Cache::builder().store(stores::redis()).intent_lifetime(Duration::from_millis(300)).build().unwrap();
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    let id = p.id;
    let mut lock = locked_row(&place, id);
    let (writer_cache, mut writer) = (cache.clone(), place.connect());
    let write = std::thread::spawn(move || {
        let mut db = Session::new(&mut writer, &writer_cache);
        p.update().name("v1").execute(&mut db).unwrap();
        db.cache_outcome()
    });
    // Twelve times a third of the lifetime: without a renewal it would be gone for long.
    until("renewals", || cache.stats().renewed_intents >= 12);
    for _ in 0..3 {
        assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "v0", "committed now");
    }
    assert_eq!(cache.stats().fills, 0, "a reader would have filled the old row: {:?}", cache.stats());
    lock.batch_execute("COMMIT").unwrap();
    assert_eq!(write.join().unwrap(), CacheOutcome::Told);
    assert_eq!(cache.stats().lost_intents, 0);
    assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "v1");
    let renewed = cache.stats().renewed_intents;
    Project::get_from_cache(&mut db, projects::id, id).unwrap();
    assert_eq!(cache.stats().fills, 1, "nobody holds it any more");
    assert_eq!(cache.stats().renewed_intents, renewed);
}

#[test]
fn a_write_that_is_cancelled_owes_what_it_could_not_place() {
    use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let place = databases::postgres(SCHEMA);
        let (url, setup) = place.url_and_setup();
        let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
        conn.batch_execute(&setup).await.unwrap();
        let mut server = RedisServer::start();
        let cache = quick(&server.url());
        let mut db = AsyncSession::new(&mut conn, &cache);
        let mut p =
            Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).await.unwrap();
        let _lock = locked_row(&place, p.id);
        server.kill();
        let write = p.update().name("v1").execute(&mut db);
        assert!(tokio::time::timeout(Duration::from_millis(1500), write).await.is_err(), "the row is locked");
        assert_eq!(cache.stats().postponed, 1, "{:?}", cache.stats());
    });
}

/// Refuses intents, and never answers a release.
#[derive(Debug)]
struct Stuck;

impl store::Store for Stuck {
    fn call(&self, _batch: &[Command]) -> Result<store::Answer, store::StoreError> {
        Err(store::StoreError("the test wants it so".into()))
    }

    fn call_async<'a>(&'a self, batch: &'a [Command]) -> store::Answering<'a> {
        match batch {
            [Command::Release { .. }, ..] => Box::pin(std::future::pending()),
            _ => Box::pin(std::future::ready(self.call(batch))),
        }
    }
}

#[test]
fn a_write_that_is_cancelled_in_its_release_owes_it() {
    use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let place = databases::postgres(SCHEMA);
        let (url, setup) = place.url_and_setup();
        let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
        conn.batch_execute(&setup).await.unwrap();
        let cache = Cache::builder().store(Arc::new(Stuck)).build().unwrap();
        let mut db = AsyncSession::new(&mut conn, &cache);
        let mut p =
            Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).await.unwrap();
        let mut lock = locked_row(&place, p.id);
        // The statement waits until the store may be asked again, which the intent was refused by.
        let unlock = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            lock.batch_execute("COMMIT").unwrap();
        });
        let write = p.update().name("v1").execute(&mut db);
        assert!(
            tokio::time::timeout(Duration::from_secs(3), write).await.is_err(),
            "the release is not answered"
        );
        unlock.join().unwrap();
        assert_eq!(cache.stats().postponed, 1, "{:?}", cache.stats());
    });
}

/// The trait object that a user's own store is.
#[test]
fn a_store_that_fails_once_is_believed_after_its_debt() {
    let store = Interleaved::new(stores::memory());
    let failing: Arc<dyn store::Store> = store.clone();
    let cache = Cache::builder().store(failing).build().unwrap();
    let place = databases::sqlite(SCHEMA);
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
    store.fail(|command| matches!(command, Command::Release { .. }));
    p.update().name("v1").execute(&mut db).unwrap();
    assert_eq!(db.cache_outcome(), CacheOutcome::Owed);
    until("the background thread", || cache.stats().drained == 1);
    assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
}

/// A write whose intent the store does not take, and which the store answers again before it is committed: this process is
/// not served the old row from the commit to the release.
macro_rules! recovered_before_the_commit {
    ($conn:ident, $place:ident, $store:ident) => {{
        let store = Interleaved::new($store);
        let pause = Duration::from_millis(1);
        let cache =
            Cache::builder().store(store.clone()).outage_first_pause(pause).outage_longest_pause(pause);
        let cache = cache.build().unwrap();
        let mut p = Project::create()
            .organization_id(1)
            .slug("pump")
            .name("v0")
            .execute(&mut Session::new($conn, &cache))
            .unwrap();
        let (mut other, id) = ($place.connect(), p.id);
        let mut look = {
            let cache = cache.clone();
            move || {
                let mut db = Session::new(&mut other, &cache);
                let by_key = Project::get_from_cache(&mut db, projects::id, id).unwrap().name.clone();
                let by_slug = Project::get_from_cache(&mut db, projects::slug, "pump").unwrap().name.clone();
                let many = Project::get_many_from_cache(&mut db, projects::id, [id]).unwrap();
                [by_key, by_slug, many[0].as_ref().unwrap().name.clone()]
            }
        };
        for _ in 0..3 {
            assert_eq!(look(), ["v0", "v0", "v0"]);
        }
        store.fail(|command| matches!(command, Command::Place { .. }));
        let (sent, seen) = std::sync::mpsc::channel();
        let look = std::sync::Mutex::new(look);
        $conn.set_instrumentation(move |event: diesel::connection::InstrumentationEvent<'_>| {
            use diesel::connection::InstrumentationEvent::FinishQuery;
            if let FinishQuery { query, .. } = event
                && query.to_string() == "COMMIT"
            {
                // The store is asked again, and answers.
                std::thread::sleep(Duration::from_millis(20));
                let mut look = look.lock().unwrap();
                for _ in 0..3 {
                    sent.send(look()).unwrap();
                }
            }
        });
        let mut db = Session::new($conn, &cache);
        db.transaction(|db| p.update().name("v1").execute(db)).unwrap();
        let seen: Vec<_> = seen.try_iter().flatten().collect();
        assert_eq!(seen, vec!["v1"; 9]);
        until("what is owed is paid", || cache.drain(Duration::from_secs(1)).is_ok());
        for _ in 0..3 {
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
        }
    }};
}

integration_tests::on_every_database_and_store! {
    fn a_store_that_answers_again_before_the_commit_is_not_believed_of_the_row(conn, place, store) {
        recovered_before_the_commit!(conn, place, store);
    }
}
