//! Promise: after a failover to a replica that lags, nothing old is served.
use integration_tests::models::{Project, projects};
use integration_tests::on_every_database;
use integration_tests::servers::RedisServer;
use model_runtime::prelude::*;
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
