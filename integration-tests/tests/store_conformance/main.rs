//! Promise: every store carries out the same protocol. One suite, and one differential test, on the in-process
//! store and on Redis; both must catch a store with a defect.
mod defect;
mod sequences;
mod suite;

use defect::{Defect, Defective};
use integration_tests::stores;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::store::{MemoryStore, Store};
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, TestRunner};
use sequences::{agree, in_runs, steps, without_deadlines};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use suite::{A, B, ask, done, get, place, release, suite, swap};

#[test]
fn the_in_process_store_conforms() {
    suite(&*stores::memory());
}

#[test]
fn redis_conforms() {
    suite(&*stores::redis());
}

#[test]
fn redis_conforms_after_it_has_forgotten_its_scripts() {
    let url = stores::redis_url();
    let store = model_runtime::store::RedisStore::new(
        &url,
        Duration::from_secs(20),
        Duration::from_secs(20),
        Duration::ZERO,
    )
    .unwrap();
    done(&store, place("k", A));
    let mut conn = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut conn).unwrap();
    assert!(!done(&store, release("k", A)), "found");
}

/// Entries go when their time is over; how soon after is the store's business.
fn entries_expire(store: &dyn Store) {
    done(store, Command::Place { key: "w".into(), token: A, lifetime_ms: 30 });
    done(store, Command::Point { pointer: "p".into(), target: "r".into(), ttl_ms: 30 });
    ask(store, Command::Lease { key: "l".into(), token: A, ttl_ms: 30 });
    // An intent that outlives its neighbour: the dead one is dropped, the entry stays.
    done(store, Command::Place { key: "both".into(), token: A, lifetime_ms: 30 });
    done(store, place("both", B));
    let deadline = Instant::now() + Duration::from_secs(20);
    while ["w", "p", "l"].iter().any(|key| get(store, key).is_some()) {
        assert!(Instant::now() < deadline, "an entry does not expire");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(done(store, release("w", A)), "lost with its entry");
    done(store, place("both", [3; 16]));
    let entry = get(store, "both").unwrap();
    assert_eq!(entry.len(), 2 + 2 * 29, "the dead owner was dropped");
    done(store, release("both", [3; 16]));
    assert!(!done(store, release("both", B)), "found");
    assert_eq!(get(store, "both"), None);
}

#[test]
fn entries_expire_in_the_process() {
    entries_expire(&*stores::memory());
}

#[test]
fn entries_expire_on_redis() {
    entries_expire(&*stores::redis());
}

#[test]
fn redis_and_the_in_process_store_agree_on_whole_batches() {
    let (one, other) = (stores::memory(), stores::redis());
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let result = runner.run(&steps(), |steps| {
        let mut batch: Vec<_> = ["x", "y"].map(|key| swap(key, b"W", b"V")).into();
        batch.extend(["x", "y"].map(|key| release(key, A)));
        batch.extend(in_runs(steps));
        let run = |store: &dyn Store| -> Vec<Reply> {
            store.call(&batch).unwrap().replies.into_iter().map(without_deadlines).collect()
        };
        prop_assert_eq!(run(&*one), run(&*other), "{:?}", batch);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn redis_and_the_in_process_store_agree_on_random_sequences() {
    agree(&*stores::memory(), &*stores::redis(), 400).unwrap();
}

const DEFECTS: [Defect; 4] = [
    Defect::ReleaseLeavesValues,
    Defect::FillsWithoutALease,
    Defect::IntentsOfOthersAreForgotten,
    Defect::PointersReplaceIntents,
];

#[test]
fn the_suite_catches_every_defect() {
    for defect in DEFECTS {
        let store = Defective(Arc::new(MemoryStore::default()), defect);
        assert!(catch_unwind(AssertUnwindSafe(|| suite(&store))).is_err(), "{defect:?} was not caught");
    }
}

#[test]
fn the_differential_test_catches_every_defect() {
    for defect in DEFECTS {
        let store = Defective(Arc::new(MemoryStore::default()), defect);
        let caught = catch_unwind(AssertUnwindSafe(|| agree(&*stores::memory(), &store, 4000)));
        assert!(!matches!(caught, Ok(Ok(()))), "{defect:?} was not caught");
    }
}
