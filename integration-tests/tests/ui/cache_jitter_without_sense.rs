//! A share without a sign could be read as a time.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, jitter = "lots")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
