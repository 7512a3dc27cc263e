//! A key that is ignored would look like one that works.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, tll = "5m")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
