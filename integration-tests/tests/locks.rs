//! Promise: transactions that stand in each other's way end with an error of their own kind, and wholly.
use diesel::connection::SimpleConnection;
use integration_tests::models::{Organization, SCHEMA, organizations};
use integration_tests::{on_every_database, test_on};
use model_runtime::prelude::*;
use std::sync::Barrier;

/// Each of two writers has one row and wants the other's; one of them is given up, and it runs again.
macro_rules! cross {
    ($conn:ident, $place:ident) => {{
        let cache = Cache::memory();
        let mut db = Session::new($conn, &cache);
        let rows = ["a", "b"].map(|name| Organization::create().name(name).execute(&mut db).unwrap());
        let (barrier, gave_up) = (Barrier::new(2), std::sync::atomic::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for (first, second) in [(&rows[0], &rows[1]), (&rows[1], &rows[0])] {
                let (mut conn, cache, barrier, gave_up) =
                    ($place.connect(), cache.clone(), &barrier, &gave_up);
                scope.spawn(move || {
                    let (mut first, mut second) = (first.clone(), second.clone());
                    let mut db = Session::new(&mut conn, &cache);
                    let mut meet = true;
                    let mut work = || {
                        let name = format!("of {}", first.id);
                        db.transaction(|db| {
                            first.update().name(&name).execute(db)?;
                            if std::mem::take(&mut meet) {
                                barrier.wait();
                            }
                            second.update().name(&name).execute(db)?;
                            Ok::<_, Error>(())
                        })
                    };
                    while let Err(error) = work() {
                        assert!(matches!(error, Error::Deadlock(_)), "{error:?}");
                        gave_up.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        // At least one of the two; running again, it may meet the other one once more.
        assert!(gave_up.into_inner() >= 1);
        let names = names(&mut db);
        assert_eq!(names[0], names[1], "both rows are of the writer that came last");
    }};
}

fn names<C>(db: &mut Session<'_, C>) -> Vec<String>
where
    C: diesel::connection::LoadConnection,
    for<'q> diesel::dsl::Select<organizations::table, organizations::name>:
        diesel::query_dsl::LoadQuery<'q, C, String>,
{
    use diesel::prelude::*;
    organizations::table.select(organizations::name).load(db.connection()).unwrap()
}

mod a_deadlock_is_an_error_of_its_own {
    use super::*;

    test_on!(SCHEMA, postgres, postgres, (conn, place), { cross!(conn, place) });
    test_on!(SCHEMA, mysql, mysql, (conn, place), { cross!(conn, place) });
}

/// The victim hides its error: nothing after it may be committed by itself.
macro_rules! hidden {
    ($conn:ident, $place:ident) => {{
        let cache = Cache::memory();
        let mut db = Session::new($conn, &cache);
        let mut rows = ["a", "b"].map(|name| Organization::create().name(name).execute(&mut db).unwrap());
        let barrier = Barrier::new(2);
        let (mut one, mut other) = (rows[0].clone(), rows[1].clone());
        std::thread::scope(|scope| {
            let (mut conn, cache, barrier) = ($place.connect(), cache.clone(), &barrier);
            scope.spawn(move || {
                let mut db = Session::new(&mut conn, &cache);
                // Heavier than the other one, so that it survives.
                db.transaction(|db| {
                    for n in 0..50 {
                        Organization::create().name(format!("weight {n}")).execute(db)?;
                    }
                    other.update().name("survivor").execute(db)?;
                    barrier.wait();
                    one.update().name("survivor").execute(db)?;
                    Ok::<_, Error>(())
                })
                .unwrap();
            });
            let [first, second] = &mut rows;
            let hidden = db.transaction(|db| {
                first.update().name("victim").execute(db)?;
                barrier.wait();
                let error = second.update().name("victim").execute(db).unwrap_err();
                assert!(matches!(error, Error::Deadlock(_)), "{error:?}");
                let next = Organization::create().name("left over").execute(db);
                assert!(next.is_err(), "the transaction has ended");
                Ok::<_, Error>(())
            });
            assert!(matches!(hidden, Err(Error::Deadlock(_) | Error::Query(_))), "{hidden:?}");
        });
        let names = names(&mut db);
        assert!(!names.iter().any(|name| name == "left over" || name == "victim"), "{names:?}");
        assert_eq!(rows[0].old_value(organizations::name).map(String::as_str), Some("a"));
        // The session goes on.
        Organization::create().name("next").execute(&mut db).unwrap();
    }};
}

mod a_deadlock_that_is_hidden_ends_the_transaction_all_the_same {
    use super::*;

    test_on!(SCHEMA, mysql, mysql, (conn, place), { hidden!(conn, place) });
}

on_every_database! {
    fn an_error_that_is_not_returned_is_not_a_commit(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut o = Organization::create().name("a").execute(&mut db).unwrap();
        let id = o.id;
        let done = db.transaction(|db| {
            o.update().name("b").execute(db)?;
            let hidden = Organization::create().id(id).name("twice").execute(db);
            assert!(hidden.is_err());
            Ok::<_, Error>(())
        });
        let stored = names(&mut db);
        match done {
            // The statement alone failed.
            Ok(()) => assert_eq!(stored, ["b"]),
            // The database gave the transaction up.
            Err(error) => {
                assert!(error.to_string().contains("was not returned"), "{error}");
                assert_eq!(stored, ["a"]);
                assert_eq!(o.old_value(organizations::name).map(String::as_str), Some("a"));
            }
        }
        // In a transaction of its own it harms nobody.
        db.transaction(|db| {
            o.update().name("c").execute(db)?;
            assert!(db.transaction(|db| Organization::create().id(id).name("twice").execute(db)).is_err());
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(names(&mut db), ["c"]);
    }
}

/// A row that stays locked for longer than the second connection waits.
macro_rules! locked {
    ($conn:ident, $place:ident, $patience:expr) => {{
        let cache = Cache::memory();
        let mut other = $place.connect();
        other.batch_execute($patience).unwrap();
        let mut db = Session::new($conn, &cache);
        let mut mine = Organization::create().name("a").execute(&mut db).unwrap();
        let mut theirs = mine.clone();
        db.transaction(|db| {
            mine.update().name("b").execute(db)?;
            let error = theirs.update().name("c").execute(&mut Session::new(&mut other, &cache)).unwrap_err();
            assert!(matches!(error, Error::LockTimeout(_)), "{error:?}");
            assert_eq!(theirs.name, "a", "memory is as it was");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert!(theirs.update().name("c").execute(&mut Session::new(&mut other, &cache)).unwrap());
    }};
}

mod a_lock_that_lasts_too_long_is_an_error_of_its_own {
    use super::*;

    test_on!(SCHEMA, sqlite, sqlite, (conn, place), { locked!(conn, place, "PRAGMA busy_timeout = 20") });
    test_on!(SCHEMA, postgres, postgres, (conn, place), {
        locked!(conn, place, "SET lock_timeout = '50ms'");
    });
    test_on!(SCHEMA, mysql, mysql, (conn, place), {
        locked!(conn, place, "SET innodb_lock_wait_timeout = 1");
    });
}

mod a_row_that_comes_in_after_the_locks_takes_the_statement_back {
    use super::*;
    use diesel::prelude::*;
    use integration_tests::models::{Project, projects};

    // Below REPEATABLE READ MySQL locks no gaps, so that a row can come in between the locks and the statement.
    test_on!(SCHEMA, mysql, mysql, (conn, place), {
        conn.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").unwrap();
        let cache = Cache::memory();
        let mut other = place.connect();
        let create = move |slug: &str| {
            let cache = Cache::memory();
            let mut db = Session::new(&mut other, &cache);
            Project::create().organization_id(1).slug(slug).name(slug).execute(&mut db).unwrap();
        };
        let create = std::sync::Mutex::new(create);
        (create.lock().unwrap())("a");
        // The second connection inserts when the first one has locked.
        conn.set_instrumentation(move |event: diesel::connection::InstrumentationEvent<'_>| {
            if let diesel::connection::InstrumentationEvent::FinishQuery { query, .. } = event
                && query.to_string().contains("FOR UPDATE")
            {
                (create.lock().unwrap())("b");
            }
        });
        let mut db = Session::new(conn, &cache);
        let done = Project::update_where(projects::organization_id.eq(1)).events(7).execute(&mut db);
        let error = done.unwrap_err().to_string();
        assert!(error.contains("2 rows were hit where 1 had been locked"), "{error}");
        let events: Vec<i32> = projects::table.select(projects::events).load(db.connection()).unwrap();
        assert_eq!(events, [0, 0], "nothing was written");
    });
}

/// The same with diesel-async, which tells deadlocks in other words.
macro_rules! cross_awaited {
    ($connection:ty, $place:ident) => {{
        let (url, setup) = $place.url_and_setup();
        let connect = async || {
            let mut conn = <$connection>::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            conn
        };
        let cache = Cache::memory();
        let mut rows = Vec::new();
        for name in ["a", "b"] {
            let mut conn = $place.connect();
            rows.push(
                Organization::create().name(name).execute(&mut Session::new(&mut conn, &cache)).unwrap(),
            );
        }
        let barrier = tokio::sync::Barrier::new(2);
        let writer = async |first: &Tracked<Organization>, second: &Tracked<Organization>| {
            let (mut first, mut second, mut conn) = (first.clone(), second.clone(), connect().await);
            let mut db = AsyncSession::new(&mut conn, &cache);
            db.transaction(async |db| {
                first.update().name("crossed").execute(db).await?;
                barrier.wait().await;
                second.update().name("crossed").execute(db).await?;
                Ok::<_, Error>(())
            })
            .await
        };
        let (one, other) = tokio::join!(writer(&rows[0], &rows[1]), writer(&rows[1], &rows[0]));
        let given_up: Vec<Error> = [one, other].into_iter().filter_map(Result::err).collect();
        assert!(matches!(given_up[..], [Error::Deadlock(_)]), "{given_up:?}");
    }};
}

/// Writers that insert the same keys at once lock each other out; an upsert outside a transaction runs again by itself.
macro_rules! upserts_awaited {
    ($connection:ty, $place:ident) => {{
        let (url, setup) = $place.url_and_setup();
        let mut writers = tokio::task::JoinSet::new();
        for (url, setup) in vec![(url, setup); 6] {
            writers.spawn(async move {
                let mut conn = <$connection>::establish(&url).await.unwrap();
                conn.batch_execute(&setup).await.unwrap();
                let cache = Cache::memory();
                let mut db = AsyncSession::new(&mut conn, &cache);
                for id in 100..115 {
                    let upsert = Organization::create_or_update().id(id).defaults(|d| d.name("shared"));
                    upsert.execute(&mut db).await.unwrap();
                }
            });
        }
        writers.join_all().await;
    }};
}

mod awaited {
    use super::*;
    use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
    use integration_tests::databases;

    #[tokio::test]
    async fn a_deadlock_is_an_error_of_its_own_on_postgres() {
        let place = databases::postgres(SCHEMA);
        cross_awaited!(AsyncPgConnection, place);
    }

    #[tokio::test]
    async fn a_deadlock_is_an_error_of_its_own_on_mysql() {
        let place = databases::mysql(SCHEMA);
        cross_awaited!(AsyncMysqlConnection, place);
    }

    #[tokio::test]
    async fn upserts_that_lock_each_other_out_run_again_on_postgres() {
        let place = databases::postgres(SCHEMA);
        upserts_awaited!(AsyncPgConnection, place);
    }

    #[tokio::test]
    async fn upserts_that_lock_each_other_out_run_again_on_mysql() {
        let place = databases::mysql(SCHEMA);
        upserts_awaited!(AsyncMysqlConnection, place);
    }
}
