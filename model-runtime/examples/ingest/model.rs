//! The one model of the example.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    groups (id) {
        id -> Integer,
        path -> Text,
        times_seen -> Integer,
        lines_added -> BigInt,
        lines_removed -> BigInt,
        first_seen -> BigInt,
        last_seen -> BigInt,
        last_event -> Text,
    }
}

/// All changes of one path.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = groups)]
#[cache_fields(path, ttl = "5m")]
#[sane_repr(path)]
pub struct Group {
    #[bounded(auto)]
    pub id: i32,
    pub path: String,
    #[bounded(positive)]
    pub times_seen: i32,
    #[bounded(positive)]
    pub lines_added: i64,
    #[bounded(positive)]
    pub lines_removed: i64,
    pub first_seen: i64,
    pub last_seen: i64,
    pub last_event: GzippedDict,
}
