//! A field is one column: it has one handle, one setter, one bit in the set of changed fields.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

struct Place {
    name: String,
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[diesel(embed)]
    place: Place,
}

fn main() {}
