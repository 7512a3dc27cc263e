//! Two rows with a bound and a unique name, cached, and what each test asks in the end.
use diesel::prelude::*;
use integration_tests::databases::Schema;
use model_runtime::prelude::*;
use model_runtime::{HookError, Hooks, PositiveInteger, Saved};
use std::cell::Cell;

diesel::table! { cells (id) { id -> Integer, grp -> Integer, name -> Text, n -> Integer, hits -> Integer } }
diesel::table! { marks (id) { id -> Integer } }
diesel::allow_tables_to_appear_in_same_query!(cells, marks);

pub(super) const CELLS: Schema = Schema(&[
    "CREATE TABLE cells (id INTEGER PRIMARY KEY, grp INTEGER NOT NULL DEFAULT 7, name {key} NOT NULL UNIQUE,
        n INTEGER NOT NULL DEFAULT 0, hits INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE marks (id INTEGER PRIMARY KEY)",
    "INSERT INTO cells (id, name, n) VALUES (1, 'one', 5), (2, 'two', 0)",
]);

/// A row with a bound and a value that may be unreadable.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = cells)]
#[cache_fields(name)]
#[sentry(hooks)]
pub(super) struct Cell_ {
    pub(super) id: i32,
    pub(super) grp: i32,
    pub(super) name: String,
    #[bounded(min = 0, max = 10)]
    pub(super) n: i32,
    pub(super) hits: PositiveInteger,
}

thread_local! { pub(super) static COMMITTED: Cell<u32> = const { Cell::new(0) }; }

impl Hooks for Cell_ {
    fn after_commit(_: &Saved<'_, Self>) -> Result<(), HookError> {
        COMMITTED.set(COMMITTED.get() + 1);
        Ok(())
    }
}

/// Reads the rows until they are cached, and compares them with the stored ones.
macro_rules! assert_coherent {
    ($db:ident) => {{
        let stored: Vec<(i32, i32, String)> = cells::table
            .select((cells::id, cells::n, cells::name))
            .order(cells::id)
            .load($db.connection())
            .unwrap();
        let ids: Vec<i32> = stored.iter().map(|row| row.0).collect();
        let cached = Cell_::get_many_from_cache(&mut $db, cells::id, ids).unwrap();
        let cached: Vec<_> = cached.into_iter().flatten().map(|it| (it.id, it.n, it.name.clone())).collect();
        assert_eq!(cached, stored);
    }};
}

macro_rules! cached_cells {
    ($conn:expr, $cache:ident, $db:ident) => {
        let $cache = Cache::memory();
        let mut $db = Session::new($conn, &$cache);
        for _ in 0..2 {
            Cell_::get_many_from_cache(&mut $db, cells::id, [1, 2]).unwrap();
        }
    };
}

macro_rules! on_cells {
    ($($(#[$attribute:meta])* fn $name:ident($conn:ident $(, $place:ident)?) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(CELLS, sqlite, sqlite, ($conn $(, $place)?), $body);
            test_on!(CELLS, postgres, postgres, ($conn $(, $place)?), $body);
            test_on!(CELLS, mysql, mysql, ($conn $(, $place)?), $body);
        }
    )* };
}
