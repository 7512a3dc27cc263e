//! Promise: hooks see every write of a row, before it is sent and after it is committed, and never one that was
//! rolled back.
use diesel::prelude::*;
use integration_tests::databases::server;
use integration_tests::models::projects;
use integration_tests::{count, on_every_database};
use model_runtime::prelude::*;
use model_runtime::{HookError, Hooks, Pending, Saved, Write};
use std::cell::RefCell;

thread_local! { static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) }; }

fn log(line: String) {
    LOG.with_borrow_mut(|log| log.push(line));
}

fn logged() -> Vec<String> {
    LOG.take()
}

/// A project that watches its writes.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = projects)]
#[cache_fields(slug)]
#[sentry(hooks)]
struct Watched {
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

impl Hooks for Watched {
    fn before_write(pending: &mut Pending<'_, Self>) -> Result<(), HookError> {
        log(format!("before {:?} events={}", pending.write(), pending.writes(projects::events)));
        if pending.value(projects::slug).is_some_and(String::is_empty) {
            return Err("a slug has a letter at least".into());
        }
        if let Some(name) = pending.value(projects::name).map(|name| name.trim().to_owned()) {
            pending.set(projects::name, name);
        }
        if pending.value(projects::name).is_some_and(|name| name == "move") {
            pending.set(projects::id, 4711);
        }
        if pending.value(projects::organization_id) == Some(&99) {
            pending.set(projects::events, -1);
        }
        Ok(())
    }

    fn after_commit(saved: &Saved<'_, Self>) -> Result<(), HookError> {
        let fields: Vec<_> = saved.fields().filter(|field| *field != "date_updated").collect();
        let fields = match saved.write() {
            Write::Insert => format!("{} fields", fields.len()),
            _ => fields.join(","),
        };
        log(format!("{:?} {} {fields}", saved.write(), saved.row().name));
        match saved.row().name.as_str() {
            "fails" => Err("no good".into()),
            "panics" => panic!("no good at all"),
            _ => Ok(()),
        }
    }

    fn after_delete(row: &Self) -> Result<(), HookError> {
        log(format!("Delete {}", row.name));
        Ok(())
    }
}

macro_rules! created {
    ($db:expr, $name:expr) => {
        Watched::create().organization_id(1).slug($name).name($name).execute($db).unwrap()
    };
}

on_every_database! {
    fn each_write_of_a_row_is_seen_before_and_after(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = created!(&mut db, "pump");
        assert_eq!(logged(), ["before Insert events=false", "Insert pump 7 fields"]);
        p.update().events(F(projects::events) + 1).execute(&mut db).unwrap();
        assert_eq!(logged(), ["before Update events=true", "Update pump events"]);
        p.name = " valve ".into();
        p.save(&mut db).unwrap();
        assert_eq!(p.name, "valve", "what the hook set is stored, and memory has it");
        assert_eq!(logged(), ["before Update events=false", "Update valve name"]);
        p.save(&mut db).unwrap();
        assert_eq!(logged(), Vec::<String>::new(), "nothing to write");
        p.delete(&mut db).unwrap();
        assert_eq!(logged(), ["Delete valve"]);
        assert!(matches!(p.delete(&mut db), Err(Error::Unsaved { .. })));
        let mut gone = created!(&mut db, "gone");
        gone.clone().delete(&mut db).unwrap();
        logged();
        assert!(!gone.update().name("x").execute(&mut db).unwrap() && !gone.delete(&mut db).unwrap());
        assert_eq!(logged(), ["before Update events=false"], "no row was hit");
        p.save(&mut db).unwrap();
        assert_eq!(logged(), ["before Insert events=true", "Insert valve 7 fields"]);
        let rows = Watched::create_many(&mut db, ["a", "b"].map(|name| Watched::create().organization_id(2).slug(name).name(name)));
        assert_eq!(rows.unwrap().len(), 2);
        let seen = ["before Insert events=false", "before Insert events=false", "Insert a 7 fields", "Insert b 7 fields"];
        assert_eq!(logged(), seen);
    }

    fn a_hook_sees_the_row_as_it_is_stored(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = created!(&mut db, "pump");
        // Another writer, behind this instance's back.
        diesel::update(projects::table.find(p.id)).set(projects::name.eq("theirs")).execute(db.connection()).unwrap();
        logged();
        p.update().events(5).execute(&mut db).unwrap();
        assert_eq!(logged(), ["before Update events=true", "Update theirs events"]);
        assert_eq!(p.name, "theirs", "memory takes what the statement returned");
    }

    fn upserts_and_writes_by_predicate_are_seen_as_the_table_says(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let upsert = || Watched::create_or_update().slug("k").defaults(|d| d.organization_id(1).name(" k "));
        let CreateOrUpdate::Created(row) = upsert().execute(&mut db).unwrap() else { panic!("no row was there") };
        assert_eq!(row.name, "k");
        assert_eq!(logged().last().map(String::as_str), Some("Insert k 7 fields"));
        assert_eq!(upsert().execute(&mut db).unwrap(), CreateOrUpdate::Updated(1));
        assert!(logged().iter().all(|line| line.starts_with("before")), "no row in hand");
        assert_eq!(Watched::get_from_cache(&mut db, projects::slug, "k").unwrap().name, "k", "set by the hook");
        let get = || Watched::get_or_create().slug("g").defaults(|d| d.organization_id(1).name("g"));
        assert!(get().execute(&mut db).unwrap().1);
        assert_eq!(logged(), ["before Insert events=false", "Insert g 7 fields"]);
        assert!(!get().execute(&mut db).unwrap().1);
        assert_eq!(logged(), Vec::<String>::new(), "nothing was written");
        assert_eq!(Watched::update_where(projects::slug.eq("g")).name(" all ").execute(&mut db).unwrap(), 1);
        assert_eq!(logged(), ["before Update events=false"]);
        assert_eq!(Watched::get_from_cache(&mut db, projects::slug, "g").unwrap().name, "all");
    }

    fn a_hook_cannot_move_rows_that_are_not_in_hand(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        created!(&mut db, "pump");
        let moves = [
            Watched::update_where(projects::slug.eq("pump")).name("move").execute(&mut db).unwrap_err(),
            Watched::create_or_update().slug("pump").defaults(|d| d.name("move")).execute(&mut db).unwrap_err(),
        ];
        for error in moves {
            assert!(matches!(&error, Error::Query(text) if text.contains("primary key")), "{error}");
        }
        assert_eq!(Watched::get_from_cache(&mut db, projects::slug, "pump").unwrap().name, "pump");
    }

    fn a_refusal_sends_nothing(conn) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = created!(&mut db, "pump");
        statements.take();
        let refused = [
            p.update().slug("").execute(&mut db).unwrap_err(),
            Watched::create().organization_id(1).slug("").name("x").execute(&mut db).unwrap_err(),
            Watched::update_where(projects::id.gt(0)).slug("").execute(&mut db).unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(error, Error::Refused { model: "Watched", .. }), "{error}");
            assert!(error.to_string().contains("a slug has a letter at least"), "{error}");
        }
        p.slug = String::new();
        assert!(matches!(p.save(&mut db), Err(Error::Refused { .. })));
        assert!(p.has_changed(projects::slug));
        assert_eq!(statements.take(), Vec::<String>::new());
        let bounds = Watched::create().organization_id(99).slug("b").name("b").execute(&mut db).unwrap_err();
        assert!(matches!(bounds, Error::OutOfBounds(_)), "a hook keeps the bounds too: {bounds}");
    }

    fn hooks_follow_the_commit_and_not_the_rollback(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        logged();
        db.transaction(|db| {
            let mut p = created!(db, "outer");
            let inner = db.transaction(|db| {
                p.update().name("inner").execute(db)?;
                Err::<(), _>(Error::Query("rolled back".into()))
            });
            assert!(inner.is_err());
            db.transaction(|db| p.update().name("kept").execute(db))?;
            assert!(logged().iter().all(|line| line.starts_with("before")), "nothing is committed yet");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(logged(), ["Insert outer 7 fields", "Update kept name"]);
        let rolled_back = db.transaction(|db| {
            created!(db, "never");
            Err::<(), _>(Error::Query("rolled back".into()))
        });
        assert!(rolled_back.is_err());
        created!(&mut db, "later");
        assert!(!logged().iter().any(|line| line.contains("never")), "forgotten, not kept for the next commit");
    }

    fn a_hook_that_fails_or_panics_stops_no_other_and_fails_no_write(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        logged();
        db.transaction(|db| {
            for name in ["fails", "panics", "fine"] {
                created!(db, name);
            }
            Ok::<_, Error>(())
        })
        .unwrap();
        let after: Vec<_> = logged().into_iter().filter(|line| line.starts_with("Insert")).collect();
        assert_eq!(after, ["Insert fails 7 fields", "Insert panics 7 fields", "Insert fine 7 fields"]);
        assert_eq!(projects::table.count().get_result::<i64>(db.connection()).unwrap(), 3);
        let mut p = created!(&mut db, "alone");
        assert!(p.update().organization_id(2).name("panics").execute(&mut db).unwrap());
    }

    fn a_transaction_that_nobody_sees_the_end_of_runs_no_hook(conn) {
        let cache = Cache::memory();
        conn.transaction(|conn| {
            let mut db = Session::new(conn, &cache);
            created!(&mut db, "foreign");
            QueryResult::Ok(())
        })
        .unwrap();
        assert_eq!(logged(), ["before Insert events=false"]);
    }
}

#[tokio::test]
async fn the_async_session_runs_them_too() {
    use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
    let place = integration_tests::databases::postgres(integration_tests::models::SCHEMA);
    let (url, setup) = place.url_and_setup();
    assert_eq!(url, server("TEST_DATABASE_URL_POSTGRES"));
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute(&setup).await.unwrap();
    let cache = Cache::memory();
    let mut db = AsyncSession::new(&mut conn, &cache);
    db.transaction(async |db| {
        let create = Watched::create().organization_id(1).slug("async").name("async");
        let mut p = create.execute(db).await?;
        p.update().name("awaited").execute(db).await?;
        assert!(logged().iter().all(|line| line.starts_with("before")));
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    assert_eq!(logged(), ["Insert async 7 fields", "Update awaited name"]);
}
