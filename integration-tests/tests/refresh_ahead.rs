//! Promise: a row that is read often is loaded again before it expires, and never by an older one.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, projects};
use integration_tests::{count, on_every_database_and_store};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;

/// So eager that each hit asks the database.
const ALWAYS: f64 = 1e12;

on_every_database_and_store! {
    fn a_hit_near_its_end_asks_the_database_and_fills(conn, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store.clone()).refresh_ahead(ALWAYS).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
        // Plain Diesel changes the row behind the cache: whoever refreshes sees it.
        let rename = |db: &mut Session<'_, _>, name: &str| {
            diesel::update(projects::table.find(p.id)).set(projects::name.eq(name)).execute(db.connection()).unwrap();
        };
        for (round, column) in ["id", "slug", "many"].into_iter().enumerate() {
            let name = format!("v{}", round + 1);
            rename(&mut db, &name);
            statements.take();
            let before = cache.stats();
            let read = match column {
                "id" => Project::get_from_cache(&mut db, projects::id, p.id).unwrap(),
                "slug" => Project::get_from_cache(&mut db, projects::slug, "pump").unwrap(),
                _ => Project::get_many_from_cache(&mut db, projects::id, [p.id]).unwrap().remove(0).unwrap(),
            };
            let stats = cache.stats();
            assert_eq!(read.name, name, "{column}");
            assert_eq!(statements.take().len(), 1, "{column}");
            assert_eq!((stats.hits - before.hits, stats.refreshes - before.refreshes), (1, 1), "{column}");
            assert_eq!(stats.round_trips - before.round_trips, 2, "look and fill: {column}");
        }
        let patient = Cache::builder().store(store).refresh_ahead(0.0).build().unwrap();
        let mut db = Session::new(conn, &patient);
        statements.take();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v3", "it was filled");
        assert_eq!(statements.take(), [] as [String; 0]);
    }

    fn a_refresh_that_a_write_overtakes_is_refused(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).refresh_ahead(ALWAYS).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let (mut other, others_cache, id) = (place.connect(), cache.clone(), p.id);
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            let mut p = db.transaction(|db| Project::get_from_cache(db, projects::id, id)).unwrap();
            p.update().name("new").execute(&mut db).unwrap();
        });
        let refused = cache.stats().refused_fills;
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!((store.pending(), cache.stats().refused_fills), (0, refused + 1));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
    }

    fn a_refresh_that_fails_costs_nobody_the_row(conn, store) {
        let cache = Cache::builder().store(store).refresh_ahead(ALWAYS).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("kept").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        diesel::sql_query("DROP TABLE projects").execute(db.connection()).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "kept");
        let many = Project::get_many_from_cache(&mut db, projects::id, [p.id]).unwrap();
        assert_eq!(many[0].as_ref().map(|row| row.name.as_str()), Some("kept"));
    }
}
