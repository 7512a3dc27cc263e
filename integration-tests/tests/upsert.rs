//! Promise: an upsert updates what matches, else inserts, and loses no increment.
#[path = "upsert/lookups.rs"]
mod lookups;

use diesel::prelude::*;
use integration_tests::databases::Place as _;
use integration_tests::models::{Counter, Organization, Project, counters, projects};
use integration_tests::{count, on_every_database, on_every_database_and_store};
use model_runtime::prelude::*;

/// A project that is not cached.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = projects)]
struct Plain {
    #[bounded(auto)]
    id: i32,
    organization_id: i32,
    slug: String,
    name: String,
    #[bounded(positive)]
    events: i32,
    data: GzippedDict,
    #[auto_now_add]
    date_added: chrono::NaiveDateTime,
    #[auto_now]
    date_updated: chrono::NaiveDateTime,
}

on_every_database! {
    fn the_first_call_creates_and_the_others_update(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for n in 1..=3 {
            let done = Project::create_or_update()
                .slug("k")
                .defaults(|d| d.organization_id(1).name("K").events(F(projects::events) + 1))
                .execute(&mut db)
                .unwrap();
            match done {
                CreateOrUpdate::Created(p) => assert_eq!((n, p.events), (1, 1), "starts from the default"),
                CreateOrUpdate::Updated(rows) => assert_eq!((n > 1, rows), (true, 1)),
            }
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "k").unwrap().events, n);
        }
    }

    fn values_for_inserts_alone_are_written_once(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for n in 1..=2 {
            Project::create_or_update()
                .slug("k")
                .defaults(|d| d.organization_id(n))
                .on_insert(|d| d.name("first").events(7))
                .execute(&mut db)
                .unwrap();
            Project::create_or_update().slug("k").on_insert(|d| d.name("never")).execute(&mut db).unwrap();
        }
        let p = Project::get_from_cache(&mut db, projects::slug, "k").unwrap();
        assert_eq!((p.name.as_str(), p.organization_id, p.events), ("first", 2, 7));
    }

    fn several_rows_are_updated_and_counted(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for slug in ["a", "b", "c"] {
            Project::create().organization_id(1).slug(slug).name(slug).execute(&mut db).unwrap();
        }
        let all = Project::create_or_update().organization_id(1).all_matches();
        assert_eq!(all.defaults(|d| d.events(5)).execute(&mut db).unwrap(), CreateOrUpdate::Updated(3));
    }

    fn empty_defaults_make_it_a_get_or_create(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let first = Counter::create_or_update().a(1).execute(&mut db).unwrap();
        assert!(matches!(first, CreateOrUpdate::Created(_)));
        assert_eq!(Counter::create_or_update().a(1).execute(&mut db).unwrap(), CreateOrUpdate::Updated(1));
    }

    fn a_cached_row_does_not_move_to_another_primary_key(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("k").name("K").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let moved = Project::create_or_update().slug("k").defaults(|d| d.id(p.id + 7)).execute(&mut db);
        assert!(matches!(&moved, Err(Error::Query(text)) if text.contains("on_insert")), "{moved:?}");
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap(), p);
        let stored: i32 = projects::table.select(projects::id).first(db.connection()).unwrap();
        assert_eq!(stored, p.id, "what is cached is what is stored");
        let upsert = Project::create_or_update().slug("l").defaults(|d| d.organization_id(1).name("L"));
        let done = upsert.on_insert(|d| d.id(p.id + 7)).execute(&mut db).unwrap();
        assert!(matches!(done, CreateOrUpdate::Created(row) if row.id == p.id + 7));
    }

    fn empty_defaults_leave_even_timestamps_alone(conn) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("k").name("K").execute(&mut db).unwrap();
        statements.take();
        let found = Project::create_or_update().slug("k").on_insert(|d| d.name("never")).execute(&mut db).unwrap();
        assert_eq!(found, CreateOrUpdate::Updated(1));
        assert!(!statements.take().iter().any(|sql| sql.starts_with("UPDATE")));
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "k").unwrap(), p);
    }

    fn a_lookup_by_null_finds_null(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for (maybe, expected) in [(None, 1), (Some(4), 1), (None, 2), (Some(4), 2), (None, 3)] {
            let done = Counter::create_or_update()
                .maybe(maybe)
                .defaults(|d| d.result(F(counters::result) + 1))
                .execute(&mut db)
                .unwrap();
            assert_eq!(matches!(done, CreateOrUpdate::Created(_)), expected == 1, "{maybe:?}");
            let (found, created) = Counter::get_or_create().maybe(maybe).execute(&mut db).unwrap();
            assert_eq!((found.result, created), (expected, false));
        }
        assert_eq!(counters::table.count().get_result::<i64>(db.connection()).unwrap(), 2);
    }

    fn neither_updated_nor_created_names_the_lookup(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        Project::create().organization_id(1).slug("taken").name("T").execute(&mut db).unwrap();
        let error = Project::create_or_update()
            .organization_id(2)
            .defaults(|d| d.slug("taken").name("N"))
            .execute(&mut db)
            .unwrap_err();
        assert!(matches!(error, Error::Query(_)), "{error:?}");
        assert!(error.to_string().contains("organization_id"), "{error}");
        let no_lookup = Project::create_or_update().defaults(|d| d.name("N")).execute(&mut db).unwrap_err();
        assert!(no_lookup.to_string().contains("lookup"), "{no_lookup}");
        let rows: i64 = projects::table.count().get_result(db.connection()).unwrap();
        assert_eq!(rows, 1);
    }

    fn a_bound_that_refuses_one_row_refuses_all(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        Project::create().organization_id(1).slug("a").name("a").events(1).execute(&mut db).unwrap();
        Project::create().organization_id(1).slug("b").name("b").events(i32::MAX).execute(&mut db).unwrap();
        let error = Project::create_or_update()
            .organization_id(1)
            .all_matches()
            .defaults(|d| d.events(F(projects::events) + 1))
            .execute(&mut db)
            .unwrap_err();
        assert!(matches!(error, Error::OutOfBounds(_)), "{error}");
        let events: Vec<i32> = projects::table.order(projects::slug).select(projects::events).load(db.connection()).unwrap();
        assert_eq!(events, [1, i32::MAX], "nothing was written");
        // Up to the limit is allowed.
        let done = Project::create_or_update()
            .slug("a")
            .defaults(|d| d.events(F(projects::events) + (i32::MAX - 1)))
            .execute(&mut db)
            .unwrap();
        assert_eq!(done, CreateOrUpdate::Updated(1));
        let refused = Project::create_or_update()
            .slug("a").defaults(|d| d.events(F(projects::events) + 1)).execute(&mut db);
        assert!(matches!(refused, Err(Error::OutOfBounds(_))), "not inserted either");
    }

    fn it_works_inside_a_transaction_after_a_unique_violation(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        Project::create().organization_id(1).slug("taken").name("T").execute(&mut db).unwrap();
        db.transaction(|db| {
            let error = Project::get_or_create()
                .organization_id(2).defaults(|d| d.slug("taken").name("N")).execute(db).unwrap_err();
            assert!(matches!(error, Error::Query(_)), "{error}");
            // The savepoint kept the transaction usable.
            Project::create().organization_id(3).slug("other").name("O").execute(db)?;
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "other").unwrap().organization_id, 3);
    }

    fn get_or_create_finds_or_inserts(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let (p, created) = Project::get_or_create()
            .slug("k").defaults(|d| d.organization_id(1).name("K")).execute(&mut db).unwrap();
        assert!(created);
        assert_eq!(statements.take().len(), place.returning(2, 6), "a look and an INSERT");
        let (found, created) = Project::get_or_create()
            .slug("k").defaults(|d| d.organization_id(9).name("X")).execute(&mut db).unwrap();
        assert!(!created);
        assert_eq!(found, p);
        assert_eq!(statements.take().len(), 1);
    }

    fn an_upsert_of_a_cached_model_is_begin_update_commit(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut upsert = || {
            Counter::create_or_update().a(1).defaults(|d| d.b(2)).execute(&mut db).unwrap();
            statements.take()
        };
        let (created, updated) = (upsert(), upsert());
        assert_eq!(created.len(), place.returning(4, 8), "{created:?}");
        assert_eq!(updated.len(), place.returning(3, 5), "{updated:?}");
    }

    fn an_upsert_of_a_model_that_is_not_cached_is_one_update(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut upsert = |id| {
            let done = Organization::create_or_update().id(id).defaults(|d| d.name("Water")).execute(&mut db).unwrap();
            (matches!(done, CreateOrUpdate::Created(_)), statements.take())
        };
        let (created, sent) = upsert(7);
        assert!(created);
        assert_eq!(sent.len(), place.returning(2, 5), "{sent:?}");
        let (created, sent) = upsert(7);
        assert!(!created);
        assert_eq!(sent.len(), 1, "{sent:?}");
    }

    fn an_update_of_an_upsert_uses_up_no_number_and_needs_no_other_column(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let first = Project::create().organization_id(1).slug("k").name("K").execute(&mut db).unwrap();
        for _ in 0..20 {
            // An INSERT would miss `name` and `organization_id`, which have no default.
            let done = Project::create_or_update().slug("k").defaults(|d| d.events(F(projects::events) + 1));
            assert_eq!(done.execute(&mut db).unwrap(), CreateOrUpdate::Updated(1));
        }
        let next = Project::create().organization_id(1).slug("l").name("L").execute(&mut db).unwrap();
        assert_eq!(next.id, first.id + 1);
    }

    fn bounds_hold_for_models_that_are_not_cached(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let id = Plain::create().organization_id(1).slug("k").name("K").events(i32::MAX).execute(&mut db).unwrap().id;
        let by = |n| Plain::create_or_update().id(id).defaults(move |d| d.events(F(projects::events) + n));
        assert!(matches!(by(1).execute(&mut db), Err(Error::OutOfBounds(_))));
        assert_eq!(by(-1).execute(&mut db).unwrap(), CreateOrUpdate::Updated(1));
        Plain::create().organization_id(1).slug("l").name("L").execute(&mut db).unwrap();
        let all = |n| {
            let all = Plain::create_or_update().organization_id(1).all_matches();
            all.defaults(move |d| d.events(F(projects::events) + n))
        };
        assert!(matches!(all(2).execute(&mut db), Err(Error::OutOfBounds(_))), "one row of two");
        let events: Vec<i32> = projects::table.order(projects::slug).select(projects::events).load(db.connection()).unwrap();
        assert_eq!(events, [i32::MAX - 1, 0], "nothing was written");
        assert_eq!(all(1).execute(&mut db).unwrap(), CreateOrUpdate::Updated(2));
    }
}

on_every_database_and_store! {
    fn sixteen_threads_on_one_key_of_a_model_that_is_not_cached(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let created: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    let mut conn = place.connect();
                    let cache = cache.clone();
                    scope.spawn(move || {
                        let mut db = Session::new(&mut conn, &cache);
                        let upsert = || {
                            let upsert = Plain::create_or_update().slug("hot");
                            upsert.defaults(|d| d.organization_id(1).name("H").events(F(projects::events) + 1))
                        };
                        let done: Vec<_> = (0..12).map(|_| upsert().execute(&mut db).unwrap()).collect();
                        done.iter().filter(|done| matches!(done, CreateOrUpdate::Created(_))).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(created, 1);
        let stored: i32 = projects::table.select(projects::events).first(conn).unwrap();
        assert_eq!(stored, 16 * 12);
    }

    fn sixteen_threads_on_one_key_lose_no_increment(conn, place, store) {
        const THREADS: i32 = 16;
        const ROUNDS: i32 = 12;
        let cache = Cache::builder().store(store).build().unwrap();
        let created: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let mut conn = place.connect();
                    let cache = cache.clone();
                    scope.spawn(move || {
                        let mut db = Session::new(&mut conn, &cache);
                        let mut created = 0;
                        let mut last = 0;
                        for _ in 0..ROUNDS {
                            let done = Project::create_or_update()
                                .slug("hot")
                                .defaults(|d| d.organization_id(1).name("H").events(F(projects::events) + 1))
                                .execute(&mut db)
                                .unwrap();
                            created += usize::from(matches!(done, CreateOrUpdate::Created(_)));
                            let seen = Project::get_from_cache(&mut db, projects::slug, "hot").unwrap().events;
                            assert!(seen > last, "own writes are seen, and time does not run backwards");
                            last = seen;
                        }
                        created
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(created, 1);
        let mut db = Session::new(conn, &cache);
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "hot").unwrap().events, THREADS * ROUNDS);
        let stored: i32 = projects::table.select(projects::events).first(db.connection()).unwrap();
        assert_eq!(stored, THREADS * ROUNDS);
        assert_eq!(counters::table.count().get_result::<i64>(db.connection()).unwrap(), 0);
    }
}
