//! A function in Rust alone would look for other rows than the database finds.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

fn canon(name: &str) -> String {
    name.trim().to_owned()
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name(normalize = canon))]
struct Host {
    id: i32,
    name: String,
}

fn main() {
    canon("a");
}
