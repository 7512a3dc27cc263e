//! A reserved key is named as such, so that nobody looks for the typo.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, name = "Machine")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
