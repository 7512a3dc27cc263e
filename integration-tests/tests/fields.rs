//! Promise: every field type keeps its range, in values, in expressions and in the cache.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;

diesel::table! {
    meters (id) {
        id -> Integer,
        hits -> Integer,
        bytes -> BigInt,
        hash -> Integer,
        spare -> Nullable<Integer>,
        notes -> Nullable<Text>,
    }
}

/// Unsigned integers in signed columns, and a dict that may be absent.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = meters)]
#[cache_fields(hash)]
struct Meter {
    #[bounded(auto)]
    id: i32,
    #[bounded]
    hits: PositiveInteger,
    bytes: PositiveBigInteger,
    hash: WrappingU32,
    #[bounded(max = 10)]
    spare: Option<PositiveInteger>,
    notes: Option<GzippedDict>,
}

const METERS: Schema = Schema(&["CREATE TABLE meters (
    id {pk}, hits INTEGER NOT NULL DEFAULT 0, bytes BIGINT NOT NULL DEFAULT 0, hash INTEGER NOT NULL DEFAULT 0,
    spare INTEGER, notes TEXT)"]);

macro_rules! on_every_database {
    ($(fn $name:ident($conn:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(METERS, sqlite, sqlite, ($conn), $body);
            test_on!(METERS, postgres, postgres, ($conn), $body);
            test_on!(METERS, mysql, mysql, ($conn), $body);
        }
    )* };
}

on_every_database! {
    fn unsigned_integers_keep_their_range(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut m = Meter::create().hits(3).bytes(PositiveBigInteger::MAX).execute(&mut db).unwrap();
        assert_eq!((m.hits.get(), m.bytes.get()), (3, i64::MAX.unsigned_abs()));
        assert!(m.update().hits(F(meters::hits) - 2).spare(10_u64).execute(&mut db).unwrap());
        assert_eq!((m.hits.get(), m.spare.map(PositiveInteger::get)), (1, Some(10)));
        for refused in [
            m.update().hits(-1).execute(&mut db),
            m.update().hits(u32::MAX).execute(&mut db),
            m.update().hits(F(meters::hits) - 2).execute(&mut db),
            m.update().hits(F(meters::hits) + i32::MAX).execute(&mut db),
            m.update().bytes(F(meters::bytes) + 1).execute(&mut db),
            m.update().bytes(F(meters::bytes) * -1).execute(&mut db),
            m.update().spare(11).execute(&mut db),
        ] {
            assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
        }
        let stored = Meter::get_from_cache(&mut db, meters::id, m.id).unwrap();
        assert_eq!(stored, m, "nothing was written");
        assert_eq!(Meter::get_from_cache(&mut db, meters::id, m.id).unwrap(), m, "from the cache");
        m.hits = 9_u32.try_into().unwrap();
        m.save(&mut db).unwrap();
        assert_eq!(Meter::create().hits(F(meters::hits) + 2).execute(&mut db).unwrap().hits.get(), 2);
    }

    fn what_a_column_holds_against_its_field_is_named(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let m = Meter::create().execute(&mut db).unwrap();
        diesel::update(meters::table).set(meters::hits.eq(meters::hits - 5)).execute(db.connection()).unwrap();
        let error = Meter::get_from_cache(&mut db, meters::id, m.id).unwrap_err();
        assert!(matches!(error, Error::InvalidValue { model: "Meter", field: "hits", .. }), "{error:?}");
        assert!(error.to_string().contains("-5 is outside 0..=2147483647"), "{error}");
    }

    fn any_u32_is_stored_and_found(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for hash in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let m = Meter::create().hash(WrappingU32::new(hash)).execute(&mut db).unwrap();
            assert_eq!(m.hash.get(), hash);
            for _ in 0..3 {
                assert_eq!(Meter::get_from_cache(&mut db, meters::hash, WrappingU32::new(hash)).unwrap(), m);
            }
            let raw: i32 = meters::table.find(m.id).select(meters::hash).first(db.connection()).unwrap();
            assert_eq!(raw, hash.cast_signed());
        }
    }

    fn a_dict_may_be_null(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut m = Meter::create().execute(&mut db).unwrap();
        assert_eq!(m.notes, None);
        m.notes = Some([("a".to_owned(), 1.into())].into_iter().collect());
        m.save(&mut db).unwrap();
        for _ in 0..2 {
            assert_eq!(Meter::get_from_cache(&mut db, meters::id, m.id).unwrap().notes.as_ref().unwrap()["a"], 1);
        }
        m.notes = None;
        m.save(&mut db).unwrap();
        assert_eq!(Meter::get_from_cache(&mut db, meters::id, m.id).unwrap().notes, None);
        let raw: Option<String> = meters::table.select(meters::notes).first(db.connection()).unwrap();
        assert_eq!(raw, None);
    }
}

mod times {
    use super::*;
    use model_runtime::Clock;
    use std::time::{Duration, SystemTime};
    use time::{OffsetDateTime, PrimitiveDateTime};

    diesel::table! {
        visits (id) { id -> Integer, place -> Text, first -> Timestamp, last -> Timestamp }
    }

    /// Timestamps of the crate time.
    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = visits)]
    #[cache_fields(first)]
    struct Visit {
        #[bounded(auto)]
        id: i32,
        place: String,
        #[auto_now_add]
        first: PrimitiveDateTime,
        #[auto_now]
        last: PrimitiveDateTime,
    }

    const VISITS: Schema = Schema(&["CREATE TABLE visits (
        id {pk}, place {key} NOT NULL, first {timestamp} NOT NULL UNIQUE, last {timestamp} NOT NULL)"]);

    macro_rules! story {
        ($conn:ident) => {{
            let cache = Cache::memory();
            let clock = Clock::new(|| SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789));
            let mut db = Session::new($conn, &cache).with_clock(clock);
            let mut v = Visit::create().place("here").execute(&mut db).unwrap();
            assert_eq!(v.first.nanosecond(), 123_456_000, "to the microsecond");
            assert_eq!(
                v.first.assume_utc(),
                OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_000).unwrap()
            );
            for _ in 0..3 {
                assert_eq!(Visit::get_from_cache(&mut db, visits::first, v.first).unwrap(), v);
            }
            assert!(cache.stats().hits >= 1);
            let early = PrimitiveDateTime::MIN.replace_year(1999).unwrap();
            assert!(v.update().last(early).execute(&mut db).unwrap());
            assert_eq!(v.last, early, "a given value wins");
            v.place = "there".into();
            v.save(&mut db).unwrap();
            assert_eq!(v.last, v.first, "else the clock's");
        }};
    }

    mod the_clock_fills_timestamps_of_the_crate_time {
        use super::*;

        test_on!(VISITS, sqlite, sqlite, (conn), { story!(conn) });
        test_on!(VISITS, postgres, postgres, (conn), { story!(conn) });
        test_on!(VISITS, mysql, mysql, (conn), { story!(conn) });
    }
}
