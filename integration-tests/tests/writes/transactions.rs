//! Errors that are handled, hidden, or of the database's own making, inside transactions: what is answered `Ok` is stored,
//! what is refused is not, and the cache has what the database has.
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::{Place, Schema};
use integration_tests::test_on;
use model_runtime::prelude::*;
use model_runtime::{HookError, Hooks, PositiveInteger, Saved};
use std::cell::Cell;

diesel::table! { cells (id) { id -> Integer, grp -> Integer, name -> Text, n -> Integer, hits -> Integer } }
diesel::table! { marks (id) { id -> Integer } }
diesel::allow_tables_to_appear_in_same_query!(cells, marks);

const CELLS: Schema = Schema(&[
    "CREATE TABLE cells (id INTEGER PRIMARY KEY, grp INTEGER NOT NULL DEFAULT 7, name {key} NOT NULL UNIQUE,
        n INTEGER NOT NULL DEFAULT 0, hits INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE marks (id INTEGER PRIMARY KEY)",
    "INSERT INTO cells (id, name, n) VALUES (1, 'one', 5), (2, 'two', 0)",
]);

/// A row with a bound and a value that may be unreadable.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = cells)]
#[cache_fields(name)]
#[sentry(hooks)]
struct Cell_ {
    id: i32,
    grp: i32,
    name: String,
    #[bounded(min = 0, max = 10)]
    n: i32,
    hits: PositiveInteger,
}

thread_local! { static COMMITTED: Cell<u32> = const { Cell::new(0) }; }

impl Hooks for Cell_ {
    fn after_commit(_: &Saved<'_, Self>) -> Result<(), HookError> {
        COMMITTED.set(COMMITTED.get() + 1);
        Ok(())
    }
}

/// Reads the rows until they are cached, and compares them with the stored ones.
macro_rules! assert_coherent {
    ($db:ident) => {{
        let stored: Vec<(i32, i32, String)> = cells::table
            .select((cells::id, cells::n, cells::name))
            .order(cells::id)
            .load($db.connection())
            .unwrap();
        let ids: Vec<i32> = stored.iter().map(|row| row.0).collect();
        let cached = Cell_::get_many_from_cache(&mut $db, cells::id, ids).unwrap();
        let cached: Vec<_> = cached.into_iter().flatten().map(|it| (it.id, it.n, it.name.clone())).collect();
        assert_eq!(cached, stored);
    }};
}

macro_rules! cached_cells {
    ($conn:expr, $cache:ident, $db:ident) => {
        let $cache = Cache::memory();
        let mut $db = Session::new($conn, &$cache);
        for _ in 0..2 {
            Cell_::get_many_from_cache(&mut $db, cells::id, [1, 2]).unwrap();
        }
    };
}

macro_rules! on_cells {
    ($($(#[$attribute:meta])* fn $name:ident($conn:ident $(, $place:ident)?) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(CELLS, sqlite, sqlite, ($conn $(, $place)?), $body);
            test_on!(CELLS, postgres, postgres, ($conn $(, $place)?), $body);
            test_on!(CELLS, mysql, mysql, ($conn $(, $place)?), $body);
        }
    )* };
}

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
}

/// Each isolation level that a transaction of the session can have, set for the connection.
fn levels<P: Place>(_: &P) -> Vec<String> {
    ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
        .map(|level| match P::RETURNING {
            true => format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"),
            false => format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"),
        })
        .to_vec()
}

/// A row that another transaction moves to its bound after the snapshot: a refusal is a refusal, or a conflict, never `Ok`.
macro_rules! refused_on_every_level {
    ($conn:ident, $place:ident) => {{
        let _ = &$conn;
        for level in levels($place) {
            for way in 0..4 {
                let mut other = $place.connect();
                other.batch_execute("UPDATE cells SET n = 0 WHERE id = 1").unwrap();
                let mut own = $place.connect();
                own.batch_execute(&level).unwrap();
                cached_cells!(&mut own, cache, db);
                let mut row = Cell_::get_from_cache(&mut db, cells::name, "one").unwrap();
                let done = db.transaction(|db| {
                    // The snapshot; without locks, so that the other one can write.
                    let _: i64 = marks::table.count().get_result(db.connection())?;
                    other.batch_execute("UPDATE cells SET n = 10 WHERE id = 1").unwrap();
                    match way {
                        0 => Cell_::update_where(cells::id.eq(1)).n(F(cells::n) + 1).execute(db).map(drop),
                        1 => Cell_::create_or_update()
                            .name("one")
                            .defaults(|d| d.n(F(cells::n) + 1))
                            .execute(db)
                            .map(drop),
                        2 => Cell_::create_or_update()
                            .grp(7)
                            .id(1)
                            .defaults(|d| d.n(F(cells::n) + 1))
                            .execute(db)
                            .map(drop),
                        _ => row.update().n(F(cells::n) + 1).execute(db).map(drop),
                    }
                });
                assert!(
                    matches!(done, Err(Error::OutOfBounds(_) | Error::Deadlock(_) | Error::LockTimeout(_))),
                    "{level}, {way}: {done:?}"
                );
                let stored: i32 = cells::table.find(1).select(cells::n).first(&mut other).unwrap();
                assert_eq!(stored, 10, "{level}, {way}");
                Cell_::invalidate(&mut db, cells::id, [1]).unwrap();
                assert_coherent!(db);
            }
        }
    }};
}

/// Two look-ups that insert the same row: the second one finds it, whatever its snapshot.
macro_rules! found_on_every_level {
    ($conn:ident, $place:ident) => {{
        let _ = &$conn;
        for (level, way) in levels($place).into_iter().flat_map(|level| [(level.clone(), 0), (level, 1)]) {
            let mut other = $place.connect();
            other.batch_execute("DELETE FROM cells WHERE id > 2").unwrap();
            let mut own = $place.connect();
            own.batch_execute(&level).unwrap();
            cached_cells!(&mut own, cache, db);
            let done = db.transaction(|db| {
                let _: i64 = marks::table.count().get_result(db.connection())?;
                other.batch_execute("INSERT INTO cells (id, name, n) VALUES (3, 'three', 1)").unwrap();
                match way {
                    0 => Cell_::get_or_create()
                        .name("three")
                        .defaults(|d| d.id(4))
                        .execute(db)
                        .map(|(row, _)| row.n),
                    _ => {
                        let upsert =
                            Cell_::create_or_update().name("three").defaults(|d| d.n(F(cells::n) + 1));
                        upsert.on_insert(|d| d.id(4)).execute(db).map(|_| 1)
                    }
                }
            });
            match done {
                Ok(n) => assert_eq!(n, 1, "{level}, {way}"),
                Err(error) => assert!(
                    matches!(error, Error::Deadlock(_) | Error::LockTimeout(_)),
                    "{level}, {way}: {error:?}"
                ),
            }
            assert_coherent!(db);
        }
    }};
}

mod a_refusal_is_a_refusal_on_every_level {
    use super::*;

    test_on!(CELLS, postgres, postgres, (conn, place), {
        refused_on_every_level!(conn, place);
    });
    test_on!(CELLS, mysql, mysql, (conn, place), {
        refused_on_every_level!(conn, place);
    });
}

mod a_row_that_stands_in_the_way_is_found_on_every_level {
    use super::*;

    test_on!(CELLS, postgres, postgres, (conn, place), {
        found_on_every_level!(conn, place);
    });
    test_on!(CELLS, mysql, mysql, (conn, place), {
        found_on_every_level!(conn, place);
    });
}

/// The predicate of a write means other rows by the time it is asked again.
macro_rules! subquery {
    ($conn:ident, $place:ident, $write:expr) => {{
        let mut other = $place.connect();
        other.batch_execute("DELETE FROM marks; INSERT INTO marks VALUES (1)").unwrap();
        cached_cells!($conn, cache, db);
        let done = db.transaction(|db| {
            let seen: i64 = marks::table.count().get_result(db.connection())?;
            assert_eq!(seen, 1);
            other.batch_execute("DELETE FROM marks; INSERT INTO marks VALUES (2)").unwrap();
            $write(db)
        });
        assert!(matches!(done, Ok(1)), "{done:?}");
        assert_coherent!(db);
        let gone: usize = Cell_::get_many_from_cache(&mut db, cells::id, [1, 2])
            .unwrap()
            .iter()
            .filter(|it| it.is_none())
            .count();
        let stored: i64 = cells::table.count().get_result(db.connection()).unwrap();
        assert_eq!(i64::try_from(gone).unwrap(), 2 - stored);
    }};
}

mod a_subquery_in_the_predicate_names_the_rows_that_are_written {
    use super::*;

    #[diesel::dsl::auto_type]
    fn marked() -> _ {
        cells::id.eq_any(marks::table.select(marks::id))
    }

    test_on!(CELLS, mysql_update, mysql, (conn, place), {
        subquery!(conn, place, |db: &mut Session<'_, _>| Cell_::update_where(marked()).n(9).execute(db));
    });
    test_on!(CELLS, mysql_delete, mysql, (conn, place), {
        subquery!(conn, place, |db: &mut Session<'_, _>| Cell_::delete_where(marked()).execute(db));
    });
    test_on!(CELLS, postgres_update, postgres, (conn, place), {
        subquery!(conn, place, |db: &mut Session<'_, _>| Cell_::update_where(marked()).n(9).execute(db));
    });
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

fn begin_and_leave<C: Connection>(conn: &mut C) {
    <C::TransactionManager as diesel::connection::TransactionManager<C>>::begin_transaction(conn).unwrap();
}

/// A number that counts how often it is copied.
#[derive(Debug, PartialEq, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Integer)]
struct Counted(i32);

thread_local! { static COPIES: Cell<u32> = const { Cell::new(0) }; }

impl Clone for Counted {
    fn clone(&self) -> Self {
        COPIES.set(COPIES.get() + 1);
        Self(self.0)
    }
}

impl<DB: diesel::backend::Backend> diesel::serialize::ToSql<diesel::sql_types::Integer, DB> for Counted
where
    i32: diesel::serialize::ToSql<diesel::sql_types::Integer, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, DB>) -> diesel::serialize::Result {
        self.0.to_sql(out)
    }
}

impl<DB: diesel::backend::Backend> diesel::deserialize::FromSql<diesel::sql_types::Integer, DB> for Counted
where
    i32: diesel::deserialize::FromSql<diesel::sql_types::Integer, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
        i32::from_sql(bytes).map(Self)
    }
}

/// A row that is not cached.
#[derive(Debug, Clone, Queryable, Selectable, SentryModel)]
#[diesel(table_name = cells)]
struct Copied {
    id: i32,
    name: String,
    n: Counted,
}

on_cells! {
    fn an_instance_keeps_nothing_of_the_transactions_that_are_over(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut row: Tracked<Copied> =
            cells::table.find(1).select(Tracked::<Copied>::as_select()).first(db.connection()).unwrap();
        let mut write = |times: i32, row: &mut Tracked<Copied>| {
            for n in 0..times {
                db.transaction(|db| {
                    row.update().n(Counted(n)).execute(db)?;
                    db.transaction(|db| row.update().n(Counted(n + 1)).execute(db)).map(drop)
                })
                .unwrap();
            }
            COPIES.set(0);
            let _ = row.clone();
            COPIES.take()
        };
        let few = write(2, &mut row);
        assert_eq!(write(50, &mut row), few, "each transaction leaves copies");
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            row.update().n(Counted(0)).execute(db)?;
            Err(Error::Query("roll back".into()))
        });
        assert!(rolled_back.is_err());
        assert_eq!(row.old_value(cells::n), Some(&Counted(50)));
    }
}

const TRIGGERED: Schema = Schema(&[
    "CREATE TABLE cells (id INTEGER PRIMARY KEY, grp INTEGER NOT NULL DEFAULT 7, name {key} NOT NULL UNIQUE,
        n INTEGER NOT NULL DEFAULT 0, hits INTEGER NOT NULL DEFAULT 0)",
    "INSERT INTO cells (id, name, n) VALUES (1, 'one', 5)",
]);

/// What a trigger sets beside what was assigned.
macro_rules! trigger {
    ($conn:ident, $trigger:expr) => {{
        $conn.batch_execute($trigger).unwrap();
        let cache = Cache::memory();
        let mut db = Session::new($conn, &cache);
        let mut row = Cell_::get_from_cache(&mut db, cells::id, 1).unwrap();
        row.name = "edited".into();
        row.update().n(F(cells::n) + 1).execute(&mut db).unwrap();
        assert_eq!((row.n, row.grp, row.name.as_str()), (6, 8, "edited"), "an edit in memory stays");
        assert_eq!(row.old_value(cells::name).map(String::as_str), Some("one"));
        assert!(row.has_changed(cells::name) && !row.has_changed(cells::grp));
        row.save(&mut db).unwrap();
        assert_eq!((row.grp, row.name.as_str()), (9, "edited"));
        assert!(row.changes().fields().next().is_none());
        // What it took from a statement that is rolled back, was no edit.
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            row.update().n(7).execute(db)?;
            assert_eq!(row.grp, 10);
            row.name = "later".into();
            row.save(db)?;
            assert_eq!(row.grp, 11);
            Err(Error::Query("roll back".into()))
        });
        assert!(rolled_back.is_err());
        assert_eq!(row.changes().fields().collect::<Vec<_>>(), ["name", "n"]);
        assert!(!row.has_changed(cells::grp) && row.has_changed(cells::name));
        row.reset();
        assert_eq!((row.n, row.grp, row.name.as_str()), (6, 9, "edited"));
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            row.update().n(7).execute(db)?;
            row.grp = 50;
            Err(Error::Query("roll back".into()))
        });
        assert!(rolled_back.is_err());
        assert_eq!(row.changes().fields().collect::<Vec<_>>(), ["grp", "n"], "an edit stays one");
    }};
}

mod memory_takes_what_the_statement_returned {
    use super::*;

    test_on!(TRIGGERED, postgres, postgres, (conn), {
        trigger!(
            conn,
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.grp = NEW.grp + 1; RETURN NEW; END $$;
             CREATE TRIGGER touch BEFORE UPDATE ON cells FOR EACH ROW EXECUTE FUNCTION touch()"
        );
    });
    test_on!(TRIGGERED, mysql, mysql, (conn), {
        trigger!(conn, "CREATE TRIGGER touch BEFORE UPDATE ON cells FOR EACH ROW SET NEW.grp = NEW.grp + 1");
    });
}

on_cells! {
    fn what_was_read_in_a_transaction_that_is_rolled_back_is_asked_for_again(conn) {
        cached_cells!(conn, cache, db);
        let roll_back = || Err::<(), Error>(Error::Query("roll back".into()));
        // Read after a write of the transaction.
        let mut read = None;
        let rolled_back = db.transaction(|db| {
            Cell_::update_where(cells::id.eq(1)).n(9).execute(db)?;
            read = Some(Cell_::get_from_cache(db, cells::id, 1)?);
            roll_back()
        });
        assert!(rolled_back.is_err());
        let mut row = read.take().unwrap();
        assert_eq!((row.old_value(cells::n), row.has_changed(cells::n)), (None, false), "it is not known");
        row.name = "first".into();
        row.save(&mut db).unwrap();
        assert_eq!((row.n, row.name.as_str(), row.old_value(cells::n)), (5, "first", Some(&5)));
        // Read and written there: what was written is an edit again, also of the key.
        let rolled_back = db.transaction(|db| {
            let mut row = Cell_::get_from_cache(db, cells::id, 1)?;
            (row.id, row.n) = (3, 7);
            row.save(db)?;
            read = Some(row);
            roll_back()
        });
        assert!(rolled_back.is_err());
        let mut row = read.take().unwrap();
        row.save(&mut db).unwrap();
        let stored: Vec<(i32, i32)> = cells::table.select((cells::id, cells::n)).order(cells::id).load(db.connection()).unwrap();
        assert_eq!(stored, [(2, 0), (3, 7)]);
        assert_coherent!(db);
        // A row that was of the transaction alone.
        let rolled_back = db.transaction(|db| {
            Cell_::create().id(8).name("eight").execute(db)?;
            read = Some(Cell_::get_or_create().name("eight").execute(db)?.0);
            roll_back()
        });
        assert!(rolled_back.is_err());
        assert!(matches!(read.take().unwrap().save(&mut db), Err(Error::DoesNotExist { .. })));
        // Read and deleted there.
        let rolled_back = db.transaction(|db| {
            let mut row = Cell_::get_from_cache(db, cells::id, 2)?;
            row.delete(db)?;
            read = Some(row);
            roll_back()
        });
        assert!(rolled_back.is_err());
        let mut row = read.take().unwrap();
        row.n = 4;
        row.save(&mut db).unwrap();
        assert_eq!(cells::table.find(2).select(cells::n).first(db.connection()), Ok(4));
        row.update().n(0).execute(&mut db).unwrap();
        // Read again there.
        let mut row = Cell_::get_from_cache(&mut db, cells::id, 2).unwrap();
        let rolled_back = db.transaction(|db| {
            Cell_::update_where(cells::id.eq(2)).n(9).execute(db)?;
            row.refresh(db)?;
            roll_back()
        });
        assert!(rolled_back.is_err());
        assert_eq!(row.old_value(cells::n), Some(&0));
        row.n = 9;
        row.save(&mut db).unwrap();
        assert_eq!(cells::table.find(2).select(cells::n).first(db.connection()), Ok(9));
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

    fn a_savepoint_for_each_write_leaves_one_baseline(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut row: Tracked<Copied> =
            cells::table.find(1).select(Tracked::<Copied>::as_select()).first(db.connection()).unwrap();
        db.transaction(|db| {
            let mut copies = Vec::new();
            for n in 0..20 {
                db.transaction(|db| row.update().n(Counted(n)).execute(db))?;
                COPIES.set(0);
                let _ = row.clone();
                copies.push(COPIES.take());
            }
            assert_eq!(copies[2], copies[19], "{copies:?}");
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}
