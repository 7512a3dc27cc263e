//! One order is declared, so that the values cannot be swapped by mistake.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::get_from_cache(db, (projects::name, projects::organization_id), ("Pump", 1));
}

fn main() {}
