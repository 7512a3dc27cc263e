//! One text, every database and store.

/// Each function becomes one test per database: `conn` is a connection to a fresh schema, `place` opens more.
#[macro_export]
macro_rules! on_every_database {
    ($(fn $name:ident($conn:ident $(, $place:ident)?) $body:block)*) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::test_on!($crate::models::SCHEMA, sqlite, sqlite, ($conn $(, $place)?), $body);
            $crate::test_on!($crate::models::SCHEMA, postgres, postgres, ($conn $(, $place)?), $body);
            $crate::test_on!($crate::models::SCHEMA, mysql, mysql, ($conn $(, $place)?), $body);
        }
    )* };
}

/// The same for what plain Diesel can do with RETURNING only.
#[macro_export]
macro_rules! on_every_database_with_returning {
    ($(fn $name:ident($conn:ident $(, $place:ident)?) $body:block)*) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::test_on!($crate::models::SCHEMA, sqlite, sqlite, ($conn $(, $place)?), $body);
            $crate::test_on!($crate::models::SCHEMA, postgres, postgres, ($conn $(, $place)?), $body);
        }
    )* };
}

/// Each function becomes one test per database and store.
#[macro_export]
macro_rules! on_every_database_and_store {
    ($(fn $name:ident($conn:ident, $($rest:ident),+) $body:block)*) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::test_on!($crate::models::SCHEMA, sqlite_and_memory, sqlite, memory, ($conn, $($rest),+), $body);
            $crate::test_on!($crate::models::SCHEMA, sqlite_and_redis, sqlite, redis, ($conn, $($rest),+), $body);
            $crate::test_on!($crate::models::SCHEMA, postgres_and_memory, postgres, memory, ($conn, $($rest),+), $body);
            $crate::test_on!($crate::models::SCHEMA, postgres_and_redis, postgres, redis, ($conn, $($rest),+), $body);
            $crate::test_on!($crate::models::SCHEMA, mysql_and_memory, mysql, memory, ($conn, $($rest),+), $body);
            $crate::test_on!($crate::models::SCHEMA, mysql_and_redis, mysql, redis, ($conn, $($rest),+), $body);
        }
    )* };
}

/// One test: the place outlives its connections. On the schema named first.
#[doc(hidden)]
#[macro_export]
macro_rules! test_on {
    ($schema:path, $test:ident, $database:ident, ($conn:ident), $body:block) => {
        $crate::test_on!($schema, $test, $database, ($conn, _place), $body);
    };
    ($schema:path, $test:ident, $database:ident, ($conn:ident, $place:ident), $body:block) => {
        #[test]
        fn $test() {
            let held = $crate::databases::$database($schema);
            let $place = &held;
            let $conn = &mut held.connect();
            $body
        }
    };
    ($schema:path, $test:ident, $database:ident, $store:ident, ($conn:ident, $name:ident), $body:block) => {
        $crate::test_on!($schema, $test, $database, $store, ($conn, _place, $name), $body);
    };
    ($schema:path, $test:ident, $database:ident, $store:ident, ($conn:ident, $place:ident, $name:ident), $body:block) => {
        #[test]
        fn $test() {
            let held = $crate::databases::$database($schema);
            let $place = &held;
            let $conn = &mut held.connect();
            let $name = $crate::stores::$store();
            $body
        }
    };
}
