//! A cached row is stored as bytes, field by field.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Clone, PartialEq)]
struct Name(String);

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields()]
struct Host {
    id: i32,
    name: Name,
}

fn main() {}
