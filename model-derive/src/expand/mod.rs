//! The generated code: one file per surface, in the order in which they stand in the expansion.
//!
//! The comments above the generators show what they make of the contract's `Project`. In them
//! `Option`, `Some`, `Ok`, `Clone`, `u64`, … stand for their paths below `::core`, which the code spells out:
//! the user's scope may have other things under those names. Every local begins with `__` for the same
//! reason: a column handle in scope, which is a unit struct, would turn a plain binding into a pattern.
mod bounds;
mod builder;
mod codec;
mod docs;
mod fallback;
mod fills;
mod handles;
mod lookups;
mod normal;
mod patch;
mod paths;
mod row;
mod sql;
mod tracking;

use crate::ir::Model;
use proc_macro2::TokenStream;
use quote::quote;

// #[doc(hidden)]
// #[allow(unused_qualifications)]
// const _: () = {
//     use ::model_runtime::__private as __rt;
//     …
// };
//
// The path of the table is the user's, who may name it from the crate's root where a shorter path would do.
pub(crate) fn model(model: &Model) -> TokenStream {
    let surfaces = [
        patch::expand(model),
        builder::expand(model),
        handles::expand(model),
        normal::expand(model),
        lookups::expand(model),
        row::expand(model),
        sql::expand(model),
        bounds::asserts(model),
    ];
    block(model, &surfaces)
}

/// What stands beside the errors of a model that has some.
pub(crate) fn fallback(model: &Model) -> TokenStream {
    let surfaces = [
        patch::expand(model),
        builder::expand(model),
        handles::expand(model),
        normal::expand(model),
        lookups::expand(model),
        fallback::expand(model),
    ];
    block(model, &surfaces)
}

fn block(model: &Model, surfaces: &[TokenStream]) -> TokenStream {
    let runtime = &model.runtime;
    quote! {
        #[doc(hidden)]
        #[allow(unused_qualifications)]
        const _: () = {
            use #runtime::__private as __rt;
            #(#surfaces)*
        };
    }
}
