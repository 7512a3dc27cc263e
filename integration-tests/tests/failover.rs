//! Promise: after a failover to a replica that lags, nothing old is served; a server that is no primary any more is not
//! believed for longer than half a second, and a promoted one is young once.
use integration_tests::models::{Project, projects};
use integration_tests::on_every_database;
use integration_tests::servers::RedisServer;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use model_runtime::store::{RedisStore, Store};
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long never comes.
const NEVER: Duration = Duration::from_secs(60);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < NEVER, "{what}: never");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `host:port`.
fn address(server: &RedisServer) -> String {
    server.url().trim_start_matches("redis://").trim_end_matches('/').to_owned()
}

fn tell(server: &RedisServer, words: &[&str]) -> String {
    let mut conn = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let answer: redis::Value = redis::cmd(words[0]).arg(&words[1..]).query(&mut conn).unwrap();
    redis::from_redis_value(answer).unwrap_or_default()
}

/// An address behind which the primary may change, as it does behind a load balancer.
fn address_of_the_primary(target: &Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let target = target.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(target.lock().unwrap().as_str()) else { continue };
            let ends = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in ends {
                std::thread::spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    url
}

fn replica_of(primary: &RedisServer) -> RedisServer {
    let replica = RedisServer::start();
    let address = address(primary);
    let (host, port) = address.split_once(':').unwrap();
    tell(&replica, &["REPLICAOF", host, port]);
    until("the replica follows", || {
        tell(&replica, &["INFO", "replication"]).contains("master_link_status:up")
    });
    replica
}

on_every_database! {
    fn a_replica_that_lags_serves_nothing_old(conn) {
        let mut primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
        let replica = replica_of(&primary);
        let target = Arc::new(Mutex::new(address(&primary)));
        let cache = Cache::builder().redis(&address_of_the_primary(&target)).refresh_ahead(0.0);
        // A busy machine must not make an outage of it.
        let cache = cache.connect_timeout(PATIENCE).io_timeout(PATIENCE);
        let cache = cache.intent_lifetime(Duration::from_millis(300)).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        until("a hit", || {
            Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
            cache.stats().hits > 0
        });
        let key = cache.row_key::<Project>(&p);
        until("the replica has the row", || tell(&replica, &["EXISTS", &key]) == "1");
        // From here on the replica hears of nothing.
        tell(&replica, &["REPLICAOF", "NO", "ONE"]);
        p.update().name("new").execute(&mut db).unwrap();
        *target.lock().unwrap() = address(&replica);
        primary.kill();
        assert_eq!(tell(&replica, &["EXISTS", &key]), "1", "the old row is there");
        let hits = cache.stats().hits;
        until("a hit again", || {
            let read = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
            assert_eq!(read.name, "new", "{:?}", cache.stats());
            cache.stats().hits > hits
        });
        assert!(cache.stats().epoch_misses > 0, "{:?}", cache.stats());
    }
}

/// How long a connection is believed after the server said what it is.
const BELIEVED: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

fn store(server: &RedisServer, quarantine: Duration) -> Arc<RedisStore> {
    Arc::new(RedisStore::new(&server.url(), PATIENCE, PATIENCE, quarantine).unwrap())
}

/// How often the scripts were loaded, which each handshake does once.
fn handshakes(server: &RedisServer) -> u32 {
    let stats = tell(server, &["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_script|load:calls="));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u32>().unwrap() / 6)
}

fn look() -> [Command; 1] {
    [Command::Get { key: "row".into() }]
}

fn finds(store: &RedisStore) -> bool {
    let answer = store.call(&look());
    answer.is_ok_and(|answer| matches!(answer.replies[..], [Reply::Entry(Some(_))]))
}

async fn finds_async(store: &RedisStore) -> bool {
    let answer = store.call_async(&look()).await;
    answer.is_ok_and(|answer| matches!(answer.replies[..], [Reply::Entry(Some(_))]))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A store with this many idle connections and the async one, which all find the row.
fn with_idle(server: &RedisServer, runtime: &tokio::runtime::Runtime, count: u32) -> Arc<RedisStore> {
    tell(server, &["SET", "row", "x"]);
    let store = store(server, Duration::ZERO);
    while handshakes(server) < count {
        // Those that wait at the same time need a connection each.
        tell(server, &["CLIENT", "PAUSE", "200"]);
        std::thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| assert!(finds(&store)));
            }
        });
    }
    assert!(runtime.block_on(finds_async(&store)));
    store
}

#[test]
fn a_server_that_was_made_a_replica_is_believed_for_half_a_second() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let store = with_idle(&server, &runtime, 3);
    // Of a server that nobody answers at: it keeps what it has, and serves it.
    tell(&server, &["REPLICAOF", "127.0.0.1", "1"]);
    let demoted = Instant::now();
    until("it is given up", || demoted.elapsed() > BELIEVED);
    assert_eq!(tell(&server, &["GET", "row"]), "x", "it would answer");
    for _ in 0..8 {
        assert!(!finds(&store), "nobody had to write");
        assert!(!runtime.block_on(finds_async(&store)));
    }
    tell(&server, &["REPLICAOF", "NO", "ONE"]);
    assert!(finds(&store) && runtime.block_on(finds_async(&store)), "a primary again");
}

#[test]
fn the_first_write_that_a_replica_refuses_gives_up_every_connection() {
    let runtime = runtime();
    for write_is_async in [false, true] {
        let server = RedisServer::start();
        let store = with_idle(&server, &runtime, 3);
        tell(&server, &["REPLICAOF", "127.0.0.1", "1"]);
        let write = [Command::Place { key: "row".into(), token: [1; 16], lifetime_ms: 1000 }];
        let refused = match write_is_async {
            false => store.call(&write),
            true => runtime.block_on(store.call_async(&write)),
        };
        assert!(refused.unwrap_err().to_string().contains("replica"));
        for _ in 0..4 {
            assert!(!finds(&store) && !runtime.block_on(finds_async(&store)));
        }
    }
}

#[test]
fn a_time_out_gives_up_the_idle_connections_too() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let store = {
        let short = Duration::from_millis(300);
        Arc::new(RedisStore::new(&server.url(), PATIENCE, short, Duration::ZERO).unwrap())
    };
    tell(&server, &["SET", "row", "x"]);
    tell(&server, &["CLIENT", "PAUSE", "100"]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(finds(&store)));
        }
    });
    assert!(runtime.block_on(finds_async(&store)));
    server.freeze();
    assert!(store.call(&look()).unwrap_err().to_string().len() > 1);
    server.thaw();
    let before = handshakes(&server);
    until("they are closed", || {
        let clients = tell(&server, &["CLIENT", "LIST"]);
        // The one that asks, and the async one, which is closed when it is replaced.
        clients.lines().count() <= 2
    });
    until("a new one", || finds(&store));
    assert!(handshakes(&server) > before);
    let before = handshakes(&server);
    assert!(runtime.block_on(finds_async(&store)));
    assert_eq!(handshakes(&server), before + 1, "the async one leads there too");
}

#[test]
fn a_promoted_server_is_young_once_and_not_for_each_process() {
    let short = Duration::from_secs(1);
    let young =
        |server: &RedisServer, quarantine| store(server, quarantine).call(&look()).unwrap().quarantined;
    let primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    let promoted = replica_of(&primary);
    tell(&promoted, &["REPLICAOF", "NO", "ONE"]);
    assert!(young(&promoted, short), "the first process");
    until("its time is over", || !young(&promoted, short));
    assert!(young(&promoted, Duration::from_secs(3600)), "it is not known for as long as that");
    // The key that says so goes to its replicas as all others do, and means another life there.
    let second = replica_of(&promoted);
    until("the key is there", || tell(&second, &["DBSIZE"]) == tell(&promoted, &["DBSIZE"]));
    tell(&second, &["REPLICAOF", "NO", "ONE"]);
    assert!(young(&second, short));
    // What is lost means quarantine again.
    tell(&promoted, &["FLUSHALL"]);
    assert!(young(&promoted, short));
}

#[test]
fn what_the_server_remembers_of_its_life_is_a_key_of_the_namespace_and_a_refusal_does_no_harm() {
    let primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    let promoted = replica_of(&primary);
    tell(&promoted, &["REPLICAOF", "NO", "ONE"]);
    Cache::builder().redis(&promoted.url()).namespace("billing").build().unwrap();
    let mut conn = redis::Client::open(promoted.url()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut conn).unwrap();
    assert!(matches!(&keys[..], [key] if key.starts_with("billing:modelcache:life:")), "{keys:?}");
    let left: i64 = redis::cmd("PTTL").arg(&keys[0]).query(&mut conn).unwrap();
    assert!(left > 0, "it does not stay for ever");
    // Without the right to that key all goes on as if nothing were known.
    tell(&promoted, &["ACL", "SETUSER", "narrow", "on", ">narrow", "~row", "+@all"]);
    let url = promoted.url().replace("redis://", "redis://narrow:narrow@");
    let store = RedisStore::new(&url, PATIENCE, PATIENCE, Duration::from_secs(3600)).unwrap();
    assert!(store.call(&look()).unwrap().quarantined);
}

#[test]
fn one_attempt_connects_for_all_tasks() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let store = store(&server, Duration::ZERO);
    runtime.block_on(async {
        for round in 1..=5 {
            let calls = (0..64).map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.call_async(&look()).await })
            });
            for call in calls.collect::<Vec<_>>() {
                call.await.unwrap().unwrap();
            }
            assert_eq!(handshakes(&server), round, "64 tasks");
            tell(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
    });
}

#[test]
fn a_task_that_stops_while_it_connects_keeps_nobody_waiting() {
    let (server, runtime) = (RedisServer::start(), runtime());
    runtime.block_on(async {
        for is_dropped in [true, false] {
            let (store, before) = (store(&server, Duration::ZERO), handshakes(&server));
            let batch = look();
            let mut first = Some(store.call_async(&batch));
            let mut second = store.call_async(&batch);
            for call in [first.as_mut().unwrap(), &mut second] {
                let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx)));
                assert!(polled.await.is_pending(), "it connects, or waits for the one that does");
            }
            first.take_if(|_| is_dropped);
            second.await.unwrap();
            assert_eq!(handshakes(&server), before + 1, "one attempt");
        }
    });
}

#[test]
fn all_tasks_hear_of_the_one_attempt_that_failed() {
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", black_hole.local_addr().unwrap());
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let keeping = accepted.clone();
    std::thread::spawn(move || {
        black_hole.incoming().for_each(|client| keeping.lock().unwrap().push(client));
    });
    let short = Duration::from_millis(300);
    let store = Arc::new(RedisStore::new(&url, short, short, Duration::ZERO).unwrap());
    runtime().block_on(async {
        let calls = (0..64).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.call_async(&look()).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert!(call.await.unwrap().is_err());
        }
    });
    assert_eq!(accepted.lock().unwrap().len(), 1);
}
