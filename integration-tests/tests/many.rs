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

/// Texts of which the database takes two spellings for one.
mod spellings {
    #![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
    use super::*;
    use integration_tests::databases::Schema;
    use integration_tests::test_on;

    diesel::table! {
        tags (name) { name -> Text, label -> Text, size -> Integer }
    }

    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = tags, primary_key(name))]
    #[cache_fields(label, (size, label))]
    struct Tag {
        name: String,
        label: String,
        size: i32,
    }

    const NOCASE: Schema = Schema(&["CREATE TABLE tags (name TEXT PRIMARY KEY NOT NULL COLLATE NOCASE,
        label TEXT NOT NULL UNIQUE COLLATE NOCASE, size INTEGER NOT NULL)"]);
    const ICU: Schema = Schema(&[
        "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE tags (name TEXT COLLATE folded PRIMARY KEY, label TEXT COLLATE folded NOT NULL UNIQUE,
        size INTEGER NOT NULL)",
    ]);
    /// It also ignores spaces at the end.
    const GENERAL_CI: Schema =
        Schema(&["CREATE TABLE tags (name VARCHAR(90) PRIMARY KEY, label VARCHAR(90) NOT NULL UNIQUE,
        size INTEGER NOT NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"]);
    const BYTES: Schema = Schema(&["CREATE TABLE tags (name {key} PRIMARY KEY, label {key} NOT NULL UNIQUE,
        size INTEGER NOT NULL)"]);

    macro_rules! on_every_database_and_store {
        ($(fn $name:ident($conn:ident, $store:ident) on $sqlite:ident $postgres:ident $mysql:ident $body:block)*) => { $(
            mod $name {
                use super::*;

                test_on!($sqlite, sqlite_and_memory, sqlite, memory, ($conn, $store), $body);
                test_on!($postgres, postgres_and_redis, postgres, redis, ($conn, $store), $body);
                test_on!($mysql, mysql_and_memory, mysql, memory, ($conn, $store), $body);
            }
        )* };
    }

    on_every_database_and_store! {
        fn each_spelling_gets_what_a_lookup_of_it_alone_gets(conn, store) on NOCASE ICU GENERAL_CI {
            let cache = Cache::builder().store(store).build().unwrap();
            let mut db = Session::new(conn, &cache);
            for (name, size) in [("pump", 1), ("Tank", 2), ("valve", 3)] {
                Tag::create().name(name).label(name).size(size).execute(&mut db).unwrap();
            }
            let asked: [&[&str]; 7] = [
                &["Pump"],
                &["Pump", "pump"],
                &["pump", "PUMP", "Pump"],
                &["none", "pump ", "pump", "tank", "VALVE", "Tank"],
                &["TANK", "tank", "pump"],
                &["PUMP", "pUMP", "none"],
                &["none", "nothing"],
            ];
            for keys in asked.iter().cycle().take(3 * asked.len()).map(|keys| keys.to_vec()) {
                let many = Tag::get_many_from_cache(&mut db, tags::name, keys.clone()).unwrap();
                let alone: Vec<_> =
                    keys.iter().map(|key| Tag::get_from_cache(&mut db, tags::name, *key).optional().unwrap()).collect();
                assert_eq!(many, alone, "{keys:?}");
                assert_eq!(Tag::get_many_from_cache(&mut db, tags::label, keys.clone()).unwrap(), alone, "{keys:?}");
                let pairs: Vec<_> = keys.iter().map(|key| (1, *key)).collect();
                let found = Tag::get_many_from_cache(&mut db, (tags::size, tags::label), pairs).unwrap();
                let expected: Vec<_> = alone.iter().map(|row| row.clone().filter(|row| row.size == 1)).collect();
                assert_eq!(found, expected, "{keys:?}");
                let inside = db.transaction(|db| Tag::get_many_from_cache(db, tags::name, keys.clone())).unwrap();
                assert_eq!(inside, alone, "{keys:?}");
            }
            // What was found is what the first one of them is: no spelling hid it from another.
            let found = Tag::get_many_from_cache(&mut db, tags::label, ["Pump", "pump"]).unwrap();
            assert!(found.iter().all(Option::is_some));
        }

        fn texts_that_are_not_there_cost_one_statement_more(conn, store) on BYTES BYTES BYTES {
            let statements = count::statements(conn);
            let cache = Cache::builder().store(store).build().unwrap();
            let mut db = Session::new(conn, &cache);
            for (name, size) in [("pump", 1), ("tank", 2)] {
                Tag::create().name(name).label(name).size(size).execute(&mut db).unwrap();
            }
            for (keys, price) in [
                (&["pump", "tank"][..], 1),
                (&["none", "nothing"], 1),
                (&["pump", "none"], 1),
                (&["tank", "no", "none", "nothing"], 1),
            ] {
                statements.take();
                let found = Tag::get_many_from_cache(&mut db, tags::name, keys.to_vec()).unwrap();
                assert_eq!(found.iter().flatten().count(), keys.len() - keys.iter().filter(|key| key.starts_with('n')).count());
                assert_eq!(statements.take().len(), price, "{keys:?}");
            }
            // Beside rows that the database, not the cache, has found.
            statements.take();
            Tag::get_many_from_cache(&mut db, tags::label, ["pump", "none", "nothing", "no"]).unwrap();
            assert_eq!(statements.take().len(), 2);
        }

        fn a_key_that_is_not_unique_is_an_error_as_alone(conn, store) on BYTES BYTES BYTES {
            let cache = Cache::builder().store(store).build().unwrap();
            let mut db = Session::new(conn, &cache);
            for name in ["a", "b"] {
                Twin::create().name(name).label(name).size(1).execute(&mut db).unwrap();
            }
            let alone = Twin::get_from_cache(&mut db, tags::size, 1).unwrap_err();
            let many = Twin::get_many_from_cache(&mut db, tags::size, [1, 2]).unwrap_err();
            assert_eq!(many.to_string(), alone.to_string());
            assert!(alone.to_string().contains("2 rows match"), "{alone}");
        }
    }

    /// By a field that is not unique.
    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = tags, primary_key(name))]
    #[cache_fields(size)]
    struct Twin {
        name: String,
        label: String,
        size: i32,
    }
}
