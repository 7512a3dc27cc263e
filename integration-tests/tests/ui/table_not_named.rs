//! Diesel would guess `hosts` from `Host`; a wrong guess is an error about something else.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
