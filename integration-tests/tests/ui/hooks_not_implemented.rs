//! An attribute that promises hooks, and no hooks.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[sentry(hooks)]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
