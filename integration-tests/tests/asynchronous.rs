//! Promise: the same calls on an `AsyncSession`, awaited, run by the same engine.
use diesel::prelude::*;
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection,
};
use integration_tests::databases;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::stores;
use model_runtime::CacheOutcome;
use model_runtime::prelude::*;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

integration_tests::project_cached_as! {
    /// The model of the contract, whose absence is cached and whose keys go to the outbox.
    Stored: slug, negative = "1m", outage = "outbox"
}

/// The tests on each connection of diesel-async.
macro_rules! on_every_connection {
    (@on $database:ident, $place:ty, $connection:ty, $($tests:tt)*) => {
        mod $database {
            use super::*;

            type Connection = $connection;

            fn place() -> $place {
                databases::$database(SCHEMA)
            }

            $($tests)*
        }
    };
    ($($tests:tt)*) => {
        on_every_connection!(@on postgres, databases::Postgres, AsyncPgConnection, $($tests)*);
        on_every_connection!(@on mysql, databases::Mysql, AsyncMysqlConnection, $($tests)*);
        on_every_connection!(@on sqlite, databases::Sqlite, SyncConnectionWrapper<SqliteConnection>, $($tests)*);
    };
}

on_every_connection! {
    async fn story(conn: &mut Connection, cache: &Cache) -> Result<(), Error> {
        let mut db = AsyncSession::new(conn, cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).await?;
        p.name = "Pump station".into();
        p.save(&mut db).await?;
        assert!(p.update().events(F(projects::events) + 1).execute(&mut db).await?);
        assert_eq!(p.events, 1);
        for _ in 0..2 {
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).await?, p);
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "pump").await?, p);
        }
        assert_eq!(cache.stats().hits, 2, "the first call of each fills");
        assert!(Project::get_from_cache(&mut db, projects::slug, "nope").await.optional()?.is_none());
        let rolled_back: Result<(), Error> = db
            .transaction(async |db| {
                p.update().name("ghost").execute(db).await?;
                db.transaction(async |db| p.update().name("inner").execute(db).await).await?;
                Err(Error::Query("roll back".into()))
            })
            .await;
        assert!(rolled_back.is_err());
        assert_eq!(p.old_value(projects::name).map(String::as_str), Some("Pump station"));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).await?.name, "Pump station");
        let upserted = Project::create_or_update()
            .slug("pump")
            .defaults(|d| d.events(F(projects::events) + 1))
            .execute(&mut db)
            .await?;
        assert_eq!(upserted, CreateOrUpdate::Updated(1));
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "pump").await?.events, 2);
        assert!(p.delete(&mut db).await?);
        Ok(())
    }

    /// In a spawned task, which demands that every future is `Send`.
    async fn spawned(cache: Cache) {
        let place = place();
        let (url, setup) = place.url_and_setup();
        let task = tokio::spawn(async move {
            let mut conn = Connection::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            story(&mut conn, &cache).await
        });
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_same_calls_awaited_on_the_in_process_store() {
        spawned(Cache::memory()).await;
    }

    #[tokio::test]
    async fn the_same_calls_awaited_on_redis() {
        spawned(Cache::builder().store(stores::redis()).build().unwrap()).await;
    }

    /// Absence, the outbox, and what others wrote.
    async fn further_story(conn: &mut Connection, cache: &Cache) -> Result<(), Error> {
        conn.batch_execute(&Stored::outbox_sql(<Connection as AsyncConnectionCore>::Backend::default())?).await?;
        let mut db = AsyncSession::new(conn, cache);
        for _ in 0..2 {
            assert!(Stored::get_from_cache(&mut db, projects::slug, "pump").await.optional()?.is_none());
        }
        assert_eq!(cache.stats().negative_hits, 1);
        let p = Stored::create().organization_id(1).slug("pump").name("v0").execute(&mut db).await?;
        assert_eq!(db.cache_outcome(), CacheOutcome::Told);
        for _ in 0..3 {
            assert_eq!(Stored::get_from_cache(&mut db, projects::slug, "pump").await?, p);
        }
        assert_eq!(db.sweep_outbox().await?, 2, "the keys of the row and of its slug");
        for (name, way) in [("v1", "invalidate"), ("v2", "clear"), ("v3", "transaction")] {
            Stored::get_from_cache(&mut db, projects::id, p.id).await?;
            let rename = diesel::update(projects::table.find(p.id)).set(projects::name.eq(name));
            match way {
                "transaction" => {
                    db.transaction(async |db| {
                        rename.execute(db.connection()).await?;
                        Stored::invalidate(db, projects::id, [p.id]).await
                    })
                    .await?;
                    assert_eq!(db.sweep_outbox().await?, 1);
                }
                _ => {
                    rename.execute(db.connection()).await?;
                    assert_ne!(Stored::get_from_cache(&mut db, projects::id, p.id).await?.name, name);
                    match way {
                        "clear" => assert!(cache.clear_async::<Stored>().await? > 0),
                        _ => Stored::invalidate(&mut db, projects::id, [p.id]).await?,
                    }
                }
            }
            for _ in 0..2 {
                assert_eq!(Stored::get_from_cache(&mut db, projects::id, p.id).await?.name, name);
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn absence_the_outbox_and_what_others_wrote() {
        let place = place();
        let (url, setup) = place.url_and_setup();
        let cache = Cache::builder().store(stores::redis()).build().unwrap();
        let task = tokio::spawn(async move {
            let mut conn = Connection::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            further_story(&mut conn, &cache).await
        });
        task.await.unwrap().unwrap();
    }

    /// Tasks of one thread that miss one key: those that wait are woken, and none is left behind.
    #[tokio::test]
    async fn tasks_that_miss_one_key_share_a_read() {
        const TASKS: usize = 40;
        let place = place();
        let (url, setup) = place.url_and_setup();
        let cache = Cache::builder().store(stores::redis()).build().unwrap();
        let mut conns = Vec::new();
        for _ in 0..TASKS {
            let mut conn = Connection::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            conns.push(conn);
        }
        let mut db = AsyncSession::new(&mut conns[0], &cache);
        let id =
            Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).await.unwrap().id;
        let read = |mut conn: Connection| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let mut db = AsyncSession::new(&mut conn, &cache);
                Project::get_from_cache(&mut db, projects::id, id).await.unwrap().name.clone()
            })
        };
        let tasks: Vec<_> = conns.into_iter().map(read).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), "Pump");
        }
        let stats = cache.stats();
        assert_eq!((stats.misses, stats.bypasses), (1, 0), "one asked the database: {stats:?}");
    }

    /// Polled until it asks the database, and then left alone, in a task that goes on.
    #[tokio::test]
    async fn a_reader_does_not_wait_for_one_that_stands_still() {
        let place = place();
        let (url, setup) = place.url_and_setup();
        let cache = Cache::builder().store(stores::redis()).lease(Duration::from_millis(100)).build().unwrap();
        let mut conns = Vec::new();
        for _ in 0..2 {
            let mut conn = Connection::establish(&url).await.unwrap();
            conn.batch_execute(&setup).await.unwrap();
            conns.push(conn);
        }
        let mut other = AsyncSession::new(&mut conns[1], &cache);
        let id = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut other).await.unwrap().id;
        drop(other);
        let [one, other] = &mut conns[..] else { unreachable!() };
        let (mut one, mut other) = (AsyncSession::new(one, &cache), AsyncSession::new(other, &cache));
        let mut still = pin!(Project::get_from_cache(&mut one, projects::id, id));
        while cache.stats().misses == 0 {
            assert!(poll_fn(|cx| Poll::Ready(still.as_mut().poll(cx).is_pending())).await);
            tokio::task::yield_now().await;
        }
        let second = Project::get_from_cache(&mut other, projects::id, id);
        let second = tokio::time::timeout(Duration::from_secs(60), second).await.expect("it hangs");
        assert_eq!(second.unwrap().name, "Pump");
        assert_eq!(still.await.unwrap().name, "Pump");
    }
}
