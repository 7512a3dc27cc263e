//! Each callback of the user's panics, on every database and store; the session is used on.
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Integer;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;
use model_runtime::{HookError, Hooks, Pending, Saved};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

diesel::table! {
    mines (id) {
        id -> Integer,
        code -> Text,
        v -> Integer,
    }
}

const SCHEMA: Schema =
    Schema(&["CREATE TABLE mines (id {pk}, code {key} NOT NULL UNIQUE, v INTEGER NOT NULL DEFAULT 0)"]);

/// Where the next call panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callback {
    BeforeWrite,
    AfterCommit,
    Bind,
    Read,
    Encode,
    Decode,
    Compare,
    Closure,
}

impl Callback {
    const ALL: [Self; 8] = [
        Self::BeforeWrite,
        Self::AfterCommit,
        Self::Bind,
        Self::Read,
        Self::Encode,
        Self::Decode,
        Self::Compare,
        Self::Closure,
    ];
}

// Each test has a thread of its own; sync sessions run their callbacks on it.
thread_local! { static ARMED: Cell<Option<(Callback, u32)>> = const { Cell::new(None) }; }

/// Panics at this callback, once it was passed as often as was said.
fn pass(callback: Callback) {
    match ARMED.get() {
        Some((armed, 0)) if armed == callback => {
            ARMED.set(None);
            panic!("{callback:?} panics");
        }
        Some((armed, left)) if armed == callback => ARMED.set(Some((armed, left - 1))),
        _ => {}
    }
}

/// A number whose every conversion may panic.
#[derive(Debug, Clone, Copy, AsExpression, FromSqlRow)]
#[diesel(sql_type = Integer)]
struct Mine(i32);

impl PartialEq for Mine {
    fn eq(&self, other: &Self) -> bool {
        pass(Callback::Compare);
        self.0 == other.0
    }
}

impl<DB: Backend> ToSql<Integer, DB> for Mine
where
    i32: ToSql<Integer, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        pass(Callback::Bind);
        self.0.to_sql(out)
    }
}

impl<DB: Backend> FromSql<Integer, DB> for Mine
where
    i32: FromSql<Integer, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        pass(Callback::Read);
        i32::from_sql(bytes).map(Self)
    }
}

impl Serialize for Mine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pass(Callback::Encode);
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pass(Callback::Decode);
        i32::deserialize(deserializer).map(Self)
    }
}

/// A row of such a number.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = mines)]
#[cache_fields(code, negative = "1m")]
#[sentry(hooks)]
struct Field {
    #[bounded(auto)]
    id: i32,
    code: String,
    v: Mine,
}

impl Hooks for Field {
    fn before_write(_: &mut Pending<'_, Self>) -> Result<(), HookError> {
        pass(Callback::BeforeWrite);
        Ok(())
    }

    fn after_commit(_: &Saved<'_, Self>) -> Result<(), HookError> {
        pass(Callback::AfterCommit);
        Ok(())
    }
}

const CALLS: u32 = 11;

macro_rules! calls {
    ($db:expr, $row:expr, $call:expr, $name:expr) => {{
        let (db, row, name): (_, &mut Tracked<Field>, &str) = ($db, $row, $name);
        let new = || Field::create().code(format!("{name}-new")).v(Mine(1));
        let id = row.id;
        match $call {
            0 => row.update().v(Mine(1)).execute(db).map(drop),
            1 => {
                row.v = Mine(1);
                row.save(db)
            }
            2 => {
                row.v = Mine(1);
                let mut other = Tracked::new(Field { id: 0, code: format!("{name}-new"), v: Mine(1) });
                Field::save_many(db, [row, &mut other]).map(drop)
            }
            3 => Field::update_where(mines::id.eq(id)).v(Mine(1)).execute(db).map(drop),
            4 => Field::create_or_update().code(name).defaults(|d| d.v(Mine(1))).execute(db).map(drop),
            5 => Field::create_or_update()
                .code(format!("{name}-new"))
                .defaults(|d| d.v(Mine(1)))
                .execute(db)
                .map(drop),
            6 => Field::get_or_create()
                .code(format!("{name}-new"))
                .defaults(|d| d.v(Mine(1)))
                .execute(db)
                .map(drop),
            7 => new().execute(db).map(drop),
            8 => Field::create_many(db, [new(), Field::create().code(format!("{name}-newer")).v(Mine(1))])
                .map(drop),
            9 => db.transaction(|db| {
                row.update().v(Mine(1)).execute(db)?;
                pass(Callback::Closure);
                new().execute(db).map(drop)
            }),
            _ => Field::get_from_cache(db, mines::id, id).map(drop),
        }
    }};
}

/// Each callback panics in each call, the first time it runs and later ones.
macro_rules! panics {
    ($conn:ident, $place:ident, $store:ident) => {{
        let cache = Cache::builder().store($store).build().unwrap();
        let _ = &$conn;
        let mut asked = $place.connect();
        for (callback, call) in
            Callback::ALL.into_iter().flat_map(|it| (0..CALLS).map(move |call| (it, call)))
        {
            for passing in 0.. {
                let name = format!("{callback:?}-{call}-{passing}");
                let mut conn = $place.connect();
                let mut row = Field::create()
                    .code(&name)
                    .v(Mine(0))
                    .execute(&mut Session::new(&mut asked, &cache))
                    .unwrap();
                for _ in 0..2 {
                    Field::get_from_cache(&mut Session::new(&mut asked, &cache), mines::id, row.id).unwrap();
                    Field::get_from_cache(&mut Session::new(&mut asked, &cache), mines::code, &name).unwrap();
                }
                let id = row.id;
                let mut db = Session::new(&mut conn, &cache);
                ARMED.set(Some((callback, passing)));
                let done = catch_unwind(AssertUnwindSafe(|| calls!(&mut db, &mut row, call, &name)));
                // A hook after the commit is caught by the session.
                let passed = ARMED.take().is_none();
                let later = [format!("{name}-alone"), format!("{name}-together")];
                let create = |db: &mut Session<'_, _>, at: usize| {
                    Field::create().code(&later[at]).v(Mine(1)).execute(db)
                };
                let alone = create(&mut db, 0);
                let together = db.transaction(|db| create(db, 1));
                if matches!(callback, Callback::BeforeWrite) {
                    // No statement was under way, so that all could be rolled back.
                    assert!(alone.is_ok() && together.is_ok(), "{name}: {alone:?}, {together:?}");
                }
                drop(db);
                drop(conn);
                for (code, created) in later.iter().zip([alone, together]) {
                    let stored: i64 =
                        mines::table.filter(mines::code.eq(code)).count().get_result(&mut asked).unwrap();
                    match created {
                        Ok(_) => assert_eq!(stored, 1, "{name}: {code} was answered `Ok` and is lost"),
                        Err(error) => {
                            assert!(matches!(error, Error::BrokenConnection), "{name}: {error:?}");
                            assert_eq!(stored, 0, "{name}: {code} was refused and is stored");
                        }
                    }
                }
                let v: Option<i32> =
                    mines::table.find(id).select(mines::v).first(&mut asked).optional().unwrap();
                let v = v.unwrap();
                let cached =
                    Field::get_from_cache(&mut Session::new(&mut asked, &cache), mines::id, id).unwrap();
                assert_eq!(cached.v.0, v, "{name}: the cache has another row than the database");
                let new: i64 = mines::table
                    .filter(mines::code.eq(format!("{name}-new")))
                    .count()
                    .get_result(&mut asked)
                    .unwrap();
                let found = Field::get_from_cache(
                    &mut Session::new(&mut asked, &cache),
                    mines::code,
                    format!("{name}-new"),
                );
                assert_eq!(found.optional().unwrap().is_some(), new == 1, "{name}");
                if let Some(stored) = row.old_value(mines::v) {
                    assert!(
                        stored.0 == v || stored.0 == 0,
                        "{name}: memory has {stored:?}, the database {v}"
                    );
                }
                match done {
                    // What panics inside a transaction is rolled back as a whole.
                    Err(_) if matches!(call, 2 | 8 | 9) => {
                        assert_eq!(new == 1, call != 8 && v == 1, "{name}")
                    }
                    Err(_) => {}
                    Ok(done) => assert!(done.is_ok(), "{name}: {done:?}"),
                }
                if !passed {
                    break;
                }
            }
        }
    }};
}

test_on!(SCHEMA, sqlite_and_memory, sqlite, memory, (conn, place, store), {
    panics!(conn, place, store);
});
test_on!(SCHEMA, sqlite_and_redis, sqlite, redis, (conn, place, store), {
    panics!(conn, place, store);
});
test_on!(SCHEMA, postgres_and_memory, postgres, memory, (conn, place, store), {
    panics!(conn, place, store);
});
test_on!(SCHEMA, postgres_and_redis, postgres, redis, (conn, place, store), {
    panics!(conn, place, store);
});
test_on!(SCHEMA, mysql_and_memory, mysql, memory, (conn, place, store), {
    panics!(conn, place, store);
});
test_on!(SCHEMA, mysql_and_redis, mysql, redis, (conn, place, store), {
    panics!(conn, place, store);
});
