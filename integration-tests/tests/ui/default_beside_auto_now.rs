//! The clock sets the field, so the default would never be seen.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, seen -> Timestamp }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[auto_now_add]
    #[default(chrono::NaiveDateTime::MIN)]
    seen: chrono::NaiveDateTime,
}

fn main() {}
