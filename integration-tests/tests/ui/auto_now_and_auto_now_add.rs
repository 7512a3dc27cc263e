//! `auto_now` sets the field on create too, so the second attribute would do nothing.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, seen -> Timestamp }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[auto_now]
    #[auto_now_add]
    seen: chrono::NaiveDateTime,
}

fn main() {}
