//! Promise: none of the races that others lose makes a stale row. Each is one deterministic interleaving, on every
//! database and store; `coherence.rs` has those around transactions and pointers, `absence.rs` those of absence.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, projects};
use integration_tests::{on_every_database, on_every_database_and_store, stores};
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use model_runtime::store::RedisStore;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

/// The same model in a newer build: one field less.
mod newer {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = projects)]
    #[cache_fields(slug)]
    pub(super) struct Project {
        #[bounded(auto)]
        pub(super) id: i32,
        pub(super) organization_id: i32,
        pub(super) slug: String,
        pub(super) name: String,
        #[auto_now_add]
        pub(super) date_added: chrono::NaiveDateTime,
        #[auto_now]
        pub(super) date_updated: chrono::NaiveDateTime,
    }
}

on_every_database_and_store! {
    fn an_intent_that_is_evicted_is_healed_by_its_release(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        let (mut other, others_cache, id) = (place.connect(), cache.clone(), p.id);
        let (sent, seen) = mpsc::channel();
        store.lose(|command| matches!(command, Command::Place { .. }));
        store.after(|command| matches!(command, Command::Place { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            for _ in 0..2 {
                sent.send(Project::get_from_cache(&mut db, projects::id, id).unwrap().name.clone()).unwrap();
            }
        });
        p.update().name("new").execute(&mut db).unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["old", "old"], "filled and hit, but not committed yet");
        let stats = cache.stats();
        assert_eq!((stats.fills, stats.hits, stats.lost_intents), (1, 1, 1));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
    }

    fn a_release_that_is_lost_with_its_writer_makes_nothing_stale(conn, store) {
        let store = Interleaved::new(store);
        let lifetime = Duration::from_millis(200);
        let cache = Cache::builder().store(store.clone()).intent_lifetime(lifetime).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        }
        store.lose(|command| matches!(command, Command::Release { .. }));
        p.update().name("new").execute(&mut db).unwrap();
        let (hits, deadline) = (cache.stats().hits, Instant::now() + HANGS);
        while cache.stats().hits == hits {
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
            assert!(Instant::now() < deadline, "the intent outlives its lifetime");
        }
    }

    fn a_reader_does_not_keep_what_is_deleted_under_it(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let (mut other, others_cache, id) = (place.connect(), cache.clone(), p.id);
        let (sent, seen) = mpsc::channel();
        // The delete is executed and not committed.
        store.after(|command| matches!(command, Command::Place { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            sent.send(Project::get_from_cache(&mut db, projects::id, id).unwrap().id).unwrap();
        });
        db.transaction(|db| p.delete(db).map(drop)).unwrap();
        assert_eq!(seen.try_recv().unwrap(), id, "there until the commit");
        assert_eq!(cache.stats().fills, 1, "the second reader has not filled it");
        assert!(Project::get_from_cache(&mut db, projects::id, id).optional().unwrap().is_none());
    }

    fn two_writers_of_different_columns_keep_both(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut other = place.connect();
        let mut db = Session::new(conn, &cache);
        let mut mine = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        let mut second = Session::new(&mut other, &cache);
        let mut theirs = Project::get_from_cache(&mut second, projects::id, mine.id).unwrap();
        mine.name = "mine".into();
        theirs.events = 7;
        mine.save(&mut db).unwrap();
        theirs.save(&mut second).unwrap();
        for _ in 0..2 {
            let read = Project::get_from_cache(&mut db, projects::id, mine.id).unwrap();
            assert_eq!((read.name.as_str(), read.events), ("mine", 7));
        }
    }

    fn what_an_expression_gives_is_never_taken_from_memory(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut other = place.connect();
        let mut db = Session::new(conn, &cache);
        let mut mine = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        let mut second = Session::new(&mut other, &cache);
        let mut theirs = Project::get_from_cache(&mut second, projects::id, mine.id).unwrap();
        mine.update().events(F(projects::events) + 1).execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, mine.id).unwrap();
        theirs.update().events(F(projects::events) + 1).execute(&mut second).unwrap();
        assert_eq!(theirs.events, 2);
        assert_eq!(Project::get_from_cache(&mut db, projects::id, mine.id).unwrap().events, 2);
    }

    fn a_bulk_update_takes_the_leases_of_its_rows_away(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let new = |n: i32| Project::create().organization_id(n).slug(format!("s{n}")).name("old");
        let rows = Project::create_many(&mut db, (0..20).map(new)).unwrap();
        let ids: Vec<i32> = rows.iter().map(|row| row.id).collect();
        let (mut other, others_cache) = (place.connect(), cache.clone());
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            Project::update_where(projects::organization_id.lt(10)).name("new").execute(&mut db).unwrap();
        });
        Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        assert_eq!((cache.stats().fills, cache.stats().refused_fills), (10, 10));
        let read = Project::get_many_from_cache(&mut db, projects::id, ids).unwrap();
        for row in read.into_iter().flatten() {
            assert_eq!(row.name, if row.organization_id < 10 { "new" } else { "old" });
        }
    }

    fn builds_with_two_schemas_meet_each_others_intents_and_no_rows(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let mut newer = newer::Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!((newer.name.as_str(), cache.stats().hits, cache.stats().epoch_misses), ("v0", 0, 1));
        // The old build is about to fill what it read when the new build writes.
        let (mut other, others_cache) = (place.connect(), cache.clone());
        store.before(|command| matches!(command, Command::Swap { expect, .. } if expect.starts_with(b"L")), move || {
            let mut db = Session::new(&mut other, &others_cache);
            newer.update().name("v1").execute(&mut db).unwrap();
        });
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0");
        assert_eq!((store.pending(), cache.stats().refused_fills), (0, 1));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    }

    fn a_clock_that_is_wrong_refreshes_too_early_and_serves_nothing_old(conn, store) {
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        // Written by a process whose clock stands in 1970.
        let key = cache.row_key::<Project>(&p);
        let answer = store.call(&[Command::Get { key: key.clone() }]).unwrap();
        let [Reply::Entry(Some(entry))] = &answer.replies[..] else { panic!("{:?}", answer.replies) };
        let mut skewed = entry.clone();
        skewed[37..45].copy_from_slice(&1_u64.to_be_bytes());
        let swap = Command::Swap { key, expect: entry.clone(), new: skewed, ttl_ms: 60_000 };
        assert_eq!(store.call(&[swap]).unwrap().replies, [Reply::Done(true)]);
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0");
        assert_eq!(cache.stats().refreshes, 1);
        p.update().name("v1").execute(&mut db).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    }
}

mod a_row_found_by_another_spelling_is_not_cached_under_it {
    use super::*;
    use integration_tests::databases::Schema;
    use integration_tests::test_on;

    diesel::table! { tags (name) { name -> Text, uses -> Integer } }

    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = tags, primary_key(name))]
    #[cache_fields()]
    struct Tag {
        name: String,
        uses: i32,
    }

    // Both compare without regard to case.
    const SQLITE: Schema =
        Schema(&["CREATE TABLE tags (name TEXT COLLATE NOCASE PRIMARY KEY, uses INTEGER NOT NULL)"]);
    const MYSQL: Schema = Schema(&[
        "CREATE TABLE tags (name VARCHAR(90) COLLATE utf8mb4_general_ci PRIMARY KEY, uses INTEGER NOT NULL)",
    ]);

    macro_rules! spelled {
        ($conn:ident, $store:ident) => {{
            let cache = Cache::builder().store($store).build().unwrap();
            let mut db = Session::new($conn, &cache);
            let mut tag = Tag::create().name("rust").uses(1).execute(&mut db).unwrap();
            for _ in 0..3 {
                assert_eq!(Tag::get_from_cache(&mut db, tags::name, "RUST").unwrap().uses, 1);
                assert_eq!(Tag::get_from_cache(&mut db, tags::name, "rust").unwrap().uses, 1);
            }
            let both = Tag::get_many_from_cache(&mut db, tags::name, ["Rust", "rust"]).unwrap();
            assert!(both.iter().flatten().all(|tag| tag.uses == 1) && both.len() == 2);
            // The writer knows one spelling only.
            tag.update().uses(2).execute(&mut db).unwrap();
            for spelling in ["RUST", "rust", "Rust"] {
                assert_eq!(Tag::get_from_cache(&mut db, tags::name, spelling).unwrap().uses, 2, "{spelling}");
            }
        }};
    }

    test_on!(SQLITE, sqlite_and_memory, sqlite, memory, (conn, store), { spelled!(conn, store) });
    test_on!(SQLITE, sqlite_and_redis, sqlite, redis, (conn, store), { spelled!(conn, store) });
    test_on!(MYSQL, mysql_and_redis, mysql, redis, (conn, store), { spelled!(conn, store) });
}

// Its intent is lost, the old row is filled, and then somebody commits of whom the cache never hears.
on_every_database! {
    fn a_row_whose_write_nobody_saw_end_is_not_old_for_longer_than_an_intent_lives(conn, place) {
        let (url, patience) = (stores::redis_url(), Duration::from_secs(20));
        let store = RedisStore::new(&url, patience, patience, Duration::ZERO).unwrap();
        let lifetime = Duration::from_millis(300);
        let cache = Cache::builder().store(Arc::new(store)).intent_lifetime(lifetime).build().unwrap();
        let mut reader = place.connect();
        let mut seen = Session::new(&mut reader, &cache);
        let mut p = {
            let mut db = Session::new(conn, &cache);
            Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap()
        };
        conn.transaction(|conn| {
            assert!(p.update().name("new").execute(&mut Session::new(conn, &cache)).unwrap());
            let mut redis = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
            redis::cmd("FLUSHDB").exec(&mut redis).unwrap();
            let hits = cache.stats().hits;
            for _ in 0..2 {
                assert_eq!(Project::get_from_cache(&mut seen, projects::id, p.id).unwrap().name, "old");
            }
            assert_eq!(cache.stats().hits, hits + 1, "it was filled");
            QueryResult::Ok(())
        })
        .unwrap();
        let deadline = Instant::now() + HANGS;
        while Project::get_from_cache(&mut seen, projects::id, p.id).unwrap().name != "new" {
            assert!(Instant::now() < deadline, "it is old for good");
        }
    }
}
