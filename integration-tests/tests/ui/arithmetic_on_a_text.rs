//! `+` of a text means something else on every database.
use integration_tests::models::projects;
use model_runtime::prelude::*;

fn main() {
    let _ = F(projects::name) + 1;
}
