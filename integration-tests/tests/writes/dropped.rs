//! Each awaited call is polled n times and dropped, for every n, on every connection and store.
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
use integration_tests::databases::{self, Schema};
use integration_tests::stores;
use model_runtime::prelude::*;
use model_runtime::{Dialect, ModelSql};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

diesel::table! {
    tanks (id) {
        id -> Integer,
        code -> Text,
        v -> Integer,
    }
}

const SCHEMA: Schema =
    Schema(&["CREATE TABLE tanks (id {pk}, code {key} NOT NULL UNIQUE, v INTEGER NOT NULL DEFAULT 0)"]);

/// A counter, whose absence is cached, so that inserts take part in the protocol.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = tanks)]
#[cache_fields(code, negative = "1m")]
struct Tank {
    #[bounded(auto)]
    id: i32,
    code: String,
    #[bounded(positive)]
    v: i32,
}

/// What is dropped. Each that writes the row adds one to `v`, or deletes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Update,
    UpdateExpression,
    Save,
    SaveMany,
    UpdateWhere,
    Upsert,
    UpsertInserts,
    GetOrCreate,
    Create,
    CreateMany,
    Delete,
    DeleteWhere,
    Get,
    GetByCode,
    GetMany,
    Refresh,
    Transaction,
    Savepoint,
}

impl Call {
    const ALL: [Self; 18] = [
        Self::Update,
        Self::UpdateExpression,
        Self::Save,
        Self::SaveMany,
        Self::UpdateWhere,
        Self::Upsert,
        Self::UpsertInserts,
        Self::GetOrCreate,
        Self::Create,
        Self::CreateMany,
        Self::Delete,
        Self::DeleteWhere,
        Self::Get,
        Self::GetByCode,
        Self::GetMany,
        Self::Refresh,
        Self::Transaction,
        Self::Savepoint,
    ];

    async fn run<C>(self, db: &mut AsyncSession<'_, C>, tank: &mut Tracked<Tank>) -> Result<(), Error>
    where
        C: AsyncConnection<Backend: Dialect>,
        Tank: ModelSql<C::Backend>,
        for<'q> diesel::dsl::Eq<tanks::id, i32>: diesel::query_builder::QueryFragment<C::Backend>,
    {
        let (id, code) = (tank.id, tank.code.clone());
        let new = |suffix: &str| Tank::create().code(format!("{code}-{suffix}"));
        match self {
            Self::Update => tank.update().v(1).execute(db).await.map(drop),
            Self::UpdateExpression => tank.update().v(F(tanks::v) + 1).execute(db).await.map(drop),
            Self::Save => {
                tank.v = 1;
                tank.save(db).await
            }
            Self::SaveMany => {
                tank.v = 1;
                let mut new = Tracked::new(Tank { id: 0, code: format!("{code}-new"), v: 1 });
                Tank::save_many(db, [tank, &mut new]).await.map(drop)
            }
            Self::UpdateWhere => {
                Tank::update_where(tanks::id.eq(id)).v(F(tanks::v) + 1).execute(db).await.map(drop)
            }
            Self::Upsert => {
                let upsert = Tank::create_or_update().code(code).defaults(|d| d.v(F(tanks::v) + 1));
                upsert.execute(db).await.map(drop)
            }
            Self::UpsertInserts => {
                let upsert = Tank::create_or_update().code(format!("{code}-new")).defaults(|d| d.v(1));
                upsert.execute(db).await.map(drop)
            }
            Self::GetOrCreate => {
                let found = Tank::get_or_create().code(format!("{code}-new")).defaults(|d| d.v(1));
                found.execute(db).await.map(drop)
            }
            Self::Create => new("new").execute(db).await.map(drop),
            Self::CreateMany => Tank::create_many(db, [new("new"), new("newer")]).await.map(drop),
            Self::Delete => tank.delete(db).await.map(drop),
            Self::DeleteWhere => Tank::delete_where(tanks::id.eq(id)).execute(db).await.map(drop),
            Self::Get => Tank::get_from_cache(db, tanks::id, id).await.map(drop),
            Self::GetByCode => Tank::get_from_cache(db, tanks::code, code).await.map(drop),
            Self::GetMany => Tank::get_many_from_cache(db, tanks::id, [id, id + 1000]).await.map(drop),
            Self::Refresh => tank.refresh(db).await,
            Self::Transaction => {
                let work = async |db: &mut AsyncSession<'_, C>| {
                    tank.update().v(F(tanks::v) + 1).execute(db).await?;
                    Tank::create().code(format!("{code}-new")).execute(db).await.map(drop)
                };
                db.transaction(work).await
            }
            Self::Savepoint => {
                let work = async |db: &mut AsyncSession<'_, C>| {
                    let inner: Result<(), Error> = db
                        .transaction(async |db| {
                            tank.update().v(F(tanks::v) + 100).execute(db).await?;
                            Err(Error::Query("roll back".into()))
                        })
                        .await;
                    assert!(inner.is_err());
                    tank.update().v(F(tanks::v) + 1).execute(db).await.map(drop)
                };
                db.transaction(work).await
            }
        }
    }
}

/// The result of the future, unless it is still pending after so many polls: then it is dropped where it stands.
async fn polled<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let (mut future, mut count) = (pin!(future), 0);
    poll_fn(|context| {
        count += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if count == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

macro_rules! on_every_connection_and_store {
    ($($name:ident: $database:ident $connection:ty, $store:ident;)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $name() {
            let place = databases::$database(SCHEMA);
            let cache = Cache::builder().store(stores::$store()).build().unwrap();
            let (url, setup) = place.url_and_setup();
            let mut asked = place.connect();
            for call in Call::ALL {
                for polls in 1.. {
                    let mut conn = <$connection>::establish(&url).await.unwrap();
                    conn.batch_execute(&setup).await.unwrap();
                    let name = format!("{call:?}-{polls}");
                    let mut tank = Tank::create().code(&name).execute(&mut Session::new(&mut asked, &cache)).unwrap();
                    for _ in 0..2 {
                        Tank::get_from_cache(&mut Session::new(&mut asked, &cache), tanks::id, tank.id).unwrap();
                        Tank::get_from_cache(&mut Session::new(&mut asked, &cache), tanks::code, &name).unwrap();
                    }
                    let id = tank.id;
                    let mut db = AsyncSession::new(&mut conn, &cache);
                    let done = polled(call.run(&mut db, &mut tank), polls).await;
                    let later = [format!("{name}-alone"), format!("{name}-together")];
                    let alone = Tank::create().code(&later[0]).execute(&mut db).await;
                    let together = db
                        .transaction(async |db| Tank::create().code(&later[1]).execute(db).await)
                        .await;
                    drop(db);
                    // Another session on the same connection is no way around it.
                    let mut db = AsyncSession::new(&mut conn, &cache);
                    let read = Tank::get_from_cache(&mut db, tanks::id, id).await;
                    drop(db);
                    drop(conn);
                    if let Some(done) = &done {
                        assert!(done.is_ok() && alone.is_ok() && together.is_ok(), "{name}: {done:?} {alone:?} {together:?}");
                    }
                    let v = |asked: &mut _| -> i32 {
                        // A row that is gone is newer than any.
                        tanks::table.find(id).select(tanks::v).first(asked).optional().unwrap().unwrap_or(i32::MAX)
                    };
                    for (code, created) in later.iter().zip([alone, together]) {
                        let stored: i64 =
                            tanks::table.filter(tanks::code.eq(code)).count().get_result(&mut asked).unwrap();
                        match created {
                            Ok(_) => assert_eq!(stored, 1, "{name}: {code} was answered `Ok` and is lost"),
                            Err(error) => {
                                assert!(matches!(error, Error::BrokenConnection), "{name}: {error:?}");
                                assert_eq!(stored, 0, "{name}: {code} was refused and is stored");
                            }
                        }
                    }
                    let before = v(&mut asked);
                    let cached = Tank::get_from_cache(&mut Session::new(&mut asked, &cache), tanks::id, id);
                    let cached = cached.optional().unwrap().map_or(i32::MAX, |tank| tank.v);
                    let after = v(&mut asked);
                    assert!(before <= cached && cached <= after, "{name}: {before} <= {cached} <= {after}");
                    if let Ok(read) = read {
                        assert!(read.v <= after, "{name}: {} was read, {after} is stored", read.v);
                    }
                    // What memory takes for stored is stored.
                    if let Some(stored) = tank.old_value(tanks::v) {
                        assert!(*stored <= after, "{name}: memory has {stored}, the database {after}");
                    }
                    for suffix in ["", "-new", "-newer"] {
                        let code = format!("{name}{suffix}");
                        let count = || tanks::table.filter(tanks::code.eq(&code)).count();
                        let before: i64 = count().get_result(&mut asked).unwrap();
                        let found = Tank::get_from_cache(&mut Session::new(&mut asked, &cache), tanks::code, &code);
                        let found = i64::from(found.optional().unwrap().is_some());
                        let after: i64 = count().get_result(&mut asked).unwrap();
                        assert!(found == before || found == after, "{code}: {before}, {found}, {after}");
                    }
                    if done.is_some() {
                        break;
                    }
                }
            }
        }
    )* };
}

on_every_connection_and_store! {
    postgres_and_memory: postgres AsyncPgConnection, memory;
    postgres_and_redis: postgres AsyncPgConnection, redis;
    mysql_and_memory: mysql AsyncMysqlConnection, memory;
    mysql_and_redis: mysql AsyncMysqlConnection, redis;
    sqlite_and_memory: sqlite SyncConnectionWrapper<SqliteConnection>, memory;
    sqlite_and_redis: sqlite SyncConnectionWrapper<SqliteConnection>, redis;
}

/// A statement that waits for a lock goes on in the server when its future is dropped. The database's time-out, shorter than
/// an intent lives, ends it before the intent does.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dropped_statement_that_waits_for_a_lock_ends_before_its_intent() {
    const INTENT: std::time::Duration = std::time::Duration::from_secs(2);
    let place = databases::postgres(SCHEMA);
    let cache = Cache::builder().store(stores::redis()).intent_lifetime(INTENT).build().unwrap();
    let (url, setup) = place.url_and_setup();
    let (mut asked, mut locker) = (place.connect(), place.connect());
    let mut tank = Tank::create().code("pump").execute(&mut Session::new(&mut asked, &cache)).unwrap();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute(&setup).await.unwrap();
    conn.batch_execute("SET lock_timeout = '500ms'").await.unwrap();
    let id = tank.id;
    locker.batch_execute("BEGIN; UPDATE tanks SET code = code").unwrap();
    let mut db = AsyncSession::new(&mut conn, &cache);
    let update = tank.update().v(F(tanks::v) + 1).execute(&mut db);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), update).await.is_err());
    drop(db);
    tokio::time::sleep(INTENT).await;
    locker.batch_execute("COMMIT").unwrap();
    drop(conn);
    for _ in 0..3 {
        let cached = Tank::get_from_cache(&mut Session::new(&mut asked, &cache), tanks::id, id).unwrap();
        assert_eq!(cached.v, 0, "the statement was given up");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(tanks::table.find(id).select(tanks::v).first(&mut asked), Ok(0));
}
