//! What other transactions write in between, on every isolation level: a refusal is a refusal, a row that is there is found,
//! and what a predicate matched is what is written.
use super::fixtures::*;
use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use integration_tests::databases::Place;
use integration_tests::test_on;
use model_runtime::prelude::*;

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

/// Runs `write` once, when the first statement begins that contains `sql`.
fn when_it_begins<C: Connection>(conn: &mut C, sql: &'static str, write: impl FnOnce() + Send + 'static) {
    let mut write = Some(write);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event
            && query.to_string().contains(sql)
            && let Some(write) = write.take()
        {
            write();
        }
    });
}

/// Two rows that match as well come in between the look at the rows and the UPDATE: one that passes the bound, and one that
/// the bound refuses.
macro_rules! phantoms {
    ($conn:ident, $place:ident, $update:literal, $writes:expr) => {{
        for level in levels($place) {
            for of_the_first in [5, 0] {
                let mut other = $place.connect();
                other.batch_execute("DELETE FROM cells").unwrap();
                let insert = format!("INSERT INTO cells (id, name, n) VALUES (1, 'one', {of_the_first})");
                other.batch_execute(&insert).unwrap();
                // A setting of MariaDB alone.
                let _ = other.batch_execute("SET SESSION innodb_lock_wait_timeout = 1");
                let mut own = $place.connect();
                own.batch_execute(&level).unwrap();
                let cache = Cache::memory();
                when_it_begins(&mut own, $update, move || {
                    // InnoDB keeps it waiting on the levels that lock gaps.
                    let _ = other.batch_execute(
                        "INSERT INTO cells (id, name, n) VALUES (8, 'passes', 9), (9, 'refused', 0)",
                    );
                });
                let mut db = Session::new(&mut own, &cache);
                let done: Result<(), Error> = $writes(&mut db);
                let stored: Vec<(i32, i32)> =
                    cells::table.select((cells::id, cells::n)).order(cells::id).load($conn).unwrap();
                let written: Vec<i32> = stored
                    .iter()
                    .filter(|(id, n)| {
                        *n != [of_the_first, 9, 0][[1, 8, 9].iter().position(|it| it == id).unwrap()]
                    })
                    .map(|row| row.0)
                    .collect();
                // The rows that were there pass.
                let passes = of_the_first == 5;
                assert!(done.is_ok() || !passes || !level.ends_with("READ COMMITTED"), "{level}: {done:?}");
                match done {
                    // Committed as if the others had come after it.
                    Ok(()) => assert_eq!((of_the_first, &written[..]), (5, &[1][..]), "{level}: {stored:?}"),
                    Err(_) => assert!(written.is_empty(), "{level}: {stored:?}"),
                }
            }
        }
    }};
}

mod rows_that_come_in_between_are_not_written_in_part {
    use super::*;

    test_on!(CELLS, postgres_update_where, postgres, (conn, place), {
        phantoms!(conn, place, "UPDATE \"", |db: &mut Session<'_, _>| {
            Cell_::update_where(cells::grp.eq(7)).n(F(cells::n) - 1).execute(db).map(drop)
        });
    });
    test_on!(CELLS, postgres_upsert, postgres, (conn, place), {
        phantoms!(conn, place, "UPDATE \"", |db: &mut Session<'_, _>| {
            let all = Cell_::create_or_update().grp(7).all_matches();
            all.defaults(|d| d.n(F(cells::n) - 1)).on_insert(|d| d.id(4).name("four")).execute(db).map(drop)
        });
    });
    test_on!(CELLS, mysql_update_where, mysql, (conn, place), {
        phantoms!(conn, place, "UPDATE `", |db: &mut Session<'_, _>| {
            Cell_::update_where(cells::grp.eq(7)).n(F(cells::n) - 1).execute(db).map(drop)
        });
    });
    test_on!(CELLS, mysql_upsert, mysql, (conn, place), {
        phantoms!(conn, place, "UPDATE `", |db: &mut Session<'_, _>| {
            let all = Cell_::create_or_update().grp(7).all_matches();
            all.defaults(|d| d.n(F(cells::n) - 1)).on_insert(|d| d.id(4).name("four")).execute(db).map(drop)
        });
    });
}
