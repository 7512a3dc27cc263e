//! A value is bound, compared and cached as the field's own type.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[diesel(serialize_as = String)]
    name: String,
}

fn main() {}
