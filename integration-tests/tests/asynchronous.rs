//! Promise: the same calls on an `AsyncSession`, awaited, run by the same engine.
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use integration_tests::databases;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::stores;
use model_runtime::prelude::*;

async fn story(conn: &mut AsyncPgConnection, cache: &Cache) -> Result<(), Error> {
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
    let place = databases::postgres(SCHEMA);
    let (url, setup) = place.url_and_setup();
    let task = tokio::spawn(async move {
        let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
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
