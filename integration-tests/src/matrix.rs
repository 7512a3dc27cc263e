//! One text, every database and store.

/// Each function becomes one test per database: `conn` is a connection to a fresh schema, `place` opens more.
#[macro_export]
macro_rules! on_every_database {
    ($(fn $name:ident($conn:ident $(, $place:ident)?) $body:block)*) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::test_on!(sqlite, sqlite, ($conn $(, $place)?), $body);
            $crate::test_on!(postgres, postgres, ($conn $(, $place)?), $body);
            $crate::test_on!(mysql, mysql, ($conn $(, $place)?), $body);
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

            $crate::test_on!(sqlite, sqlite, ($conn $(, $place)?), $body);
            $crate::test_on!(postgres, postgres, ($conn $(, $place)?), $body);
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

            $crate::test_on!(sqlite_and_memory, sqlite, memory, ($conn, $($rest),+), $body);
            $crate::test_on!(sqlite_and_redis, sqlite, redis, ($conn, $($rest),+), $body);
            $crate::test_on!(postgres_and_memory, postgres, memory, ($conn, $($rest),+), $body);
            $crate::test_on!(postgres_and_redis, postgres, redis, ($conn, $($rest),+), $body);
            $crate::test_on!(mysql_and_memory, mysql, memory, ($conn, $($rest),+), $body);
            $crate::test_on!(mysql_and_redis, mysql, redis, ($conn, $($rest),+), $body);
        }
    )* };
}

/// One test: the place outlives its connections.
#[doc(hidden)]
#[macro_export]
macro_rules! test_on {
    ($test:ident, $database:ident, ($conn:ident), $body:block) => {
        $crate::test_on!($test, $database, ($conn, _place), $body);
    };
    ($test:ident, $database:ident, ($conn:ident, $place:ident), $body:block) => {
        #[test]
        fn $test() {
            let held = $crate::databases::$database($crate::models::SCHEMA);
            let $place = &held;
            let $conn = &mut held.connect();
            $body
        }
    };
    ($test:ident, $database:ident, $store:ident, ($conn:ident, $name:ident), $body:block) => {
        $crate::test_on!($test, $database, $store, ($conn, _place, $name), $body);
    };
    ($test:ident, $database:ident, $store:ident, ($conn:ident, $place:ident, $name:ident), $body:block) => {
        #[test]
        fn $test() {
            let held = $crate::databases::$database($crate::models::SCHEMA);
            let $place = &held;
            let $conn = &mut held.connect();
            let $name = $crate::stores::$store();
            $body
        }
    };
}
