//! Promise: many lookups at once answer as each alone would, at the price of one.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Counter, Project, counters, organizations, projects};
use integration_tests::{count, on_every_database_and_store};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;

fn slugs(found: &[Option<Tracked<Project>>]) -> Vec<Option<&str>> {
    found.iter().map(|row| row.as_ref().map(|row| row.slug.as_str())).collect()
}

/// A cached model that others refer to.
#[derive(Debug, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = organizations)]
#[cache_fields()]
struct Team {
    #[bounded(auto)]
    id: i32,
    name: String,
}

/// The primary keys of as many projects.
macro_rules! projects {
    ($db:expr, $count:expr) => {
        (0..$count)
            .map(|n| {
                let (slug, name) = (format!("p{n}"), format!("P{n}"));
                Project::create().organization_id(n % 2).slug(slug).name(name).execute($db).unwrap().id
            })
            .collect::<Vec<i32>>()
    };
}

on_every_database_and_store! {
    fn the_order_is_that_of_the_keys_and_each_row_is_asked_for_once(conn, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = projects!(&mut db, 4);
        let keys = [ids[2], -1, ids[0], ids[2], ids[3]];
        let expected = [Some("p2"), None, Some("p0"), Some("p2"), Some("p3")];
        // (SQL statements, round trips): look, lease and fill; then hits but for the row that is not there.
        for (round, price) in [(0, (1, 3)), (1, (1, 3))] {
            statements.take();
            let before = cache.stats();
            let found = Project::get_many_from_cache(&mut db, projects::id, keys).unwrap();
            assert_eq!(slugs(&found), expected);
            let after = cache.stats();
            assert_eq!((statements.take().len() as u64, after.round_trips - before.round_trips), price);
            assert_eq!(after.hits - before.hits, round * 3);
        }
        statements.take();
        let before = cache.stats();
        assert_eq!(slugs(&Project::get_many_from_cache(&mut db, projects::id, [ids[3], ids[0]]).unwrap()), [Some("p3"), Some("p0")]);
        assert_eq!((statements.take().len(), cache.stats().round_trips - before.round_trips), (0, 1), "hits alone");
        assert!(Project::get_many_from_cache(&mut db, projects::id, Vec::<i32>::new()).unwrap().is_empty());
    }

    fn by_unique_fields_and_tuples(conn, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        assert_eq!(projects!(&mut db, 3).len(), 3);
        for round in 0..3 {
            statements.take();
            let before = cache.stats();
            let found = Project::get_many_from_cache(&mut db, projects::slug, ["p1", "p0", "p1"]).unwrap();
            assert_eq!(slugs(&found), [Some("p1"), Some("p0"), Some("p1")]);
            // Pointers first, then the rows behind them, then hits.
            let (sql, hits) = (statements.take().len(), cache.stats().hits - before.hits);
            assert_eq!((sql, hits), if round < 2 { (1, 0) } else { (0, 2) }, "round {round}");
        }
        let columns = (projects::organization_id, projects::name);
        for _ in 0..2 {
            let found =
                Project::get_many_from_cache(&mut db, columns, [(1, "P1"), (0, "P1"), (0, "P2")]).unwrap();
            assert_eq!(slugs(&found), [Some("p1"), None, Some("p2")]);
        }
    }

    fn some_hits_and_some_misses(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = projects!(&mut db, 3);
        let mut p = Project::get_from_cache(&mut db, projects::id, ids[1]).unwrap();
        Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        p.update().name("renamed").execute(&mut db).unwrap();
        let before = cache.stats();
        let found = Project::get_many_from_cache(&mut db, projects::id, ids).unwrap();
        assert_eq!(found[1].as_ref().unwrap().name, "renamed");
        let after = cache.stats();
        assert_eq!((after.hits - before.hits, after.misses - before.misses), (2, 1));
    }

    fn a_write_in_between_refuses_the_fill_of_its_row_alone(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = projects!(&mut db, 3);
        let (mut writer, writers_cache, id) = (place.connect(), cache.clone(), ids[1]);
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut writer, &writers_cache);
            Project::update_where(projects::id.eq(id)).name("new").execute(&mut db).unwrap();
        });
        let found = Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        assert_eq!(found[1].as_ref().unwrap().name, "P1", "as it was when it was read");
        assert_eq!((cache.stats().refused_fills, cache.stats().fills), (1, 2));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, id).unwrap().name, "new");
    }

    fn pointers_to_rows_with_other_values_are_not_believed(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = projects!(&mut db, 3);
        let slugs = ["p0", "p1", "p2"];
        for _ in 0..2 {
            Project::get_many_from_cache(&mut db, projects::slug, slugs).unwrap();
        }
        // Plain Diesel moves a value behind the cache's back, and the rows are cached anew under their old pointers.
        diesel::update(projects::table.find(ids[0])).set(projects::slug.eq("free")).execute(db.connection()).unwrap();
        diesel::update(projects::table.find(ids[1])).set(projects::slug.eq("p0")).execute(db.connection()).unwrap();
        Project::update_where(projects::id.ge(0)).events(1).execute(&mut db).unwrap();
        Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        for _ in 0..2 {
            let found = Project::get_many_from_cache(&mut db, projects::slug, slugs).unwrap();
            let found: Vec<_> = found.iter().map(|row| row.as_ref().map(|row| row.id)).collect();
            assert_eq!(found, [Some(ids[1]), None, Some(ids[2])]);
        }
        assert!(cache.stats().stale_pointers >= 2);
    }

    fn in_a_transaction_the_database_answers(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = projects!(&mut db, 2);
        Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        let trips = cache.stats().round_trips;
        db.transaction(|db| {
            diesel::update(projects::table).set(projects::name.eq(projects::slug)).execute(db.connection())?;
            let found = Project::get_many_from_cache(db, projects::id, ids)?;
            assert!(found.iter().flatten().all(|row| row.name == row.slug));
            Err::<(), Error>(diesel::result::Error::RollbackTransaction.into())
        })
        .unwrap_err();
        assert_eq!(cache.stats().round_trips, trips);
    }

    fn hundreds_of_keys_are_asked_for_in_chunks(conn, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = db.transaction(|db| Ok::<_, Error>(projects!(db, 300))).unwrap();
        statements.take();
        let before = cache.stats().round_trips;
        let found = Project::get_many_from_cache(&mut db, projects::id, ids.clone()).unwrap();
        assert!(found.iter().zip(&ids).all(|(row, id)| row.as_ref().unwrap().id == *id));
        assert_eq!((statements.take().len(), cache.stats().round_trips - before), (2, 6), "256 rows each");
    }

    fn rows_get_the_ones_they_refer_to(conn, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let ids = ["Water", "Power"].map(|name| Team::create().name(name).execute(&mut db).unwrap().id);
        let mut rows = Vec::new();
        for maybe in [Some(ids[1]), None, Some(999), Some(ids[0]), Some(ids[1])] {
            rows.push(Counter::create().maybe(maybe).execute(&mut db).unwrap());
        }
        let names = |attached: &[(Tracked<Counter>, Option<Tracked<Team>>)]| {
            attached.iter().map(|(_, team)| team.as_ref().map(|team| team.name.clone())).collect::<Vec<_>>()
        };
        let expected = [Some("Power"), None, None, Some("Water"), Some("Power")].map(|name| name.map(str::to_owned));
        statements.take();
        let attached = Team::attach(&mut db, rows.clone(), counters::maybe).unwrap();
        assert_eq!(names(&attached), expected);
        assert_eq!(statements.take().len(), 1, "each team once");
        assert_eq!(attached[3].0, rows[3]);
        rows.remove(2);
        let again = Team::attach(&mut db, rows, counters::maybe).unwrap();
        assert_eq!(names(&again).len(), 4);
        assert_eq!(statements.take().len(), 0, "from the cache");
    }
}
