//! Promise: what each call costs, in SQL statements and in round trips to the store.
use integration_tests::databases::Place as _;
use integration_tests::models::{Organization, Project, projects};
use integration_tests::{count, on_every_database_and_store};
use model_runtime::prelude::*;

/// Runs the call and compares (SQL statements, round trips).
macro_rules! costs {
    ($statements:ident, $cache:ident, $expected:expr, $call:expr) => {{
        $statements.take();
        let before = $cache.stats().round_trips;
        let value = $call;
        let sent = $statements.take();
        let trips = $cache.stats().round_trips - before;
        assert_eq!((sent.len(), trips), $expected, "{}: {sent:?}", stringify!($call));
        value
    }};
}

on_every_database_and_store! {
    fn every_call_has_its_price(conn, place, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        // Without RETURNING: BEGIN, DO LAST_INSERT_ID(0), INSERT, SELECT, COMMIT.
        let mut p = costs!(statements, cache, (place.returning(1, 5), 0),
            Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap());
        costs!(statements, cache, (1, 3), Project::get_from_cache(&mut db, projects::id, p.id).unwrap());
        costs!(statements, cache, (0, 1), Project::get_from_cache(&mut db, projects::id, p.id).unwrap());
        costs!(statements, cache, (1, 2), Project::get_from_cache(&mut db, projects::slug, "pump").unwrap());
        costs!(statements, cache, (0, 1), Project::get_from_cache(&mut db, projects::slug, "pump").unwrap());
        costs!(statements, cache, (1, 2),
            Project::get_from_cache(&mut db, (projects::organization_id, projects::name), (1, "Pump")).unwrap());
        costs!(statements, cache, (0, 1),
            Project::get_from_cache(&mut db, (projects::organization_id, projects::name), (1, "Pump")).unwrap());
        costs!(statements, cache, (1, 2), p.update().events(1).execute(&mut db).unwrap());
        p.name = "Station".into();
        costs!(statements, cache, (place.returning(1, 4), 2), p.save(&mut db).unwrap());
        costs!(statements, cache, (0, 0), p.save(&mut db).unwrap());
        // One pair of round trips per transaction, whatever the number of rows.
        let mut q = Project::create().organization_id(1).slug("q").name("Q").execute(&mut db).unwrap();
        costs!(statements, cache, (4, 2), db.transaction(|db| {
            p.update().events(2).execute(db)?;
            q.update().events(2).execute(db)?;
            Ok::<_, Error>(())
        }).unwrap());
        // Without RETURNING the row is looked for and locked before.
        costs!(statements, cache, (place.returning(3, 5), 2),
            Project::create_or_update().slug("q").defaults(|d| d.events(3)).execute(&mut db).unwrap());
        // A lookup by one row needs no second look at the bounds; of all rows, they are locked and checked before.
        costs!(statements, cache, (place.returning(3, 5), 2), Project::create_or_update()
            .slug("q").defaults(|d| d.events(F(projects::events) + 1)).execute(&mut db).unwrap());
        costs!(statements, cache, (place.returning(3, 5), 2), Project::create_or_update()
            .name("Q").defaults(|d| d.events(F(projects::events) + 1)).execute(&mut db).unwrap());
        costs!(statements, cache, (place.returning(place.locking(4, 5), 5), 2), Project::create_or_update()
            .name("Q").all_matches().defaults(|d| d.events(F(projects::events) + 1)).execute(&mut db).unwrap());
        costs!(statements, cache, (1, 2), p.delete(&mut db).unwrap());
        // The row, then the guard, asked apart: which of them refused?
        costs!(statements, cache, place.returning((3, 2), (5, 0)),
            q.update().events(F(projects::events) + i32::MAX).execute(&mut db).unwrap_err());
        costs!(statements, cache, (1, 1),
            Project::get_from_cache(&mut db, projects::slug, "nope").optional().unwrap());
    }

    fn a_model_without_cache_fields_never_asks_the_store(conn, place, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut o = costs!(statements, cache, (place.returning(1, 5), 0), Organization::create().name("A").execute(&mut db).unwrap());
        costs!(statements, cache, (1, 0), o.update().name("B").execute(&mut db).unwrap());
        costs!(statements, cache, (1, 0), o.delete(&mut db).unwrap());
    }
}
