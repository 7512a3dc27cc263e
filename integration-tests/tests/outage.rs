//! Promise: a cache that is away, frozen or lying never fails a write, never hangs a call, and is not believed
//! again before it has heard of every write.
use diesel::prelude::*;
use integration_tests::databases::{self, Sqlite};
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::servers::RedisServer;
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::store::RedisStore;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

fn create(place: &Sqlite, cache: &Cache) -> Tracked<Project> {
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, cache);
    let p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    read(place, cache, p.id);
    p
}

fn read(place: &Sqlite, cache: &Cache, id: i32) -> String {
    let mut conn = place.connect();
    Project::get_from_cache(&mut Session::new(&mut conn, cache), projects::id, id).unwrap().name.clone()
}

fn rename(place: &Sqlite, cache: &Cache, p: &mut Tracked<Project>, name: &str) {
    let mut conn = place.connect();
    assert!(p.update().name(name).execute(&mut Session::new(&mut conn, cache)).unwrap());
    let stored: String = projects::table.find(p.id).select(projects::name).first(&mut conn).unwrap();
    assert_eq!(stored, name);
}

/// Reads until the cache answers again; every read on the way must be `name`.
fn until_a_hit(place: &Sqlite, cache: &Cache, id: i32, name: &str) {
    let (hits, deadline) = (cache.stats().hits, Instant::now() + HANGS);
    while cache.stats().hits == hits {
        assert!(Instant::now() < deadline, "the cache never answers again: {:?}", cache.stats());
        assert_eq!(read(place, cache, id), name);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `work` on another thread and fails where it does not end.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (sent, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        sent.send(()).unwrap();
    });
    match ended.recv_timeout(HANGS) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

fn quick(url: &str) -> Cache {
    // A restarted server is only read from for as long as an intent lives.
    let lifetime = Duration::from_millis(300);
    let cache = Cache::builder().redis(url).lazy().intent_lifetime(lifetime);
    cache.io_timeout(Duration::from_millis(100)).build().unwrap()
}

#[test]
fn an_unreachable_server_is_named_at_the_start_without_its_password() {
    let error = Cache::connect("redis://user:secret@127.0.0.1:1/").unwrap_err();
    assert!(matches!(error, Error::Cache(_)), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    for url in ["secret", "redis://user:secret@:x/", "http://user:secret@host/"] {
        let error = format!("{0} {0:?}", Cache::connect(url).unwrap_err());
        assert!(error.contains("redis://") && !error.contains("secret"), "{error}");
    }
    assert!(Cache::builder().build().unwrap_err().to_string().contains("no store"));
    let zero = Cache::builder().memory().lease(Duration::ZERO).build().unwrap_err();
    assert!(zero.to_string().contains("lease"), "{zero}");
    assert!(!format!("{:?}", Cache::builder().redis("redis://user:secret@host/")).contains("secret"));
}

#[test]
fn a_service_starts_while_redis_is_away_and_uses_it_once_it_is_there() {
    let place = databases::sqlite(SCHEMA);
    let mut server = RedisServer::start();
    server.kill();
    let cache = quick(&server.url());
    let mut p = create(&place, &cache);
    rename(&place, &cache, &mut p, "v1");
    assert_eq!(read(&place, &cache, p.id), "v1");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.fills), (0, 0));
    assert!(stats.store_errors >= 1 && stats.bypasses >= 2, "{stats:?}");
    server.restart();
    until_a_hit(&place, &cache, p.id, "v1");
}

#[test]
fn redis_killed_in_mid_run() {
    let place = databases::sqlite(SCHEMA);
    let mut server = RedisServer::start();
    let cache = quick(&server.url());
    let mut p = create(&place, &cache);
    for round in 1..=3 {
        until_a_hit(&place, &cache, p.id, &p.name.clone());
        server.kill();
        let name = format!("v{round}");
        rename(&place, &cache, &mut p, &name);
        assert_eq!(read(&place, &cache, p.id), name, "the database answers");
        server.restart();
    }
    until_a_hit(&place, &cache, p.id, "v3");
}

#[test]
fn redis_killed_between_the_intent_and_its_release() {
    let place = databases::sqlite(SCHEMA);
    let server = Arc::new(Mutex::new(RedisServer::start()));
    let url = server.lock().unwrap().url();
    let patience = Duration::from_secs(20);
    let store =
        Interleaved::new(Arc::new(RedisStore::new(&url, patience, patience, Duration::ZERO).unwrap()));
    let cache = Cache::builder().store(store.clone()).build().unwrap();
    let mut p = create(&place, &cache);
    let victim = server.clone();
    store.after(|command| matches!(command, Command::Place { .. }), move || victim.lock().unwrap().kill());
    rename(&place, &cache, &mut p, "v1");
    assert_eq!(cache.stats().postponed, 1, "the release is owed");
    server.lock().unwrap().restart();
    until_a_hit(&place, &cache, p.id, "v1");
    assert_eq!(cache.stats().drained, 1);
}

#[test]
fn a_row_cached_before_an_outage_is_not_served_after_a_write_during_it() {
    let place = databases::sqlite(SCHEMA);
    let server = RedisServer::start();
    let cache = quick(&server.url());
    let mut p = create(&place, &cache);
    until_a_hit(&place, &cache, p.id, "v0");
    // Frozen, it keeps the old row, and what was sent to it arrives late.
    server.freeze();
    rename(&place, &cache, &mut p, "v1");
    assert_eq!(read(&place, &cache, p.id), "v1");
    assert!(cache.stats().postponed >= 1);
    server.thaw();
    until_a_hit(&place, &cache, p.id, "v1");
    assert!(cache.stats().drained >= 1);
}

#[test]
fn a_restarted_server_is_another_epoch() {
    let place = databases::sqlite(SCHEMA);
    let mut server = RedisServer::start();
    let cache = quick(&server.url());
    let p = create(&place, &cache);
    until_a_hit(&place, &cache, p.id, "v0");
    // As a dump would do: the old bytes under the same key, on a new server.
    let key = cache.row_key::<Project>(&p);
    let client = redis::Client::open(server.url()).unwrap();
    let bytes: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut client.get_connection().unwrap()).unwrap();
    server.restart();
    redis::cmd("SET").arg(&key).arg(bytes).exec(&mut client.get_connection().unwrap()).unwrap();
    let mut conn = place.connect();
    diesel::update(projects::table.find(p.id)).set(projects::name.eq("v1")).execute(&mut conn).unwrap();
    until_a_hit(&place, &cache, p.id, "v1");
    assert!(cache.stats().epoch_misses >= 1);
}

#[test]
fn a_server_that_never_answers_hangs_nobody_and_is_asked_seldom() {
    ends(|| {
        let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}/", black_hole.local_addr().unwrap());
        let refused = Cache::builder().redis(&url).connect_timeout(Duration::from_millis(200)).build();
        assert!(refused.is_err());
        let cache = Cache::builder()
            .redis(&url)
            .lazy()
            .connect_timeout(Duration::from_millis(100))
            .io_timeout(Duration::from_millis(100))
            .build()
            .unwrap();
        let place = databases::sqlite(SCHEMA);
        let mut p = create(&place, &cache);
        for round in 0..50 {
            rename(&place, &cache, &mut p, &format!("v{round}"));
            read(&place, &cache, p.id);
        }
        let stats = cache.stats();
        assert!(stats.round_trips < 50, "one time-out is not paid by every call: {stats:?}");
        assert!(stats.postponed >= 50, "no write was forgotten: {stats:?}");
    });
}

#[test]
fn the_async_face_neither_hangs_nor_forgets() {
    ends(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
            let place = databases::postgres(SCHEMA);
            let (url, setup) = place.url_and_setup();
            let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            let server = RedisServer::start();
            let cache = quick(&server.url());
            let mut db = AsyncSession::new(&mut conn, &cache);
            let mut p =
                Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).await.unwrap();
            let deadline = Instant::now() + HANGS;
            while cache.stats().hits == 0 {
                assert!(Instant::now() < deadline, "{:?}", cache.stats());
                Project::get_from_cache(&mut db, projects::id, p.id).await.unwrap();
            }
            server.freeze();
            p.update().name("v1").execute(&mut db).await.unwrap();
            server.thaw();
            let deadline = Instant::now() + HANGS;
            while cache.stats().hits == 1 {
                assert!(Instant::now() < deadline, "{:?}", cache.stats());
                let read = Project::get_from_cache(&mut db, projects::id, p.id).await.unwrap();
                assert_eq!(read.name, "v1");
            }
            assert!(cache.stats().drained >= 1);
        });
    });
}
