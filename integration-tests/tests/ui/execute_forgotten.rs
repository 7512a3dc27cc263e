//! A builder that is dropped writes nothing, and says nothing.
#![deny(unused_must_use)]
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    p.update().slug("pump");
}

fn main() {}
