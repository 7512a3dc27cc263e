//! An assignment to either would be lost to the other.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    name: String,
    #[diesel(column_name = name)]
    label: String,
}

fn main() {}
