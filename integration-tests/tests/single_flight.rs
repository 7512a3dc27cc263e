//! Promise: readers of one process that miss the same key share one database read, which began after each of them
//! came; one that fails, panics or is cancelled takes nobody with it.
use diesel::connection::LoadConnection;
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::{count, databases, on_every_database_and_store, stores};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::{Dialect, ModelSql};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Long enough for a reader that was just started to come to its wait; too short only means that less is tested.
const A_MOMENT: Duration = Duration::from_millis(100);

/// A database of its own, with one row.
fn private_database() -> SqliteConnection {
    let (mut conn, nobody) = (databases::sqlite_in_memory(SCHEMA), Cache::memory());
    let mut db = Session::new(&mut conn, &nobody);
    Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
    conn
}

/// How many statements they send.
fn a_thousand_misses(cache: &Cache) -> usize {
    const READERS: usize = 1000;
    let barrier = Arc::new(Barrier::new(READERS));
    let reader = |_| {
        let (cache, barrier) = (cache.clone(), barrier.clone());
        let read = move || {
            let mut conn = private_database();
            let statements = count::statements(&mut conn);
            let mut db = Session::new(&mut conn, &cache);
            barrier.wait();
            assert_eq!(Project::get_from_cache(&mut db, projects::id, 1).unwrap().name, "Pump");
            statements.take().len()
        };
        std::thread::Builder::new().stack_size(512 * 1024).spawn(read).unwrap()
    };
    let readers: Vec<_> = (0..READERS).map(reader).collect();
    readers.into_iter().map(|reader| reader.join().unwrap()).sum()
}

#[test]
fn a_thousand_concurrent_misses_of_one_key_are_one_query() {
    for store in [stores::memory(), stores::redis()] {
        let cache = Cache::builder().store(store).lease(Duration::from_secs(60)).build().unwrap();
        assert_eq!(a_thousand_misses(&cache), 1, "{:?}", cache.stats());
    }
}

/// Reads the row on a thread of its own.
fn reader<C>(mut conn: C, cache: Cache, id: i32) -> JoinHandle<Project>
where
    C: LoadConnection<Backend: Dialect> + Send + 'static,
    Project: ModelSql<C::Backend>,
{
    std::thread::spawn(move || {
        let mut db = Session::new(&mut conn, &cache);
        Project::get_from_cache(&mut db, projects::id, id).unwrap().into_inner()
    })
}

on_every_database_and_store! {
    fn a_leader_that_panics_leaves_the_key_to_another(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).lease(Duration::from_secs(60)).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let id = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap().id;
        let (other, others_cache) = (place.connect(), cache.clone());
        let (sent, follower) = mpsc::channel();
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            sent.send(reader(other, others_cache, id)).unwrap();
            std::thread::sleep(A_MOMENT);
            std::panic::resume_unwind(Box::new("boom"));
        });
        let lead = std::panic::AssertUnwindSafe(|| Project::get_from_cache(&mut db, projects::id, id));
        assert!(std::panic::catch_unwind(lead).is_err());
        assert_eq!(follower.recv().unwrap().join().unwrap().name, "Pump");
        assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "Pump");
    }

    fn who_comes_after_the_read_began_does_not_share_it(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).lease(Duration::from_secs(60)).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let id = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap().id;
        let (mut writer, other, others_cache) = (place.connect(), place.connect(), cache.clone());
        let (sent, late) = mpsc::channel();
        // The leader holds the old row; a write is committed; another reader comes.
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut writer, &others_cache);
            let mut p = db.transaction(|db| Project::get_from_cache(db, projects::id, id)).unwrap();
            p.update().name("new").execute(&mut db).unwrap();
            sent.send(reader(other, others_cache, id)).unwrap();
            std::thread::sleep(A_MOMENT);
        });
        assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "old");
        assert_eq!(late.recv().unwrap().join().unwrap().name, "new");
    }

    fn who_comes_after_the_lease_was_answered_does_not_share_the_answer(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).lease(Duration::from_secs(60)).build().unwrap();
        // Another process on the same store.
        let strangers = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let id = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap().id;
        let (mut stranger, mut writer) = (place.connect(), place.connect());
        let (filling, writing) = (strangers.clone(), strangers);
        // The leader found nothing; another process fills before it asks for the lease, so that it is told the row.
        store.before(|command| matches!(command, Command::Lease { .. }), move || {
            let mut db = Session::new(&mut stranger, &filling);
            Project::get_from_cache(&mut db, projects::id, id).unwrap();
        });
        let (other, others_cache) = (place.connect(), cache.clone());
        let (sent, late) = mpsc::channel();
        // That answer is on its way when a write is committed and another reader comes.
        store.after_the_second(|command| matches!(command, Command::Lease { .. }), move || {
            let mut db = Session::new(&mut writer, &writing);
            let mut p = db.transaction(|db| Project::get_from_cache(db, projects::id, id)).unwrap();
            p.update().name("new").execute(&mut db).unwrap();
            sent.send(reader(other, others_cache, id)).unwrap();
            std::thread::sleep(A_MOMENT);
        });
        assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "old");
        assert_eq!(late.recv().unwrap().join().unwrap().name, "new");
    }

    fn who_saw_a_lease_and_comes_when_it_is_filled_takes_the_hit(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).lease(Duration::from_secs(60)).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let id = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap().id;
        let (mut other, others_cache) = (place.connect(), cache.clone());
        let (has_looked, looked) = mpsc::channel();
        let (is_filled, filled) = mpsc::channel();
        let (sent, late) = mpsc::channel();
        // The second reader sees the first one's lease, and stands still until that one is done.
        store.after_the_second(|command| matches!(command, Command::Get { .. }), move || {
            has_looked.send(()).unwrap();
            filled.recv().unwrap();
        });
        store.after(|command| matches!(command, Command::Lease { .. }), move || {
            let read = move || {
                let statements = count::statements(&mut other);
                let mut db = Session::new(&mut other, &others_cache);
                Project::get_from_cache(&mut db, projects::id, id).unwrap();
                statements.take().len()
            };
            sent.send(std::thread::spawn(read)).unwrap();
            looked.recv().unwrap();
        });
        Project::get_from_cache(&mut db, projects::id, id).unwrap();
        is_filled.send(()).unwrap();
        assert_eq!(late.recv().unwrap().join().unwrap(), 0, "{:?}", cache.stats());
    }

    fn a_read_that_fails_fails_for_nobody_else(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).lease(Duration::from_secs(60)).build().unwrap();
        let id = {
            let mut db = Session::new(conn, &cache);
            Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap().id
        };
        let (other, others_cache) = (place.connect(), cache.clone());
        let (sent, follower) = mpsc::channel();
        // The leader's own connection has no such table.
        let mut broken = SqliteConnection::establish(":memory:").unwrap();
        store.after(|command| matches!(command, Command::Lease { .. }), move || {
            sent.send(reader(other, others_cache, id)).unwrap();
            std::thread::sleep(A_MOMENT);
        });
        let mut db = Session::new(&mut broken, &cache);
        assert!(matches!(Project::get_from_cache(&mut db, projects::id, id), Err(Error::Database(_))));
        assert_eq!(follower.recv().unwrap().join().unwrap().name, "Pump");
    }
}

#[test]
fn a_leader_that_is_cancelled_leaves_the_key_to_another() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let place = databases::postgres(SCHEMA);
        let (url, setup) = place.url_and_setup();
        let connect = || async {
            let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            conn
        };
        let (mut one, mut two, mut lock) = (connect().await, connect().await, connect().await);
        let cache = Cache::builder().store(stores::redis()).build().unwrap();
        let mut db = AsyncSession::new(&mut two, &cache);
        let p =
            Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).await.unwrap();
        lock.batch_execute("BEGIN; LOCK TABLE projects IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut first = AsyncSession::new(&mut one, &cache);
        let leader = Project::get_from_cache(&mut first, projects::id, p.id);
        assert!(
            tokio::time::timeout(A_MOMENT, leader).await.is_err(),
            "it waits for the lock, and is dropped"
        );
        let mut follower = std::pin::pin!(Project::get_from_cache(&mut db, projects::id, p.id));
        assert!(tokio::time::timeout(A_MOMENT, &mut follower).await.is_err(), "the lock is held");
        lock.batch_execute("COMMIT").await.unwrap();
        assert_eq!(follower.await.unwrap().name, "Pump");
    });
}

#[test]
fn while_the_store_is_away_no_more_than_the_cap_ask_at_once() {
    const CAP: usize = 2;
    let cache =
        Cache::builder().redis("redis://127.0.0.1:1/").lazy().outage_concurrency(CAP).build().unwrap();
    let (inside, most) =
        (Arc::<std::sync::atomic::AtomicUsize>::default(), Arc::<std::sync::atomic::AtomicUsize>::default());
    let readers: Vec<_> = (0..16)
        .map(|id| {
            let (cache, inside, most) = (cache.clone(), inside.clone(), most.clone());
            let mut conn = private_database();
            std::thread::spawn(move || {
                use diesel::connection::InstrumentationEvent as Heard;
                use std::sync::atomic::Ordering::SeqCst;
                conn.set_instrumentation(move |event: Heard<'_>| match event {
                    Heard::StartQuery { .. } => {
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Heard::FinishQuery { .. } => {
                        inside.fetch_sub(1, SeqCst);
                    }
                    _ => {}
                });
                let mut db = Session::new(&mut conn, &cache);
                // Keys of their own, so that none is shared.
                Project::get_from_cache(&mut db, projects::id, id).optional().unwrap();
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(most.load(std::sync::atomic::Ordering::SeqCst), CAP);
    assert!(Cache::builder().memory().outage_concurrency(0).build().is_err());
}
