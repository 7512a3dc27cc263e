//! A copy that ends at once is none.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, near = "0s")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
