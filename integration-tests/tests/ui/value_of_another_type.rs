//! A setter takes a value of its field.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().slug(5);
}

fn main() {}
