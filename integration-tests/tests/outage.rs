//! Promise: a cache that is away, frozen or lying never fails a write, never hangs a call, and is not believed
//! again before it has heard of every write.
use diesel::prelude::*;
use integration_tests::databases::{self, Sqlite};
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::servers::RedisServer;
use model_runtime::Stats;
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::store::{Answer, Answering, MemoryStore, RedisStore, Store, StoreError};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
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
    for (first, longest, named) in
        [(0, 400, "first_pause"), (500, 400, "longest_pause"), (1, 86_400_001, "longest_pause")]
    {
        let cache = Cache::builder().memory().outage_first_pause(Duration::from_millis(first));
        let error = cache.outage_longest_pause(Duration::from_millis(longest)).build().unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn a_cluster_is_refused() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let error = Cache::connect(&server.url()).unwrap_err().to_string();
    assert!(error.contains("Cluster") && error.contains("standalone"), "{error}");
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

const CALLERS: u64 = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Works until it is told to stop.
type Callers = fn(&Sqlite, &Cache, i32, &Arc<AtomicBool>);

/// Kills the server for a while under these callers, and counts what they sent.
fn an_outage(away: Duration, longest_pause: Duration, callers: Callers) {
    let place = databases::sqlite(SCHEMA);
    let mut server = RedisServer::start();
    let cache = Cache::builder().redis(&server.url()).intent_lifetime(Duration::from_millis(300));
    // What fails does so because nobody is there, and not because the machine is busy.
    let cache = cache.connect_timeout(HANGS).io_timeout(HANGS);
    let cache = cache.outage_first_pause(FIRST_PAUSE).outage_longest_pause(longest_pause).build().unwrap();
    let p = create(&place, &cache);
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), cache.clone());
    let threads = {
        let stop = stop.clone();
        std::thread::spawn(move || callers(&place, &cache, p.id, &stop))
    };
    let until = |what: &str, is_so: &dyn Fn(Stats) -> bool| {
        let deadline = Instant::now() + HANGS;
        while !is_so(seen.stats()) {
            assert!(Instant::now() < deadline && !threads.is_finished(), "{what}: {:?}", seen.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    until("hits", &|stats| stats.hits > 10 * CALLERS);
    let begun = Instant::now();
    server.kill();
    until("an outage", &|stats| stats.outages == 1);
    std::thread::sleep(away);
    server.restart();
    let back = seen.stats();
    until("a recovery", &|stats| stats.recoveries == 1);
    let (after, most) = (seen.stats(), begun.elapsed().as_millis() / FIRST_PAUSE.as_millis());
    until("hits again", &|stats| stats.hits > after.hits + 10 * CALLERS);
    stop.store(true, Ordering::SeqCst);
    threads.join().unwrap();
    let stats = seen.stats();
    assert!(
        after.probes <= back.probes + 1,
        "the first probe of a server that is back ends it: {back:?} {after:?}"
    );
    assert!(u128::from(after.probes) <= most + 1, "no pause is shorter than the first: {most} {after:?}");
    // Those that were under way, and one of the background thread.
    assert!(stats.store_errors <= CALLERS + 1 + stats.probes, "nothing but probes: {stats:?}");
    assert_eq!((stats.outages, stats.recoveries), (1, 1), "{stats:?}");
}

fn threads(place: &Sqlite, cache: &Cache, id: i32, stop: &Arc<AtomicBool>) {
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            scope.spawn(move || {
                let mut conn = place.connect();
                let mut db = Session::new(&mut conn, cache);
                let mut p = Project::get_from_cache(&mut db, projects::id, id).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    if caller == 0 {
                        p.update().events(F(projects::events) + 1).execute(&mut db).unwrap();
                    }
                    let read = Project::get_from_cache(&mut db, projects::id, id).unwrap();
                    assert!(read.events >= p.events, "older than what was read or written before");
                    p = read;
                }
            });
        }
    });
}

fn tasks(place: &Sqlite, cache: &Cache, id: i32, stop: &Arc<AtomicBool>) {
    use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
    use diesel_async::{AsyncConnection, SimpleAsyncConnection};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (url, setup) = place.url_and_setup();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (url, setup) = (url.clone(), setup.clone());
                let (cache, stop) = (cache.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut conn = SyncConnectionWrapper::<SqliteConnection>::establish(&url).await.unwrap();
                    conn.batch_execute(&setup).await.unwrap();
                    let mut db = AsyncSession::new(&mut conn, &cache);
                    while !stop.load(Ordering::SeqCst) {
                        let read = Project::get_from_cache(&mut db, projects::id, id).await.unwrap();
                        assert_eq!(read.name, "v0");
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
}

#[test]
fn an_outage_costs_one_probe_at_a_time() {
    for callers in [threads, tasks] {
        an_outage(Duration::from_secs(2), 4 * FIRST_PAUSE, callers);
    }
}

#[test]
fn what_an_outage_meets_under_way_does_not_lengthen_it() {
    for callers in [threads, tasks] {
        // Were each failure counted, the pause would be that long.
        an_outage(Duration::ZERO, Duration::from_secs(3600), callers);
    }
}

/// A store whose probes end in every way.
#[derive(Debug)]
struct Moody {
    inner: MemoryStore,
    mood: Mutex<Mood>,
}

#[derive(Debug, Clone, Copy)]
enum Mood {
    Answers,
    Fails,
    Panics,
    StandsStill,
}

impl Store for Moody {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        match *self.mood.lock().unwrap_or_else(PoisonError::into_inner) {
            Mood::Fails | Mood::StandsStill => Err(StoreError("the test wants it so".into())),
            Mood::Panics => std::panic::resume_unwind(Box::new("the test wants it so")),
            Mood::Answers => self.inner.call(batch),
        }
    }

    fn call_async<'a>(&'a self, batch: &'a [Command]) -> Answering<'a> {
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        match mood {
            Mood::StandsStill => Box::pin(std::future::pending()),
            _ => Box::pin(async move { self.call(batch) }),
        }
    }
}

#[test]
fn a_probe_that_is_dropped_or_panics_is_handed_on() {
    use diesel_async::AsyncConnection;
    use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
    let store = Arc::new(Moody { inner: MemoryStore::default(), mood: Mutex::new(Mood::Answers) });
    let pause = Duration::from_millis(1);
    // Nobody overtakes a probe within the test.
    let cache = Cache::builder().store(store.clone()).lease(Duration::from_secs(3600));
    let cache = cache.outage_first_pause(pause).outage_longest_pause(pause).build().unwrap();
    let place = databases::sqlite(SCHEMA);
    let p = create(&place, &cache);
    let is_in = |mood: Mood| {
        *store.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
        std::thread::sleep(2 * pause);
    };
    is_in(Mood::Fails);
    read(&place, &cache, p.id);
    assert_eq!((cache.stats().outages, cache.stats().probes), (1, 0));
    is_in(Mood::Panics);
    assert!(catch_unwind(AssertUnwindSafe(|| read(&place, &cache, p.id))).is_err());
    assert_eq!(cache.stats().probes, 1);
    is_in(Mood::StandsStill);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = place.url_and_setup().0;
        let mut conn = SyncConnectionWrapper::<SqliteConnection>::establish(&url).await.unwrap();
        let mut db = AsyncSession::new(&mut conn, &cache);
        let lookup = Project::get_from_cache(&mut db, projects::id, p.id);
        assert!(tokio::time::timeout(Duration::from_millis(50), lookup).await.is_err());
    });
    assert_eq!(cache.stats().probes, 2, "the panic handed it on");
    is_in(Mood::Answers);
    let hits = cache.stats().hits;
    read(&place, &cache, p.id);
    let stats = cache.stats();
    assert_eq!((stats.probes, stats.recoveries, stats.hits), (3, 1, hits + 1), "{stats:?}");
}
