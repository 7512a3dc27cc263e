//! Promise: a dict is stored compressed, has the type that its model names, and loses nothing that it cannot read.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;
use serde_json::Value;

diesel::table! {
    profiles (id) {
        id -> Integer,
        settings -> Text,
        packed -> Binary,
        maybe -> Nullable<Text>,
        data -> Text,
    }
}

/// A dict of known shape.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Settings {
    retries: u32,
    hosts: Vec<String>,
    ratio: f64,
}

/// Dicts of every type and in every kind of column.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = profiles)]
#[cache_fields()]
struct Profile {
    #[bounded(auto)]
    id: i32,
    settings: GzippedDict<Settings>,
    packed: GzippedDict<Vec<u32>>,
    maybe: Option<GzippedDict<Settings>>,
    data: GzippedDict,
}

const PROFILES: Schema = Schema(&["CREATE TABLE profiles (
        id {pk}, settings TEXT NOT NULL, packed {binary} NOT NULL, maybe TEXT, data TEXT NOT NULL)"]);

macro_rules! on_every_database {
    ($(fn $name:ident($conn:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(PROFILES, sqlite, sqlite, ($conn), $body);
            test_on!(PROFILES, postgres, postgres, ($conn), $body);
            test_on!(PROFILES, mysql, mysql, ($conn), $body);
        }
    )* };
}

fn vectors(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../data/gzipped_dict.json")).unwrap();
    all[of].as_array().unwrap().clone()
}

/// Puts stored forms into the text column `data`, as the origin wrote them.
macro_rules! insert_stored {
    ($conn:expr, $vectors:expr) => {
        for (id, vector) in (1..).zip($vectors) {
            diesel::insert_into(profiles::table)
                .values((
                    profiles::id.eq(id),
                    profiles::settings.eq(""),
                    profiles::packed.eq(Vec::<u8>::new()),
                    profiles::data.eq(vector["stored"].as_str().unwrap()),
                ))
                .execute($conn)
                .unwrap();
        }
    };
}

on_every_database! {
    fn a_dict_has_the_type_of_its_field(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let settings = Settings { retries: 3, hosts: vec!["a".into()], ratio: 0.1 + 0.2 };
        let mut p = Profile::create()
            .settings(GzippedDict::from(settings.clone()))
            .packed(GzippedDict::from(vec![1, 2]))
            .data(GzippedDict::new())
            .execute(&mut db)
            .unwrap();
        assert_eq!((p.settings.value(), p.packed.as_slice(), p.maybe.is_none()), (&settings, &[1, 2][..], true));
        p.settings.hosts.push("b".into());
        p.packed.push(3);
        p.maybe = Some(GzippedDict::default());
        assert_eq!(p.changes().fields().collect::<Vec<_>>(), ["settings", "packed", "maybe"]);
        p.save(&mut db).unwrap();
        for _ in 0..2 {
            let read = Profile::get_from_cache(&mut db, profiles::id, p.id).unwrap();
            assert_eq!(read, p);
            assert_eq!(read.settings.hosts, ["a", "b"]);
        }
        assert_eq!(cache.stats().hits, 1);
        // Of another shape than the type: kept as it is, until it is replaced.
        diesel::update(profiles::table).set(profiles::settings.eq("eJyLNtQxigUAA9UBSA==")).execute(db.connection()).unwrap();
        let mut p = profiles::table.select(Tracked::<Profile>::as_select()).first(db.connection()).unwrap();
        assert!(p.settings.is_undecodable());
        assert_eq!(*p.settings, Settings::default());
        p.packed.push(4);
        p.save(&mut db).unwrap();
        let stored: String = profiles::table.select(profiles::settings).first(db.connection()).unwrap();
        assert_eq!(stored, "eJyLNtQxigUAA9UBSA==");
    }

    fn what_the_origin_pickled_is_read_beside_json(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let legacy = [vectors("legacy_pickle"), vectors("constructors")].concat();
        insert_stored!(db.connection(), &legacy);
        for (id, vector) in (1..).zip(&legacy) {
            for _ in 0..2 {
                let p = Profile::get_from_cache(&mut db, profiles::id, id).unwrap();
                assert_eq!(Value::Object(p.data.value().clone()), vector["value"], "{vector}");
            }
        }
        let mut p = Profile::get_from_cache(&mut db, profiles::id, 1).unwrap();
        p.data.insert("new".into(), 1.into());
        p.save(&mut db).unwrap();
        assert_eq!(Profile::get_from_cache(&mut db, profiles::id, 1).unwrap().data["new"], 1, "written as JSON");
    }

    fn a_hostile_pickle_runs_nothing_and_is_kept(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let undecodable = vectors("undecodable");
        insert_stored!(db.connection(), &undecodable);
        for (id, vector) in (1..).zip(&undecodable) {
            let mut p = Profile::get_from_cache(&mut db, profiles::id, id).unwrap();
            assert!(p.data.is_undecodable() && p.data.is_empty(), "{vector}");
            p.packed.push(1);
            p.save(&mut db).unwrap();
            let stored: String =
                profiles::table.find(id).select(profiles::data).first(db.connection()).unwrap();
            assert_eq!(stored, vector["stored"].as_str().unwrap());
        }
    }
}
