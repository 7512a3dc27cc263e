//! Each part of a composite key has the type of its field.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::get_from_cache(db, (projects::organization_id, projects::name), (1, 2));
}

fn main() {}
