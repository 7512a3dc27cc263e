//! Promise: one UPDATE by primary key writes what was named, and memory shows what was stored.
use diesel::prelude::*;
use integration_tests::databases::Place as _;
use integration_tests::models::{Counter, Project, counters, projects};
use integration_tests::{count, on_every_database};
use model_runtime::prelude::*;

diesel::define_sql_function! {
    /// The text in capital letters.
    fn upper(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

on_every_database! {
    fn update_is_one_statement_and_takes_the_stored_values(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        // Another writer, behind this instance's back.
        diesel::update(projects::table.find(p.id)).set(projects::events.eq(41)).execute(db.connection()).unwrap();
        p.name = "unsaved edit".into();
        statements.take();
        assert!(p.update().events(F(projects::events) + 1).execute(&mut db).unwrap());
        assert_eq!(statements.take().len(), place.returning(1, 4), "one, or read again in its transaction");
        assert_eq!(p.events, 42, "computed from the row, not from memory");
        assert!(!p.has_changed(projects::events));
        assert_eq!(p.name, "unsaved edit", "other fields stay as they are");
        assert_eq!(p.old_value(projects::name).map(String::as_str), Some("Pump"));
    }

    fn update_of_a_missing_row_is_false_and_leaves_memory_alone(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let mut other = p.clone();
        assert!(other.delete(&mut db).unwrap());
        let before = p.clone();
        assert!(!p.update().name("gone").execute(&mut db).unwrap());
        assert!(!p.update().events(F(projects::events) + 1).execute(&mut db).unwrap());
        assert_eq!(p, before);
        assert!(matches!(other.update().name("x").execute(&mut db), Err(Error::Unsaved { .. })));
        p.name = "x".into();
        let error = p.save(&mut db).unwrap_err();
        assert!(matches!(error, Error::DoesNotExist { model: "Project", .. }), "{error}");
        assert!(!p.delete(&mut db).unwrap(), "already gone");
    }

    fn a_value_out_of_bounds_is_refused_before_anything_is_sent(conn) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        statements.take();
        for refused in [
            p.update().events(9_223_372_036_854_775_807_i64).execute(&mut db),
            p.update().events(2_147_483_648_u64).execute(&mut db),
            p.update().events(-1).execute(&mut db),
            p.update().id(0).execute(&mut db),
        ] {
            let error = refused.unwrap_err();
            let Error::OutOfBounds(details) = &error else { panic!("{error}") };
            assert_eq!((details.model, details.max), ("Project", 2_147_483_647));
            assert!(error.to_string().contains(&details.value.unwrap().to_string()), "{error}");
        }
        p.events = -5;
        assert!(matches!(p.save(&mut db), Err(Error::OutOfBounds(_))));
        assert_eq!(statements.take(), Vec::<String>::new());
        let refused = Project::create().organization_id(1).slug("b").name("B").events(u64::MAX).execute(&mut db);
        assert!(refused.unwrap_err().to_string().contains("Project.events: 18446744073709551615"), "value named");
    }

    fn a_result_out_of_bounds_is_refused_by_the_same_statement(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create()
            .organization_id(1).slug("pump").name("Pump").events(i32::MAX).execute(&mut db).unwrap();
        for refused in [
            p.update().events(F(projects::events) + 1).execute(&mut db),
            p.update().events(F(projects::events) - 2 - i32::MAX).execute(&mut db),
            p.update().events(F(projects::events) * i64::MAX).execute(&mut db),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(&error, Error::OutOfBounds(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains("Project.events") && text.contains("2147483647"), "{text}");
        }
        let kept: i64 = projects::table
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("events = 2147483647"))
            .count()
            .get_result(db.connection())
            .unwrap();
        assert_eq!(kept, 1, "nothing was written, and nothing wrapped");
        assert_eq!(p.events, i32::MAX);
    }

    fn integers_without_bounds_keep_the_range_of_their_type(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().a(i32::MAX).big(i64::MAX).execute(&mut db).unwrap();
        assert!(matches!(c.update().a(F(counters::a) + 1).execute(&mut db), Err(Error::OutOfBounds(_))));
        assert!(matches!(c.update().big(F(counters::big) + 1).execute(&mut db), Err(Error::OutOfBounds(_))));
        assert!(matches!(c.update().small(F(counters::small) + 40_000).execute(&mut db), Err(Error::OutOfBounds(_))));
        let stored = Counter::get_from_cache(&mut db, counters::id, c.id).unwrap();
        assert_eq!((stored.a, stored.big, stored.small), (i32::MAX, i64::MAX, 0));
        assert_eq!(stored, c);
    }

    fn no_step_of_an_expression_leaves_bigint(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().big(i64::MAX - 1).ratio(2.0).execute(&mut db).unwrap();
        let big = || F(counters::big);
        // Computed in fractions some of them would end in range again, and off by hundreds.
        let refused = [
            c.update().big(big() + 2 - 1_000_001).execute(&mut db),
            c.update().big(big() * 4 / 4).execute(&mut db),
            c.update().big(big() * 2 % 7).execute(&mut db),
            c.update().big(big() + big() - big()).execute(&mut db),
            c.update().big((big() + 2) & 255).execute(&mut db),
            c.update().big(((big() + 2) | 1) - 1_000_000).execute(&mut db),
            c.update().big(F(counters::a) - (big() + 2)).execute(&mut db),
            c.update().a((big() * 4) & 1).execute(&mut db),
            c.update().small((big() + 2) % 100).execute(&mut db),
            c.update().maybe((big() + 2) / i64::MAX).execute(&mut db),
            c.update().ratio(big() + big()).execute(&mut db),
            c.update().ratio((big() + big()) * F(counters::ratio)).execute(&mut db),
        ];
        for (place, refused) in refused.into_iter().enumerate() {
            assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{place}: {refused:?}");
        }
        let many = Counter::update_where(counters::id.eq(c.id)).big(big() + 2 - 1_000_001).execute(&mut db);
        assert!(matches!(many, Err(Error::OutOfBounds(_))), "{many:?}");
        let many = Counter::update_where(counters::id.eq(c.id)).ratio(big() * 2 - F(counters::ratio)).execute(&mut db);
        assert!(matches!(many, Err(Error::OutOfBounds(_))), "{many:?}");
        let upsert = Counter::create_or_update().id(c.id).defaults(|d| d.big(F(counters::big) + 2 - 1_000_001));
        assert!(matches!(upsert.execute(&mut db), Err(Error::OutOfBounds(_))));
        assert_eq!(Counter::get_from_cache(&mut db, counters::id, c.id).unwrap(), c, "nothing was written");
        c.update().big(i64::MIN).execute(&mut db).unwrap();
        for refused in [
            c.update().big(big() - 1).execute(&mut db),
            c.update().big(big() - 1 + 1).execute(&mut db),
            c.update().big(big() / -1).execute(&mut db),
        ] {
            assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
        }
        assert_eq!(c.big, i64::MIN);
    }

    fn up_to_the_ends_of_bigint_expressions_are_exact(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().big(i64::MAX - 1).ratio(1e300).execute(&mut db).unwrap();
        c.update().big(F(counters::big) + 1).execute(&mut db).unwrap();
        assert_eq!(c.big, i64::MAX);
        c.update().big((F(counters::big) - 5) / 2 * 2 + 4).execute(&mut db).unwrap();
        assert_eq!(c.big, i64::MAX - 1);
        c.update().big((F(counters::big) - 1) & (i64::MAX - 1)).small(F(counters::big) % 1000).execute(&mut db).unwrap();
        assert_eq!((c.big, c.small), (i64::MAX - 3, 806));
        c.update().big(i64::MIN + 1).execute(&mut db).unwrap();
        c.update().big(F(counters::big) - 1).execute(&mut db).unwrap();
        assert_eq!(c.big, i64::MIN);
        // A column of fractions is not held to that.
        c.update().ratio(F(counters::ratio) * 1e5 - F(counters::big)).execute(&mut db).unwrap();
        assert!((c.ratio / 1e305 - 1.0).abs() < 1e-9, "{}", c.ratio);
        c.update().ratio(F(counters::big)).execute(&mut db).unwrap();
        assert!((c.ratio + 9.223_372_036_854_776e18).abs() < 2000.0, "{}", c.ratio);
        c.update().maybe(F(counters::maybe) * 2 + 1).execute(&mut db).unwrap();
        assert_eq!(c.maybe, None);
        assert_eq!(Counter::update_where(counters::id.eq(c.id)).maybe(F(counters::maybe) + 1 - 2).execute(&mut db).unwrap(), 1);
    }

    fn the_error_names_the_field_that_was_refused(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().a(1).b(i32::MAX).execute(&mut db).unwrap();
        let error = c.update().a(F(counters::a) + 1).b(F(counters::b) + 1).execute(&mut db).unwrap_err();
        assert!(error.to_string().starts_with("Counter.b:"), "{error}");
    }

    fn all_seven_operators_give_the_same_on_every_database(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().a(-7).b(3).execute(&mut db).unwrap();
        let mut apply = |expr: model_runtime::Expr<counters::table, diesel::sql_types::Integer>| -> i32 {
            let expected: i32 = expr.resolve(&*c).unwrap();
            c.update().result(expr).execute(&mut db).unwrap();
            assert_eq!(c.result, expected, "Rust and the database agree");
            c.result
        };
        assert_eq!(apply(F(counters::a) + 2), -5);
        assert_eq!(apply(F(counters::a) - 2), -9);
        assert_eq!(apply(F(counters::a) * 2), -14);
        assert_eq!(apply(F(counters::a) / 2), -3, "truncated towards zero");
        assert_eq!(apply(F(counters::a) % 2), -1, "the sign of the dividend");
        assert_eq!(apply(F(counters::a) & 6), -7 & 6);
        assert_eq!(apply(F(counters::a) | 6), -7 | 6);
        assert_eq!(apply(F(counters::a) / -2), 3);
        assert_eq!(apply(F(counters::a) % -4), -3);
        assert_eq!(apply((F(counters::a) + F(counters::b)) * (F(counters::b) - 1)), -8);
        assert_eq!(apply(F(counters::b)), 3, "a bare column is copied");
    }

    fn columns_of_different_types_compute_together(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().a(7).small(2_i16).big(5).ratio(2.0).execute(&mut db).unwrap();
        c.update().big(F(counters::small) + F(counters::a) * 2 + F(counters::big)).execute(&mut db).unwrap();
        assert_eq!(c.big, 21);
        c.update().ratio(F(counters::a) / F(counters::ratio)).execute(&mut db).unwrap();
        assert!((c.ratio - 3.5).abs() < f64::EPSILON, "divided as fractions: {}", c.ratio);
        c.update().a(F(counters::big) / F(counters::small)).execute(&mut db).unwrap();
        assert_eq!(c.a, 10, "divided as integers");
        c.update().maybe(F(counters::big)).ratio(F(counters::a)).execute(&mut db).unwrap();
        assert_eq!((c.maybe, c.ratio.to_bits()), (Some(21), 10_f64.to_bits()), "converted to the column's type");
        let created = Counter::create().small(3_i16).big(F(counters::small) * 4).execute(&mut db).unwrap();
        assert_eq!(created.big, 12);
        // What the narrower column does not hold is refused, a bare copy as well.
        c.update().big(i64::from(i32::MAX) + 1).execute(&mut db).unwrap();
        for refused in [
            c.update().a(F(counters::big)).execute(&mut db),
            c.update().small(F(counters::a) * 10_000).execute(&mut db),
            c.update().maybe(F(counters::big)).execute(&mut db),
        ] {
            assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
        }
        assert_eq!(Counter::get_from_cache(&mut db, counters::id, c.id).unwrap(), c);
    }

    fn sql_of_plain_diesel_is_assigned(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").events(3).execute(&mut db).unwrap();
        let cached = Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
        assert_eq!(cached.name, "Pump");
        statements.take();
        let done = p.update()
            .set_sql(projects::name, upper(projects::slug))
            .slug("valve")
            .set_sql(projects::events, projects::events + projects::organization_id)
            .execute(&mut db).unwrap();
        assert!(done);
        assert_eq!(statements.take().len(), place.returning(1, 4), "one, or read again in its transaction");
        assert_eq!((p.name.as_str(), p.slug.as_str(), p.events), ("PUMP", "valve", 4), "old values are read");
        assert!(!p.has_changed(projects::name));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap(), p);
        // It wins over a setter, and the one written last over the one before.
        p.update().name("lost").set_sql(projects::name, "lost too").set_sql(projects::name, "Won").execute(&mut db).unwrap();
        assert_eq!(p.name, "Won");
    }

    fn sql_of_plain_diesel_keeps_the_bounds(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").events(3).execute(&mut db).unwrap();
        let error = p.update().set_sql(projects::events, projects::events - 4).execute(&mut db).unwrap_err();
        assert!(matches!(&error, Error::OutOfBounds(details) if details.field == "events"), "{error}");
        let all = projects::id.gt(0);
        let refused = Project::update_where(all).set_sql(projects::events, projects::events - 4).execute(&mut db);
        assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
        let rows = Project::update_where(all)
            .set_sql(projects::events, projects::events * 2)
            .set_sql(projects::name, upper(projects::name))
            .execute(&mut db);
        assert_eq!(rows.unwrap(), 1);
        let p = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!((p.events, p.name.as_str()), (6, "PUMP"));
        let key = Project::update_where(all).set_sql(projects::id, projects::id + 1).execute(&mut db);
        assert!(matches!(key, Err(Error::Query(_))), "{key:?}");
    }

    fn assignments_read_old_values(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().a(1).b(10).execute(&mut db).unwrap();
        c.update().a(F(counters::b)).b(F(counters::a)).execute(&mut db).unwrap();
        assert_eq!((c.a, c.b), (10, 1), "swapped");
        c.update().a(F(counters::a) + 1).b(F(counters::a) * 2).execute(&mut db).unwrap();
        assert_eq!((c.a, c.b), (11, 20));
    }

    fn null_and_floats_compute_too(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().ratio(1.5).execute(&mut db).unwrap();
        c.update().ratio(F(counters::ratio) * 2 + 0.25).execute(&mut db).unwrap();
        assert!((c.ratio - 3.25).abs() < f64::EPSILON);
        c.update().maybe(F(counters::maybe) + 1).execute(&mut db).unwrap();
        assert_eq!(c.maybe, None, "NULL + 1 is NULL");
        c.update().maybe(4).execute(&mut db).unwrap();
        c.update().maybe(F(counters::maybe) + 1).execute(&mut db).unwrap();
        assert_eq!(c.maybe, Some(5));
        let error = c.update().maybe(F(counters::maybe) + i32::MAX).execute(&mut db).unwrap_err();
        assert!(matches!(error, Error::OutOfBounds(_)), "{error}");
    }

    fn an_expression_without_a_value_is_an_error_of_its_own(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let c = Counter::create().a(1).execute(&mut db).unwrap();
        let zero = (F(counters::a) / F(counters::result)).resolve::<i32, _>(&*c).unwrap_err();
        assert!(matches!(zero, Error::CannotResolveExpression { model: "Counter", .. }), "{zero}");
        let null = (F(counters::maybe) + 1).resolve::<i32, _>(&*c).unwrap_err();
        assert!(null.to_string().contains("maybe + 1"), "{null}");
        let on_create = Counter::create().maybe(F(counters::maybe) / 0).execute(&mut db).unwrap_err();
        assert!(matches!(on_create, Error::CannotResolveExpression { field: "maybe", .. }), "{on_create}");
        let big = Counter::create().a(F(counters::a) + u64::MAX).execute(&mut db).unwrap_err();
        assert!(big.to_string().contains("18446744073709551615"), "{big}");
    }

    fn create_starts_expressions_from_defaults(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let c = Counter::create().a(F(counters::a) + 1).b(F(counters::b) + 1).execute(&mut db).unwrap();
        assert_eq!((c.a, c.b), (1, 6), "b has #[default(5)]");
        let c = Counter::create().a(20).result(F(counters::a) * 2).execute(&mut db).unwrap();
        assert_eq!((c.result, c.b), (40, 5), "other fields as given, #[default] where unset");
        let c = Counter::create().ratio(F(counters::ratio) + 0.5).execute(&mut db).unwrap();
        assert!((c.ratio - 0.5).abs() < f64::EPSILON, "a fraction starts from zero too");
        let error = Counter::create().a(F(counters::a) + i64::from(i32::MAX) + 1).execute(&mut db).unwrap_err();
        assert!(matches!(error, Error::OutOfBounds(_)), "{error}");
    }

    fn the_primary_key_can_be_changed(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let old = p.id;
        Project::get_from_cache(&mut db, projects::id, old).unwrap();
        assert!(p.update().id(old + 100).execute(&mut db).unwrap());
        assert_eq!(p.id, old + 100);
        assert!(Project::get_from_cache(&mut db, projects::id, old).optional().unwrap().is_none());
        assert_eq!(Project::get_from_cache(&mut db, projects::id, old + 100).unwrap(), p);
        p.id = old;
        p.save(&mut db).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, old).unwrap(), p);
    }

    fn an_update_of_nothing_tells_whether_the_row_is_there(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().execute(&mut db).unwrap();
        assert!(c.update().execute(&mut db).unwrap());
        c.clone().delete(&mut db).unwrap();
        assert!(!c.update().execute(&mut db).unwrap());
    }

    fn many_column_sets_do_not_fill_the_statement_cache(conn) {
        let kept = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counter = kept.clone();
        conn.set_instrumentation(move |event: diesel::connection::InstrumentationEvent<'_>| {
            if matches!(event, diesel::connection::InstrumentationEvent::CacheQuery { .. }) {
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut c = Counter::create().execute(&mut db).unwrap();
        let shapes = |c: &mut Tracked<Counter>, db: &mut Session<'_, _>, set: u32| {
            let mut update = c.update();
            if set & 1 != 0 { update = update.a(1); }
            if set & 2 != 0 { update = update.b(1); }
            if set & 4 != 0 { update = update.result(1); }
            if set & 8 != 0 { update = update.big(1); }
            if set & 16 != 0 { update = update.small(1_i16); }
            if set & 32 != 0 { update = update.ratio(1.0); }
            if set & 64 != 0 { update = update.maybe(1); }
            assert!(update.execute(db).unwrap());
        };
        for round in 0..2 {
            for set in 1..128 {
                shapes(&mut c, &mut db, set);
            }
            assert_eq!(c.a, 1, "round {round}");
        }
        // 127 sets of columns; 64 shapes of a model stay prepared, and a few statements of one shape.
        let kept = kept.load(std::sync::atomic::Ordering::Relaxed);
        assert!((1..=70).contains(&kept), "{kept} statements stay prepared");
    }
}
