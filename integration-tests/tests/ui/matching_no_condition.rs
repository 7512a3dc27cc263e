//! The predicate is a condition on the model's own table.
use diesel::prelude::*;
use integration_tests::models::{Project, organizations};
use model_runtime::prelude::*;

fn main() {
    let _ = Project::get_or_create().slug("pump").matching(organizations::id.eq(1));
}
