//! Promise: whatever happens to a real Redis or a real database in the middle of writes, each write that has returned is
//! seen by the next read, nothing hangs, and in the end the cache holds what the database holds.
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::{self, Sqlite};
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::servers::RedisServer;
use integration_tests::test_on;
use model_runtime::CacheOutcome;
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

fn quick(url: &str) -> Cache {
    let cache = Cache::builder().redis(url).lazy().intent_lifetime(Duration::from_millis(300));
    cache.io_timeout(Duration::from_millis(200)).build().unwrap()
}

fn tell(server: &RedisServer, command: &[&str]) {
    let mut conn = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut words = redis::cmd(command[0]);
    for word in &command[1..] {
        words.arg(*word);
    }
    words.exec(&mut conn).unwrap();
}

/// Writes and reads by turns, with `trouble` in between; each read must see the write before it.
fn by_turns(server: &RedisServer, cache: &Cache, trouble: impl Fn(&RedisServer, usize)) {
    let place = databases::sqlite(SCHEMA);
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, cache);
    let mut p = Project::create().organization_id(1).slug("pump").name("v").execute(&mut db).unwrap();
    for round in 0..12 {
        trouble(server, round);
        p.update().name(format!("v{round}")).execute(&mut db).unwrap();
        trouble(server, round);
        for _ in 0..3 {
            let by_id = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
            let by_slug = Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
            assert_eq!((&by_id.name, &by_slug.name), (&p.name, &p.name), "round {round}");
        }
    }
    settles(&place, cache, &p);
}

/// In the end there are hits, and they are right.
fn settles(place: &Sqlite, cache: &Cache, p: &Project) {
    let (hits, deadline) = (cache.stats().hits, Instant::now() + HANGS);
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, cache);
    while cache.stats().hits < hits + 2 {
        assert!(Instant::now() < deadline, "the cache never answers again: {:?}", cache.stats());
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, p.name);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn flushed_in_mid_write() {
    let server = RedisServer::start();
    let cache = quick(&server.url());
    by_turns(&server, &cache, |server, _| tell(server, &["FLUSHALL"]));
}

#[test]
fn its_scripts_are_forgotten() {
    let server = RedisServer::start();
    let cache = quick(&server.url());
    by_turns(&server, &cache, |server, _| tell(server, &["SCRIPT", "FLUSH"]));
    assert_eq!(cache.stats().store_errors, 0, "they are sent again");
}

#[test]
fn its_clients_are_paused() {
    let server = RedisServer::start();
    let cache = quick(&server.url());
    by_turns(&server, &cache, |server, round| {
        if round % 6 == 3 {
            tell(server, &["CLIENT", "PAUSE", "600", "ALL"]);
        }
    });
    assert!(cache.stats().store_errors > 0, "longer than the time-out");
}

#[test]
fn its_connections_are_cut() {
    let server = RedisServer::start();
    let cache = quick(&server.url());
    by_turns(&server, &cache, |server, _| {
        tell(server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    });
    assert_eq!(cache.stats().store_errors, 0, "a dropped connection is replaced");
}

#[test]
fn killed_with_a_dump_of_older_rows() {
    let mut server = RedisServer::start();
    let cache = quick(&server.url());
    let place = databases::sqlite(SCHEMA);
    let mut conn = place.connect();
    let mut p = {
        let mut db = Session::new(&mut conn, &cache);
        Project::create().organization_id(1).slug("pump").name("v").execute(&mut db).unwrap()
    };
    for round in 0..3 {
        settles(&place, &cache, &p);
        tell(&server, &["SAVE"]);
        let mut db = Session::new(&mut conn, &cache);
        p.update().name(format!("v{round}")).execute(&mut db).unwrap();
        server.restart();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, p.name);
        assert!(cache.stats().epoch_misses > round, "the old row came back: {:?}", cache.stats());
    }
    settles(&place, &cache, &p);
}

/// The server throws entries away; intents too, where its policy says so.
fn under_pressure(policy: &str) {
    let mut server = RedisServer::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", policy]);
    let cache = quick(&server.url());
    let place = databases::sqlite(SCHEMA);
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let long = |n: i32| format!("{n:04000}");
    let new = |n: i32| Project::create().organization_id(n).slug(format!("s{n}")).name(long(n));
    let mut rows = Project::create_many(&mut db, (0..600).map(new)).unwrap();
    let ids: Vec<i32> = rows.iter().map(|row| row.id).collect();
    for round in 1..=4 {
        Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        for row in rows.iter_mut().step_by(7) {
            row.update().events(round).execute(&mut db).unwrap();
            let read = Project::get_from_cache(&mut db, projects::id, row.id).unwrap();
            assert_eq!(read.events, round, "{policy}: {:?}", cache.stats());
        }
    }
    for (row, read) in rows.iter().zip(Project::get_many_from_cache(&mut db, projects::id, ids).unwrap()) {
        assert_eq!(read.unwrap().events, row.events, "{policy}");
    }
    server.kill();
}

#[test]
fn under_pressure_with_every_policy() {
    for policy in [
        "noeviction",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        under_pressure(policy);
    }
}

/// Passes bytes on, each answer after `delay_ms`; none at all while it is `u64::MAX`.
fn proxy(server: &RedisServer, delay_ms: &Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let target = server.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let delay_ms = delay_ms.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(&target) else { continue };
            let delay_ms = delay_ms.clone();
            pass_on(client.try_clone().unwrap(), upstream.try_clone().unwrap(), |_| true);
            pass_on(upstream, client, move |_| match delay_ms.load(Ordering::SeqCst) {
                u64::MAX => false,
                delay => {
                    std::thread::sleep(Duration::from_millis(delay));
                    true
                }
            });
        }
    });
    url
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if passes(&buffer[..count]) && to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
}

#[test]
fn slow_answers_and_a_connection_that_is_open_at_one_end_only() {
    let server = RedisServer::start();
    let delay = Arc::new(AtomicU64::new(0));
    // The breaker keeps nobody from meeting each of them.
    let (short, pause) = (Duration::from_millis(200), Duration::from_millis(1));
    let cache = Cache::builder().redis(&proxy(&server, &delay)).lazy().io_timeout(short);
    let cache = cache.intent_lifetime(Duration::from_millis(300)).outage_first_pause(pause);
    let cache = cache.outage_longest_pause(pause).build().unwrap();
    let changing = delay.clone();
    by_turns(&server, &cache, move |_, round| {
        let next = match round {
            2..=3 => 20,
            // Longer than the time-out: what was asked is answered late, and must not answer the next call.
            5 => 400,
            // Nothing comes back, and nobody closes the connection.
            8 => u64::MAX,
            _ => 0,
        };
        changing.store(next, Ordering::SeqCst);
    });
    assert!(cache.stats().outages >= 2, "{:?}", cache.stats());
}

/// The writer's connection is cut off when its intent stands and COMMIT comes.
macro_rules! cut_at_commit {
    ($conn:ident, $place:ident, $store:ident, $own_id:expr, $kill:expr) => {{
        let store = Interleaved::new($store);
        let lifetime = Duration::from_millis(300);
        let cache = Cache::builder().store(store.clone()).intent_lifetime(lifetime).build().unwrap();
        let (mut reader, mut killer) = ($place.connect(), $place.connect());
        let id: i64 = $own_id($conn);
        let mut db = Session::new($conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        let mut seen = Session::new(&mut reader, &cache);
        for _ in 0..2 {
            Project::get_from_cache(&mut seen, projects::id, p.id).unwrap();
        }
        let fills = cache.stats().fills;
        store.after(
            |command| matches!(command, Command::Place { .. }),
            move || {
                killer.batch_execute(&$kill(id)).unwrap();
            },
        );
        let done = db.transaction(|db| p.update().name("new").execute(db));
        assert!(matches!(done, Err(Error::Database(_))), "{done:?}");
        assert_eq!(db.cache_outcome(), CacheOutcome::LeftToExpire);
        assert_eq!(
            Project::get_from_cache(&mut seen, projects::id, p.id).unwrap().name,
            "old",
            "it was not committed"
        );
        assert_eq!(cache.stats().fills, fills, "the intent stands, because nobody knows");
        let (hits, deadline) = (cache.stats().hits, Instant::now() + HANGS);
        while cache.stats().hits == hits {
            assert!(Instant::now() < deadline, "the intent outlives its lifetime");
            assert_eq!(Project::get_from_cache(&mut seen, projects::id, p.id).unwrap().name, "old");
        }
    }};
}

mod a_backend_that_is_terminated_at_commit_leaves_its_intents {
    use super::*;

    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        id: i64,
    }

    fn of_postgres(conn: &mut PgConnection) -> i64 {
        diesel::sql_query("SELECT pg_backend_pid()::bigint AS id").get_result::<Id>(conn).unwrap().id
    }

    fn of_mysql(conn: &mut MysqlConnection) -> i64 {
        diesel::sql_query("SELECT CAST(CONNECTION_ID() AS SIGNED) AS id").get_result::<Id>(conn).unwrap().id
    }

    test_on!(SCHEMA, postgres, postgres, redis, (conn, place, store), {
        cut_at_commit!(conn, place, store, of_postgres, |id| format!("SELECT pg_terminate_backend({id})"));
    });
    test_on!(SCHEMA, mysql, mysql, redis, (conn, place, store), {
        cut_at_commit!(conn, place, store, of_mysql, |id| format!("KILL {id}"));
    });
}

/// Two transactions of which the database gives one up; the cache agrees with what is left.
macro_rules! one_of_two_fails {
    ($place:ident, $store:ident, $setup:expr, $first:expr, $second:expr) => {{
        let cache = Cache::builder().store($store).build().unwrap();
        let mut conns = [$place.connect(), $place.connect()];
        let ids: Vec<i32> = {
            let mut db = Session::new(&mut conns[0], &cache);
            let new = |n: i32| Project::create().organization_id(n).slug(format!("s{n}")).name("old");
            Project::create_many(&mut db, [new(0), new(1)]).unwrap().iter().map(|row| row.id).collect()
        };
        for conn in &mut conns {
            conn.batch_execute($setup).unwrap();
        }
        let barrier = std::sync::Barrier::new(2);
        let results: Vec<Result<(), Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = conns
                .iter_mut()
                .enumerate()
                .map(|(number, conn)| {
                    let (cache, ids, barrier) = (&cache, &ids, &barrier);
                    scope.spawn(move || {
                        let mut db = Session::new(conn, cache);
                        db.transaction(|db| {
                            let mut mine = Project::get_from_cache(db, projects::id, ids[$first(number)])?;
                            mine.update().name(format!("by {number}")).execute(db)?;
                            barrier.wait();
                            let mut theirs = Project::get_from_cache(db, projects::id, ids[$second(number)])?;
                            theirs.update().events(1 + i32::try_from(number).unwrap()).execute(db)?;
                            Ok(())
                        })
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let lost: Vec<_> =
            results.iter().filter(|result| matches!(result, Err(Error::Deadlock(_)))).collect();
        assert_eq!(lost.len(), 1, "{results:?}");
        let mut fresh = $place.connect();
        let mut db = Session::new(&mut fresh, &cache);
        for id in ids {
            let stored: Project =
                projects::table.find(id).select(Project::as_select()).first(db.connection()).unwrap();
            for _ in 0..2 {
                assert_eq!(*Project::get_from_cache(&mut db, projects::id, id).unwrap(), stored);
            }
        }
    }};
}

mod a_deadlock_leaves_what_the_database_has {
    use super::*;

    test_on!(SCHEMA, postgres, postgres, redis, (_conn, place, store), {
        one_of_two_fails!(place, store, "SET deadlock_timeout = '50ms'", |n| n, |n: usize| 1 - n);
    });
    test_on!(SCHEMA, mysql, mysql, redis, (_conn, place, store), {
        one_of_two_fails!(place, store, "SET innodb_lock_wait_timeout = 20", |n| n, |n: usize| 1 - n);
    });
}

mod a_serialization_failure_leaves_what_the_database_has {
    use super::*;

    test_on!(SCHEMA, postgres, postgres, redis, (conn, place, store), {
        conn.batch_execute("SET default_transaction_isolation = 'repeatable read'").unwrap();
        let cache = Cache::builder().store(store).build().unwrap();
        let mut other = place.connect();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        let mut theirs = p.clone();
        let lost: Result<(), Error> = db.transaction(|db| {
            Project::get_from_cache(db, projects::id, p.id)?;
            theirs.update().name("theirs").execute(&mut Session::new(&mut other, &cache))?;
            p.update().name("mine").execute(db).map(drop)
        });
        assert!(matches!(lost, Err(Error::Deadlock(_))), "{lost:?}");
        for _ in 0..2 {
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "theirs");
        }
    });
}

#[test]
fn a_black_hole_costs_one_time_out_and_then_nothing() {
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", black_hole.local_addr().unwrap());
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(3600));
    let cache = Cache::builder().redis(&url).lazy().connect_timeout(short).io_timeout(short);
    let cache = cache.outage_first_pause(long).outage_longest_pause(long).build().unwrap();
    let place = databases::sqlite(SCHEMA);
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let p = Project::create().organization_id(1).slug("pump").name("v").execute(&mut db).unwrap();
    // Within the first pause of the breaker.
    let reads = 100;
    for _ in 0..reads {
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
    }
    assert_eq!(cache.stats().store_errors, 1, "one call paid, {reads} did not");
}
