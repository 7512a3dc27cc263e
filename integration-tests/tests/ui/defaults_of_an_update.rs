//! `defaults` is what an upsert writes; an update writes what its setters are given.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().defaults(|d| d.slug("pump"));
}

fn main() {}
