//! Errors that are handled, hidden, or of the database's own making, inside transactions: what is answered `Ok` is stored,
//! what is refused is not, and the cache has what the database has.
use super::fixtures::*;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;

on_cells! {
    fn a_bound_that_refuses_some_rows_leaves_nothing_of_the_write(conn) {
        cached_cells!(conn, cache, db);
        for way in 0..3 {
            let done = db.transaction(|db| {
                let refused = match way {
                    0 => Cell_::update_where(cells::grp.eq(7)).n(F(cells::n) - 2).execute(db).map(drop),
                    1 => {
                        let all = Cell_::create_or_update().grp(7).all_matches();
                        all.defaults(|d| d.n(F(cells::n) - 2)).execute(db).map(drop)
                    }
                    _ => {
                        let mut rows = Cell_::get_many_from_cache(db, cells::id, [1, 2])?;
                        let mut rows: Vec<_> = rows.iter_mut().flatten().collect();
                        (rows[0].n, rows[1].n) = (6, 11);
                        Cell_::save_many(db, rows).map(drop)
                    }
                };
                assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
                Ok::<_, Error>(())
            });
            done.unwrap();
            let stored: Vec<i32> = cells::table.select(cells::n).order(cells::id).load(db.connection()).unwrap();
            assert_eq!(stored, [5, 0], "{way}");
            assert_coherent!(db);
        }
    }

    fn a_row_that_cannot_be_read_back_leaves_nothing_of_the_write(conn) {
        conn.batch_execute("UPDATE cells SET hits = -1 WHERE id = 2").unwrap();
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for _ in 0..2 {
            Cell_::get_from_cache(&mut db, cells::id, 1).unwrap();
        }
        db.transaction(|db| {
            let failed = Cell_::create_or_update().grp(7).all_matches().defaults(|d| d.n(9)).execute(db);
            assert!(matches!(failed, Err(Error::InvalidValue { .. })), "{failed:?}");
            Ok::<_, Error>(())
        })
        .unwrap();
        let stored: Vec<i32> = cells::table.select(cells::n).order(cells::id).load(db.connection()).unwrap();
        assert_eq!(stored, [5, 0]);
        assert_eq!(Cell_::get_from_cache(&mut db, cells::id, 1).unwrap().n, 5);
    }

    fn a_failure_of_plain_diesel_that_is_hidden_is_a_commit_or_an_error(conn) {
        cached_cells!(conn, cache, db);
        COMMITTED.set(0);
        let mut row = Cell_::get_from_cache(&mut db, cells::id, 1).unwrap();
        let done = db.transaction(|db| {
            row.update().n(6).execute(db)?;
            let _ = diesel::sql_query("INSERT INTO cells (id, name) VALUES (1, 'again')").execute(db.connection());
            Ok::<_, Error>(())
        });
        let stored: i32 = cells::table.find(1).select(cells::n).first(db.connection()).unwrap();
        match done {
            Ok(()) => assert_eq!((stored, COMMITTED.get()), (6, 1), "answered `Ok`"),
            Err(error) => {
                assert!(matches!(error, Error::Query(_)), "{error:?}");
                assert_eq!((stored, COMMITTED.get()), (5, 0));
                assert_eq!(row.old_value(cells::n), Some(&5));
            }
        }
        assert_coherent!(db);
    }

    fn sql_that_ends_the_transaction_behind_the_session_is_noticed(conn, place) {
        for (sql, before) in [("ROLLBACK", 5), ("COMMIT", 6)] {
            conn.batch_execute("UPDATE cells SET n = 5 WHERE id = 1").unwrap();
            let mut own = place.connect();
            cached_cells!(&mut own, cache, db);
            let mut row = Cell_::get_from_cache(&mut db, cells::id, 1).unwrap();
            let done = db.transaction(|db| {
                row.update().n(6).execute(db)?;
                db.connection().batch_execute(sql).unwrap();
                let next = row.update().n(7).execute(db);
                assert!(next.is_err(), "{sql}: it would be committed by itself");
                Ok::<_, Error>(())
            });
            assert!(done.is_err(), "{sql}");
            let stored: i32 = cells::table.find(1).select(cells::n).first(conn).unwrap();
            assert_eq!(stored, before, "{sql}");
            assert_coherent!(db);
            assert_eq!(Cell_::create().id(9).name("later").execute(&mut db).is_ok(),
                cells::table.find(9).select(cells::id).first::<i32>(conn).is_ok(), "{sql}");
            conn.batch_execute("DELETE FROM cells WHERE id = 9").unwrap();
        }
    }

    fn what_plain_diesel_leaves_open_is_rolled_back_with_what_is_around_it(conn, place) {
        cached_cells!(conn, cache, db);
        let done = db.transaction(|db| {
            Cell_::create().id(8).name("eight").execute(db)?;
            begin_and_leave(db.connection());
            Ok::<_, Error>(())
        });
        assert!(matches!(done, Err(Error::Query(_))), "{done:?}");
        Cell_::create().id(9).name("nine").execute(&mut db).unwrap();
        let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load(&mut place.connect()).unwrap();
        assert_eq!(stored, [1, 2, 9]);
    }
}

fn begin_and_leave<C: Connection>(conn: &mut C) {
    <C::TransactionManager as diesel::connection::TransactionManager<C>>::begin_transaction(conn).unwrap();
}

mod a_transaction_that_the_database_ended_by_itself_is_over {
    use super::*;

    // MariaDB gives a transaction up whose snapshot is older than the row.
    test_on!(CELLS, mysql_snapshot, mysql, (conn, place), {
        conn.batch_execute("SET SESSION innodb_snapshot_isolation = ON").unwrap();
        cached_cells!(conn, cache, db);
        let mut other = place.connect();
        let mut row = Cell_::get_from_cache(&mut db, cells::id, 1).unwrap();
        let done = db.transaction(|db| {
            Cell_::create().id(3).name("first").execute(db)?;
            let _: i64 = cells::table.count().get_result(db.connection())?;
            other.batch_execute("UPDATE cells SET n = 8 WHERE id = 1").unwrap();
            assert!(matches!(row.update().n(9).execute(db), Err(Error::Deadlock(_))));
            assert!(
                Cell_::create().id(4).name("second").execute(db).is_err(),
                "it would be committed by itself"
            );
            Ok::<_, Error>(())
        });
        assert!(matches!(done, Err(Error::Deadlock(_))), "{done:?}");
        let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load(&mut other).unwrap();
        assert_eq!(stored, [1, 2]);
        Cell_::invalidate(&mut db, cells::id, [1]).unwrap();
        assert_coherent!(db);
        Cell_::create().id(5).name("later").execute(&mut db).unwrap();
    });

    // A savepoint around the statement that fails is gone with the transaction.
    test_on!(CELLS, mysql_deadlock_in_a_savepoint, mysql, (conn, place), {
        conn.batch_execute("SET SESSION innodb_snapshot_isolation = ON").unwrap();
        cached_cells!(conn, cache, db);
        let mut other = place.connect();
        let done = db.transaction(|db| {
            let _: i64 = cells::table.count().get_result(db.connection())?;
            other.batch_execute("UPDATE cells SET n = 8 WHERE id = 1").unwrap();
            let inner = db.transaction(|db| Cell_::update_where(cells::id.eq(1)).n(9).execute(db));
            assert!(matches!(inner, Err(Error::Deadlock(_))), "{inner:?}");
            assert!(
                Cell_::create().id(4).name("second").execute(db).is_err(),
                "it would be committed by itself"
            );
            Ok::<_, Error>(())
        });
        assert!(done.is_err());
        let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load(&mut other).unwrap();
        assert_eq!(stored, [1, 2]);
        Cell_::create().id(5).name("later").execute(&mut db).unwrap();
    });

    // The same where plain Diesel met it, and hid it.
    test_on!(CELLS, mysql_hidden, mysql, (conn, place), {
        conn.batch_execute("SET SESSION innodb_snapshot_isolation = ON").unwrap();
        cached_cells!(conn, cache, db);
        let mut other = place.connect();
        let done = db.transaction(|db| {
            let _: i64 = cells::table.count().get_result(db.connection())?;
            other.batch_execute("UPDATE cells SET n = 8 WHERE id = 1").unwrap();
            let _ = diesel::update(cells::table.find(1)).set(cells::n.eq(9)).execute(db.connection());
            assert!(
                Cell_::create().id(4).name("second").execute(db).is_err(),
                "it would be committed by itself"
            );
            Ok::<_, Error>(())
        });
        assert!(done.is_err());
        let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load(&mut other).unwrap();
        assert_eq!(stored, [1, 2]);
    });

    const CONFLICT: Schema = Schema(&[
        "CREATE TABLE cells (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, grp INTEGER NOT NULL DEFAULT 7, name TEXT NOT NULL,
            n INTEGER NOT NULL DEFAULT 0, hits INTEGER NOT NULL DEFAULT 0)",
        "INSERT INTO cells (id, name, n) VALUES (1, 'one', 5), (2, 'two', 0)",
    ]);

    // SQLite rolls back where a conflict clause or a trigger says so.
    test_on!(CONFLICT, sqlite_conflict_clause, sqlite, (conn, place), {
        cached_cells!(conn, cache, db);
        let mut other = place.connect();
        for nested in [false, true] {
            let done = db.transaction(|db| {
                Cell_::create().id(3).name("first").execute(db)?;
                let taken = match nested {
                    false => Cell_::create().id(1).name("taken").execute(db).map(drop),
                    true => db.transaction(|db| Cell_::create().id(1).name("taken").execute(db).map(drop)),
                };
                assert!(taken.is_err());
                assert!(
                    Cell_::create().id(4).name("second").execute(db).is_err(),
                    "it would be committed by itself"
                );
                Ok::<_, Error>(())
            });
            assert!(matches!(done, Err(Error::Query(_))), "{done:?}");
            let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load(&mut other).unwrap();
            assert_eq!(stored, [1, 2]);
        }
        Cell_::create().id(5).name("later").execute(&mut db).unwrap();
        db.transaction(|db| Cell_::create().id(6).name("later still").execute(db)).unwrap();
        let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load(&mut other).unwrap();
        assert_eq!(stored, [1, 2, 5, 6]);
        assert_coherent!(db);
    });
}

/// A transaction that plain Diesel opened, and that the database ends while the session in it writes, in a savepoint of its
/// own or not: nothing after that is committed by itself.
macro_rules! ended_inside_plain_diesel {
    ($conn:ident, $connect:expr, $before_it_ends:expr, $is_due:expr) => {{
        for nested in [false, true] {
            // The one of the round before is broken.
            let mut own = $connect;
            let cache = Cache::memory();
            let mut row = Cell_::get_from_cache(&mut Session::new(&mut own, &cache), cells::id, 1).unwrap();
            let done = own.transaction(|own| {
                let mut db = Session::new(own, &cache);
                Cell_::create().id(3).name("first").execute(&mut db)?;
                $before_it_ends(&mut db)?;
                let ended = match nested {
                    false => row.update().n(9).execute(&mut db).map(drop),
                    true => db.transaction(|db| row.update().n(9).execute(db).map(drop)),
                };
                let is_due: fn(&Error) -> bool = $is_due;
                assert!(ended.as_ref().is_err_and(is_due), "{ended:?}");
                let later = Cell_::create().id(4).name("later").execute(&mut db);
                assert!(matches!(later, Err(Error::BrokenConnection)), "{later:?}");
                Ok::<_, Error>(())
            });
            assert!(done.is_err(), "{done:?}");
            let stored: Vec<i32> = cells::table.select(cells::id).order(cells::id).load($conn).unwrap();
            assert_eq!(stored, [1, 2], "{nested}");
        }
    }};
}

mod a_transaction_of_plain_diesel_that_the_database_ended_is_over {
    use super::*;

    test_on!(CELLS, sqlite_raise, sqlite, (conn, place), {
        conn.batch_execute(
            "CREATE TRIGGER boom BEFORE UPDATE ON cells WHEN NEW.n = 9 BEGIN SELECT RAISE(ROLLBACK, 'boom'); END",
        )
        .unwrap();
        ended_inside_plain_diesel!(
            conn,
            place.connect(),
            |_: &mut Session<'_, _>| Ok::<_, Error>(()),
            |error| { error.to_string().contains("boom") }
        );
    });

    // MariaDB gives a transaction up whose snapshot is older than the row.
    test_on!(CELLS, mysql_snapshot, mysql, (conn, place), {
        let mut other = place.connect();
        let connect = || {
            let mut own = place.connect();
            own.batch_execute("SET SESSION innodb_snapshot_isolation = ON").unwrap();
            own
        };
        let mut outdate = |db: &mut Session<'_, _>| {
            let _: i64 = cells::table.count().get_result(db.connection())?;
            other.batch_execute("UPDATE cells SET n = n + 1 WHERE id = 1").unwrap();
            Ok::<_, Error>(())
        };
        ended_inside_plain_diesel!(conn, connect(), outdate, |error| matches!(error, Error::Deadlock(_)));
    });
}

mod asking_the_server_leaves_nothing_behind {
    use super::*;

    // A savepoint that stays would make each later one dearer: what is counted is the statements that open one.
    test_on!(CELLS, postgres, postgres, (conn), {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut row = Cell_::get_from_cache(&mut db, cells::id, 1).unwrap();
        db.transaction(|db| {
            for n in 0..20 {
                diesel::update(cells::table.find(2)).set(cells::n.eq(1)).execute(db.connection())?;
                row.update().n(n % 5).execute(db)?;
            }
            // A savepoint of the probe that was left open could be released by its name.
            let left = diesel::sql_query("RELEASE SAVEPOINT model_runtime_probe").execute(db.connection());
            assert!(left.is_err(), "it is still there");
            Ok::<_, Error>(())
        })
        .unwrap_err();
    });
}
