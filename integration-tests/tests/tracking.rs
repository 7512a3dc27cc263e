//! Promise: an instance knows what the database holds.
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use integration_tests::databases::Place as _;
use integration_tests::models::{Blob, Organization, Project, blobs, organizations, projects};
use integration_tests::{count, on_every_database, on_every_database_with_returning};
use model_runtime::prelude::*;
use std::cell::Cell;

fn unsaved() -> Project {
    Project {
        id: 0,
        organization_id: 1,
        slug: "pump".into(),
        name: "Pump".into(),
        events: 7,
        data: GzippedDict::new(),
        date_added: chrono::NaiveDateTime::default(),
        date_updated: chrono::NaiveDateTime::default(),
    }
}

thread_local! { static CLONES: Cell<u32> = const { Cell::new(0) }; }

/// A text that counts how often it is cloned.
#[derive(Debug, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
struct Counted(String);

impl Clone for Counted {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self(self.0.clone())
    }
}

impl<DB: Backend> FromSql<Text, DB> for Counted
where
    String: FromSql<Text, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        String::from_sql(bytes).map(Self)
    }
}

impl<DB: Backend> ToSql<Text, DB> for Counted
where
    String: ToSql<Text, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

/// Another model of the same table.
#[derive(Debug, Queryable, Selectable, SentryModel)]
#[diesel(table_name = organizations)]
struct Watched {
    #[allow(dead_code, reason = "the primary key")]
    id: i32,
    name: Counted,
}

on_every_database! {
    fn an_unsaved_instance_has_no_old_values_and_save_inserts_it(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Tracked::new(unsaved());
        p.name = "Pump 2".into();
        assert!(!p.has_changed(projects::name));
        assert_eq!(p.old_value(projects::name), None);
        assert!(matches!(p.update().name("x").execute(&mut db), Err(Error::Unsaved { model: "Project" })));
        assert!(matches!(p.delete(&mut db), Err(Error::Unsaved { model: "Project" })));
        p.save(&mut db).unwrap();
        assert_ne!(p.id, 0, "an automatic key that holds 0 is left to the database");
        assert!(!p.has_changed(projects::name));
        assert_eq!(p.old_value(projects::name).map(String::as_str), Some("Pump 2"));
        assert!(p.date_added > chrono::NaiveDateTime::default(), "filled by the clock");
    }

    fn save_writes_the_changed_columns_only(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        statements.take();
        p.save(&mut db).unwrap();
        assert_eq!(statements.take(), Vec::<String>::new(), "nothing changed, nothing sent");
        p.name = "Pump station".into();
        p.organization_id = 2;
        p.save(&mut db).unwrap();
        let sent = statements.take();
        // Without RETURNING: BEGIN, UPDATE, SELECT, COMMIT.
        assert_eq!(sent.len(), place.returning(1, 4), "{sent:?}");
        let set = sent[place.returning(0, 1)].split(" SET ").nth(1).unwrap().split(" WHERE ").next().unwrap();
        for column in ["name", "organization_id", "date_updated"] {
            assert!(set.contains(column), "{set}");
        }
        for column in ["slug", "events", "data", "date_added"] {
            assert!(!set.contains(column), "{set}");
        }
    }

    fn two_writers_in_different_columns_keep_both(conn, place) {
        let cache = Cache::memory();
        let mut other_conn = place.connect();
        let mut db = Session::new(conn, &cache);
        let mut other = Session::new(&mut other_conn, &cache);
        let mut mine = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let mut theirs = Project::get_from_cache(&mut other, projects::id, mine.id).unwrap();
        mine.name = "Pump station".into();
        theirs.organization_id = 2;
        theirs.save(&mut other).unwrap();
        mine.save(&mut db).unwrap();
        let stored = Project::get_from_cache(&mut db, projects::id, mine.id).unwrap();
        assert_eq!((stored.name.as_str(), stored.organization_id), ("Pump station", 2));
        assert_eq!(mine.organization_id, 2, "save takes the stored row");
    }

    fn many_rows_are_saved_or_none(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut rows: Vec<_> = ["a", "b", "c"]
            .map(|slug| Project::create().organization_id(1).slug(slug).name(slug).execute(&mut db).unwrap())
            .into();
        rows[0].name = "first".into();
        rows[1].events = 5;
        rows.push(Tracked::new(unsaved()));
        let before = cache.stats();
        assert_eq!(Project::save_many(&mut db, &mut rows).unwrap(), 3, "the row without edits is left out");
        assert_eq!(cache.stats().round_trips, before.round_trips + 2, "whatever the number of rows");
        assert_eq!(Project::save_many(&mut db, &mut rows).unwrap(), 0);
        assert_eq!(rows[3].old_value(projects::slug).map(String::as_str), Some("pump"));
        // The second row fails, and takes the first with it: inside a transaction as well.
        rows[0].name = "edited".into();
        rows[1].slug = "c".into();
        db.transaction(|db| {
            rows[2].update().events(9).execute(db)?;
            let taken = Project::save_many(db, rows.iter_mut().take(2)).unwrap_err();
            assert!(matches!(taken, Error::Database(_)), "{taken}");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(rows[0].old_value(projects::name).map(String::as_str), Some("first"));
        assert!(rows[0].has_changed(projects::name), "it is still to be saved");
        let stored = Project::get_from_cache(&mut db, projects::id, rows[0].id).unwrap();
        assert_eq!((stored.name.as_str(), rows[2].events), ("first", 9));
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "c").unwrap().events, 9);
    }

    fn the_baseline_is_reset_by_save_and_foreign_keys_are_fields(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        p.organization_id = 5;
        assert!(p.has_changed(projects::organization_id));
        assert_eq!(p.old_value(projects::organization_id), Some(&1));
        p.organization_id = 1;
        assert!(!p.has_changed(projects::organization_id), "the old value again is no change");
        p.organization_id = 6;
        p.save(&mut db).unwrap();
        assert!(!p.has_changed(projects::organization_id));
        assert_eq!(p.old_value(projects::organization_id), Some(&6));
    }

    fn changes_and_saved_changes_name_fields_and_values(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        assert!(p.changes().is_empty() && p.saved_changes().is_empty());
        p.name = "Pump station".into();
        assert_eq!(p.changes().fields().collect::<Vec<_>>(), ["name"]);
        assert_eq!(p.changes().of(projects::name), Some((&"Pump".to_owned(), &"Pump station".to_owned())));
        p.save(&mut db).unwrap();
        assert!(p.changes().is_empty());
        assert_eq!(p.saved_changes().fields().collect::<Vec<_>>(), ["name", "date_updated"]);
        p.slug = "edited".into();
        p.update().events(F(projects::events) + 4).execute(&mut db).unwrap();
        assert_eq!(p.saved_changes().of(projects::events), Some((&0, &4)), "as the database computed it");
        assert_eq!(p.saved_changes().of(projects::slug), None, "an edit that was not written");
        assert_eq!(format!("{:?}", p.changes()), "{\"slug\"}");
        p.reset();
        assert_eq!((p.slug.as_str(), p.events), ("pump", 4));
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            p.update().events(9).execute(db)?;
            assert_eq!(p.saved_changes().of(projects::events), Some((&4, &9)));
            Err(diesel::result::Error::RollbackTransaction.into())
        });
        assert!(rolled_back.is_err() && p.saved_changes().is_empty());
        assert_eq!(p.changes().of(projects::events), Some((&4, &9)));
        p.reset();
        assert!(p.changes().is_empty());
        assert_eq!(p.events, 4);
        let mut unsaved = Tracked::new(unsaved());
        unsaved.reset();
        assert!(unsaved.changes().is_empty());
        assert_eq!(unsaved.events, 7);
    }

    fn refresh_reads_past_the_cache(conn) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        diesel::update(projects::table).set(projects::name.eq("behind its back")).execute(db.connection()).unwrap();
        p.slug = "edited".into();
        statements.take();
        let trips = cache.stats().round_trips;
        p.refresh(&mut db).unwrap();
        assert_eq!((statements.take().len(), cache.stats().round_trips), (1, trips));
        assert_eq!((p.name.as_str(), p.slug.as_str()), ("behind its back", "pump"));
        assert!(p.changes().is_empty());
        p.clone().delete(&mut db).unwrap();
        p.slug = "edited".into();
        assert!(matches!(p.refresh(&mut db), Err(Error::DoesNotExist { .. })));
        assert_eq!(p.slug, "edited", "memory is as it was");
        assert!(matches!(Tracked::new(unsaved()).refresh(&mut db), Err(Error::Unsaved { .. })));
    }

    fn a_dict_changed_in_place_is_seen(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        p.data.insert("retries".into(), 3.into());
        assert!(p.has_changed(projects::data));
        p.save(&mut db).unwrap();
        let stored = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!(stored.data["retries"], 3);
    }

    fn plain_diesel_loads_tracked_rows(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let org = Organization::create().name("Water").execute(&mut db).unwrap();
        let p = Project::create().organization_id(org.id).slug("pump").name("Pump").execute(&mut db).unwrap();
        Project::create().organization_id(0).slug("lost").name("Lost").execute(&mut db).unwrap();
        let conn = db.connection();

        let rows: Vec<Tracked<Project>> =
            projects::table.order(projects::id).select(Tracked::<Project>::as_select()).load(conn).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], p);

        let joined: Vec<(Tracked<Project>, Tracked<Organization>)> = projects::table
            .inner_join(organizations::table)
            .select((Tracked::<Project>::as_select(), Tracked::<Organization>::as_select()))
            .load(conn)
            .unwrap();
        assert_eq!(joined.len(), 1);
        assert_eq!(joined[0].1.name, "Water");

        let left: Vec<(Tracked<Project>, Option<Tracked<Organization>>)> = projects::table
            .left_join(organizations::table)
            .order(projects::id)
            .select((Tracked::<Project>::as_select(), Option::<Tracked<Organization>>::as_select()))
            .load(conn)
            .unwrap();
        assert!(left[0].1.is_some() && left[1].1.is_none());
    }

    fn nothing_is_cloned_before_the_first_change(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for name in ["Water", "Power"] {
            Organization::create().name(name).execute(&mut db).unwrap();
        }
        let query = organizations::table.order(organizations::id).select(Tracked::<Watched>::as_select());
        let mut rows = query.load(db.connection()).unwrap();
        assert_eq!((rows[0].name.0.as_str(), rows[1].has_changed(organizations::name)), ("Water", false));
        assert_eq!(CLONES.take(), 0, "loading and reading");
        rows[0].name.0.push_str(" works");
        rows[0].name.0.push_str(" north");
        assert_eq!(CLONES.take(), 1, "the baseline, once");
        assert!(rows[0].has_changed(organizations::name) && !rows[1].has_changed(organizations::name));
        assert_eq!(rows[0].old_value(organizations::name).unwrap().0, "Water");
        assert_eq!(CLONES.take(), 0);
    }

    fn the_clock_fills_timestamps_to_the_microsecond(conn) {
        use std::time::{Duration, SystemTime};
        let cache = Cache::memory();
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        let mut db = Session::new(conn, &cache).with_clock(model_runtime::Clock::new(move || now));
        let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        assert_eq!(p.date_added.and_utc().timestamp_subsec_nanos(), 123_456_000);
        let stored = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!(stored.date_added, p.date_added);

        let given = chrono::NaiveDateTime::default();
        p.update().date_updated(given).execute(&mut db).unwrap();
        assert_eq!(p.date_updated, given, "a given value wins");
        p.update().name("x").execute(&mut db).unwrap();
        assert_eq!(p.date_updated, p.date_added, "else the clock's");
        assert_eq!(p.date_added.and_utc().timestamp(), 1_700_000_000, "only filled on create");
    }

    fn dicts_live_in_text_and_in_binary_columns(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let dict: GzippedDict = [("a".to_owned(), 1.into())].into_iter().collect();
        let b = Blob::create().packed(dict.clone()).text(dict.clone()).execute(&mut db).unwrap();
        assert_eq!((&b.packed, &b.text), (&dict, &dict));
        let cached = Blob::get_from_cache(&mut db, blobs::id, b.id).unwrap();
        let hit = Blob::get_from_cache(&mut db, blobs::id, b.id).unwrap();
        assert_eq!(cached, hit);
        assert_eq!(cache.stats().hits, 1);
        assert_eq!(hit.packed["a"], 1);
    }

    fn an_undecodable_dict_survives_a_save_of_other_columns(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let b = Blob::create().execute(&mut db).unwrap();
        diesel::update(blobs::table.find(b.id)).set(blobs::text.eq("%%%")).execute(db.connection()).unwrap();
        for _ in 0..2 {
            // Once from the database, once from the cache.
            let mut b = Blob::get_from_cache(&mut db, blobs::id, b.id).unwrap();
            assert!(b.text.is_undecodable() && b.text.is_empty());
            b.note = Some(format!("{:?}", b.note));
            b.save(&mut db).unwrap();
            Blob::get_from_cache(&mut db, blobs::id, b.id).unwrap();
        }
        let raw: String = blobs::table.select(blobs::text).first(db.connection()).unwrap();
        assert_eq!(raw, "%%%");
    }

    fn an_oversized_dict_is_refused_with_model_and_field(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let big = "x".repeat(GzippedDict::MAX_DECOMPRESSED);
        let dict: GzippedDict = [("a".to_owned(), big.into())].into_iter().collect();
        let error = Blob::create().text(dict).execute(&mut db).unwrap_err();
        assert!(matches!(&error, Error::InvalidValue { model: "Blob", field: "text", .. }), "{error:?}");
        assert!(error.to_string().contains("16777216"), "{error}");
        let rows: i64 = blobs::table.count().get_result(db.connection()).unwrap();
        assert_eq!(rows, 0, "nothing was written");
    }
}

on_every_database_with_returning! {
    fn plain_diesel_returns_tracked_rows(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let conn = db.connection();
        let mut returned: Tracked<Project> = diesel::update(projects::table.find(p.id))
            .set(projects::name.eq("Pump station"))
            .returning(Tracked::<Project>::as_returning())
            .get_result(conn)
            .unwrap();
        assert!(!returned.has_changed(projects::name));
        returned.name = "x".into();
        assert_eq!(returned.old_value(projects::name).map(String::as_str), Some("Pump station"));
    }
}

/// A row that is sent elsewhere.
#[derive(Debug, PartialEq, Queryable, Selectable, SentryModel, serde::Serialize, serde::Deserialize)]
#[diesel(table_name = organizations)]
struct Sent {
    id: i32,
    name: String,
}

#[test]
fn a_tracked_row_is_sent_without_its_baseline() {
    let text = r#"{"id":1,"name":"Water"}"#;
    let mut sent: Tracked<Sent> = serde_json::from_str(text).unwrap();
    assert!(!sent.has_changed(organizations::name));
    assert_eq!(serde_json::to_string(&sent).unwrap(), text);
    sent.name = "Power".into();
    assert_eq!(serde_json::to_string(&sent).unwrap(), r#"{"id":1,"name":"Power"}"#);
    assert_eq!(sent.old_value(organizations::name).map(String::as_str), Some("Water"));
}

#[test]
fn repr_shows_the_key_and_the_listed_fields() {
    assert_eq!(unsaved().repr(), r#"<Project: id=0, slug="pump">"#);
}
