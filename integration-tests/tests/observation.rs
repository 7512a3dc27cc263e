//! Promise: what the cache does can be seen: counters, and a canary that finds what is stale; `spans.rs` has the spans.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::{count, databases, on_every_database_and_store};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use std::time::Duration;

fn create<C>(db: &mut Session<'_, C>) -> Tracked<Project>
where
    C: diesel::connection::LoadConnection,
    C::Backend: model_runtime::Dialect,
    Project: model_runtime::ModelSql<C::Backend>,
{
    Project::create().organization_id(1).slug("pump").name("v0").execute(db).unwrap()
}

on_every_database_and_store! {
    fn the_canary_does_not_take_a_write_at_this_moment_for_a_stale_row(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).canary(1.0).build().unwrap();
        let (mut other, others_cache) = (place.connect(), cache.clone());
        let mut db = Session::new(conn, &cache);
        let p = create(&mut db);
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let id = p.id;
        // Between the hit and its comparison.
        store.after(|command| matches!(command, Command::Get { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            let mut p = db.transaction(|db| Project::get_from_cache(db, projects::id, id)).unwrap();
            p.update().name("v1").execute(&mut db).unwrap();
        });
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0", "right when it was looked at");
        assert_eq!((cache.stats().canary_checks, cache.stats().canary_stale), (1, 0));
    }

    fn the_canary_finds_what_other_programs_write_and_nothing_else(conn, place, store) {
        let cache = Cache::builder().store(store).canary(1.0).build().unwrap();
        let mut other = place.connect();
        let statements = count::statements(conn);
        let mut db = Session::new(conn, &cache);
        let mut p = create(&mut db);
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
        }
        statements.take();
        for round in 1..=3 {
            Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
            Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
            p.update().events(round).execute(&mut db).unwrap();
            Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        }
        let stats = cache.stats();
        assert_eq!((stats.canary_checks, stats.canary_stale), (stats.hits, 0), "{stats:?}");
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        diesel::update(projects::table.find(p.id)).set(projects::name.eq("v1")).execute(&mut other).unwrap();
        let old = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!(old.name, "v0", "the canary looks at what was served");
        assert_eq!(cache.stats().canary_stale, 1);
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1", "its entry is gone");
        // The same in lookups of many, by either kind of key.
        for (name, by_id) in [("v2", true), ("v3", false)] {
            let mut look = || {
                let found = match by_id {
                    true => Project::get_many_from_cache(&mut db, projects::id, [p.id, p.id]),
                    false => Project::get_many_from_cache(&mut db, projects::slug, ["pump"]),
                };
                found.unwrap()[0].as_ref().unwrap().name.clone()
            };
            // Leave a pointer, fill, hit.
            (0..3).for_each(|_| drop(look()));
            let before = cache.stats();
            diesel::update(projects::table.find(p.id)).set(projects::name.eq(name)).execute(&mut other).unwrap();
            assert_ne!(look(), name, "what was served");
            assert_eq!(cache.stats().canary_stale, before.canary_stale + 1, "{name}");
            assert_eq!(look(), name);
        }
    }
}

#[test]
fn the_canary_looks_again_after_a_second() {
    let (mut conn, cache) =
        (databases::sqlite_in_memory(SCHEMA), Cache::builder().memory().canary(1.0).build().unwrap());
    let mut db = Session::new(&mut conn, &cache);
    let p = create(&mut db);
    for _ in 0..2 {
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
    }
    let before = cache.stats().canary_checks;
    std::thread::sleep(Duration::from_millis(1100));
    Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
    assert_eq!(cache.stats().canary_checks - before, 2, "the hit, and the one of a second ago");
    assert!(Cache::builder().memory().canary(2.0).build().is_err());
}

#[test]
fn counters_reach_the_recorder_with_the_model_as_their_label() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let (mut conn, cache) = (databases::sqlite_in_memory(SCHEMA), Cache::memory());
        let mut db = Session::new(&mut conn, &cache);
        let p = create(&mut db);
        for _ in 0..3 {
            Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        }
    });
    let seen: Vec<(String, DebugValue)> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> =
                key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
        })
        .collect();
    let value = |name: &str| {
        &seen.iter().find(|(key, _)| key == name).unwrap_or_else(|| panic!("{name}: {seen:?}")).1
    };
    assert_eq!(*value("model_cache_hits_total{model=Project}"), DebugValue::Counter(2));
    assert_eq!(*value("model_cache_misses_total{model=Project}"), DebugValue::Counter(1));
    assert_eq!(*value("model_cache_fills_total{model=Project}"), DebugValue::Counter(1));
    assert_eq!(*value("model_cache_round_trips_total{}"), DebugValue::Counter(5));
    assert!(
        matches!(value("model_cache_load_seconds{model=Project}"), DebugValue::Histogram(loads) if loads.len() == 1)
    );
}
