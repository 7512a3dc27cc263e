//! Fields are matched with columns by their names.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host(i32, String);

fn main() {}
