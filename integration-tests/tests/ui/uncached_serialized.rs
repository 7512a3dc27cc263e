//! A row that is sent as JSON does not take its secrets along unless somebody says so.
use model_runtime::prelude::*;

#[derive(serde::Serialize)]
struct User {
    id: i32,
    token: Uncached<String>,
}

fn main() {}
