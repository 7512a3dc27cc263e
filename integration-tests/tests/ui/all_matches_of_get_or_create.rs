//! It returns one row.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn main() {
    let _ = Project::get_or_create().slug("pump").all_matches();
}
