//! A typo in a normal form is named, with the forms there are.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name(iexcat))]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
