//! Without `#[cache_fields]` there is no cache to ask.
use integration_tests::models::{Organization, organizations};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Organization::get_from_cache(db, organizations::id, 1);
}

fn main() {}
