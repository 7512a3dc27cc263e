//! A key space of its own for each test, on a real store.
use crate::databases::server;
use model_runtime::store::{MemoryStore, RedisStore, Store};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for a busy machine: a time-out must not decide a test that is about something else.
const PATIENCE: Duration = Duration::from_secs(20);
/// One less than the server of the test run has; the first one counts.
const DATABASES: u32 = 16_383;

/// The in-process store.
#[must_use]
pub fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// A Redis database that no other test uses at the same time.
#[must_use]
pub fn redis() -> Arc<dyn Store> {
    Arc::new(RedisStore::new(&redis_url(), PATIENCE, PATIENCE, Duration::ZERO).unwrap())
}

/// Its address.
#[must_use]
pub fn redis_url() -> String {
    let server = server("TEST_REDIS_URL");
    let mut counter = redis::Client::open(server.as_str()).unwrap().get_connection().unwrap();
    let count: u32 = redis::cmd("INCR").arg("tests").query(&mut counter).unwrap();
    let url = format!("{}/{}", server.trim_end_matches('/'), count % DATABASES + 1);
    let mut own = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
    redis::cmd("FLUSHDB").exec(&mut own).unwrap();
    url
}
