//! The instance in memory says what is stored: after triggers, transactions that are rolled back, and savepoints.
use super::fixtures::*;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;
use std::cell::Cell;

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

    fn what_was_read_in_a_transaction_and_written_in_its_savepoints_is_an_edit_after_the_rollback(conn) {
        cached_cells!(conn, cache, db);
        // How often it is written in savepoints, and whether outside them as well.
        for (savepoints, outside) in [(1, false), (2, false), (1, true), (2, true)] {
            let mut read = None;
            let rolled_back = db.transaction(|db| {
                let mut row = Cell_::get_from_cache(db, cells::id, 1)?;
                for n in 1..=savepoints {
                    db.transaction(|db| {
                        row.n = n;
                        row.save(db)
                    })?;
                }
                if outside {
                    row.n += 1;
                    row.save(db)?;
                }
                read = Some(row);
                Err::<(), _>(Error::Query("roll back".into()))
            });
            assert!(rolled_back.is_err());
            let (mut row, expected) = (read.take().unwrap(), savepoints + i32::from(outside));
            row.save(&mut db).unwrap();
            let stored: i32 = cells::table.find(1).select(cells::n).first(db.connection()).unwrap();
            assert_eq!((row.n, stored), (expected, expected), "{savepoints}, {outside}");
            Cell_::update_where(cells::id.eq(1)).n(5).execute(&mut db).unwrap();
        }
        assert_coherent!(db);
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
