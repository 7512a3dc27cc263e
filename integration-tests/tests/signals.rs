//! Promise: a signal that interrupts a call to the store costs nothing; the server did answer. In a file of its own,
//! because the signal is for the whole process.
use integration_tests::databases;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::servers::RedisServer;
use model_runtime::prelude::*;
use model_runtime::store::RedisStore;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_process_that_is_stopped_in_mid_call_still_hears_the_answer() {
    let place = databases::sqlite(SCHEMA);
    let server = RedisServer::start();
    let store = RedisStore::new(&server.url(), PATIENCE, PATIENCE, Duration::ZERO).unwrap();
    let cache = Cache::builder().store(Arc::new(store)).build().unwrap();
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let p = Project::create().organization_id(1).slug("pump").name("A").execute(&mut db).unwrap();
    Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
    server.freeze();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut conn = place.connect();
            Project::get_from_cache(&mut Session::new(&mut conn, &cache), projects::id, p.id).unwrap()
        });
        // Time enough to be in the call; too little would prove nothing and fail nothing.
        std::thread::sleep(Duration::from_millis(200));
        let id = std::process::id();
        let stop = format!("kill -STOP {id}; sleep 0.1; kill -CONT {id}");
        assert!(Command::new("sh").arg("-c").arg(stop).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(100));
        server.thaw();
        assert_eq!(reader.join().unwrap().name, "A");
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.store_errors), (1, 0), "{stats:?}");
}
