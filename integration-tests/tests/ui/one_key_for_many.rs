//! Many lookups take many keys; one key is a list of one.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::get_many_from_cache(db, projects::id, 1);
}

fn main() {}
