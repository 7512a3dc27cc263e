//! What a user sees when a model, or a call on one, is wrong; and what must compile all the same.
//!
//! Each file of `ui` has one mistake, and says why it is one. `TRYBUILD=overwrite` rewrites the `.stderr` files:
//! read them as a stranger would.
#[test]
fn a_mistake_is_explained_where_it_was_made() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

#[test]
fn generated_code_compiles_wherever_a_struct_does() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
