//! The setter of a bounded field takes any integer, and nothing else.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().events("five");
}

fn main() {}
