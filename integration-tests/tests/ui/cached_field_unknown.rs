//! A lookup by a field that is not there could never be called.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(nmae)]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
