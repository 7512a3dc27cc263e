//! An error about a bound shows the value that it refused.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    users (id) { id -> Integer, pin -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
struct User {
    id: i32,
    #[bounded]
    pin: Uncached<i32>,
}

fn main() {}
