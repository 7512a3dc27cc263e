//! There is one setter per field.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().slgu("pump");
}

fn main() {}
