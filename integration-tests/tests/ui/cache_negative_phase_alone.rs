//! A phase of something that is not there: the time was forgotten, or a rest was left.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, negative_phase = "write-only")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
