//! Other fields are always there; they are read as they are.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    users (id) { id -> Integer, token -> Text, note -> Nullable<Text> }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
struct User {
    id: i32,
    token: String,
    note: Option<String>,
}

fn token(user: &Tracked<User>) -> Result<&String, Error> {
    user.loaded(users::token)
}

fn main() {}
