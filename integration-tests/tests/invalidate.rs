//! Promise: what others wrote can be told to the cache, row by row or for a whole model.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Counter, Project, projects};
use integration_tests::on_every_database_and_store;
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;

macro_rules! rename {
    ($db:expr, $id:expr, $name:expr) => {
        diesel::update(projects::table.find($id))
            .set(projects::name.eq($name))
            .execute($db.connection())
            .unwrap()
    };
}

on_every_database_and_store! {
    fn a_row_that_others_changed_is_read_again_once_it_is_told(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut other = place.connect();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        }
        rename!(db, p.id, "v1");
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0", "nobody told");
        let before = cache.stats().round_trips;
        Project::invalidate(&mut db, projects::id, [p.id]).unwrap();
        assert_eq!(cache.stats().round_trips - before, 1);
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
        // In a transaction nobody sees it before the commit, and everybody after it.
        let before = cache.stats().round_trips;
        db.transaction(|db| {
            rename!(db, p.id, "v2");
            Project::invalidate(db, projects::id, [p.id])?;
            assert_eq!(cache.stats().round_trips, before, "nothing is sent before the commit");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(cache.stats().round_trips - before, 2, "intent and release");
        let mut second = Session::new(&mut other, &cache);
        assert_eq!(Project::get_from_cache(&mut second, projects::id, p.id).unwrap().name, "v2");
    }

    fn a_reader_that_began_before_does_not_fill_after_it_was_told(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        let (mut other, others_cache, id) = (place.connect(), cache.clone(), p.id);
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            rename!(db, id, "v1");
            Project::invalidate(&mut db, projects::id, [id]).unwrap();
        });
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!((store.pending(), cache.stats().refused_fills), (0, 1));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    }

    fn a_whole_model_is_cleared_and_no_other(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let new = |n: i32| Project::create().organization_id(n).slug(format!("s{n}")).name("v0");
        let rows = Project::create_many(&mut db, (0..40).map(new)).unwrap();
        let ids: Vec<i32> = rows.iter().map(|row| row.id).collect();
        let counter = Counter::create().execute(&mut db).unwrap();
        let columns = integration_tests::models::counters::id;
        Counter::get_from_cache(&mut db, columns, counter.id).unwrap();
        Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        Project::get_from_cache(&mut db, projects::slug, "s0").unwrap();
        diesel::update(projects::table).set(projects::name.eq("v1")).execute(db.connection()).unwrap();
        assert_eq!(cache.clear::<Project>().unwrap(), 41, "rows and a pointer");
        let read = Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        assert!(read.iter().flatten().all(|row| row.name == "v1"));
        let hits = cache.stats().hits;
        Counter::get_from_cache(&mut db, columns, counter.id).unwrap();
        assert_eq!(cache.stats().hits, hits + 1, "another model is left alone");
        // A write that is under way keeps its intent.
        let mut row = db.transaction(|db| Project::get_from_cache(db, projects::id, ids[0])).unwrap();
        let (clearing, mut other, id) = (cache.clone(), place.connect(), ids[0]);
        store.after(|command| matches!(command, Command::Place { .. }), move || {
            clearing.clear::<Project>().unwrap();
            // Neither a hit nor a fill of the old row.
            let mut db = Session::new(&mut other, &clearing);
            assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "v1");
        });
        row.update().name("v2").execute(&mut db).unwrap();
        assert_eq!(store.pending(), 0);
        assert_eq!(Project::get_from_cache(&mut db, projects::id, ids[0]).unwrap().name, "v2");
    }
}
