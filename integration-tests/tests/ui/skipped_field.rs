//! `create()` writes the fields that were set; a second way to leave a field out would contradict it.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[diesel(skip_insertion)]
    name: String,
}

fn main() {}
