//! An enum has no columns.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
enum Host {
    Up,
    Down,
}

fn main() {}
