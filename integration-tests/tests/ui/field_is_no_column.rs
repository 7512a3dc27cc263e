//! Every SELECT lists the fields; the database would refuse the statement at run time.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    nmae: String,
}

fn main() {}
