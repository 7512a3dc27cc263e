//! A path is checked by the compiler; a text is not.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = "hosts")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
