//! The pipeline: read, lower, check, one gate, expand.
use crate::ctxt::Ctxt;
use crate::lower::lower;
use crate::{attr, check, expand};
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{DeriveInput, Error};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let cx = Ctxt::new();
    let syntax = attr::read(&cx, input);
    let model = syntax.and_then(|syntax| lower(&cx, syntax));
    if let Some(model) = &model {
        check::check(&cx, model);
    }

    let errors = cx.finish();
    match model {
        Some(model) if errors.is_empty() => expand::model(&model),
        // The stubs keep the user's own lines free of errors that would only repeat these.
        model => {
            let stubs = model.as_ref().map(expand::fallback);
            let errors = errors.iter().map(Error::to_compile_error);
            errors.chain(stubs.map(ToTokens::into_token_stream)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::{format_ident, quote};
    use syn::parse_quote;

    /// How many errors there are, and the whole output.
    fn run(input: &DeriveInput) -> (usize, String) {
        let output = derive(input).to_string();
        (output.matches("compile_error").count(), output)
    }

    #[test]
    fn one_compile_shows_every_mistake() {
        let (errors, output) = run(&parse_quote! {
            #[diesel(table_name = hosts)]
            #[cache_fields(nmae, ttl = "0s")]
            #[sane_repr(zone)]
            struct Host {
                #[bounded(aut)]
                id: i32,
                #[default]
                name: String,
            }
        });
        assert_eq!(errors, 5, "{output}");
    }

    #[test]
    fn stubs_stand_beside_the_errors() {
        let (errors, output) = run(&parse_quote! {
            #[diesel(table_name = hosts)]
            #[cache_fields(nmae)]
            struct Host { id: i32, name: String }
        });
        assert_eq!(errors, 1, "{output}");
        assert!(output.contains("unreachable"));
        // The lookup that was meant, so that its calls compile.
        assert!(output.contains("CacheKey < Host > for hosts :: name"), "{output}");
    }

    #[test]
    fn a_model_without_mistakes_has_no_stub() {
        let (errors, output) = run(&parse_quote! {
            #[diesel(table_name = hosts)]
            struct Host { id: i32 }
        });
        assert_eq!(errors, 0, "{output}");
        assert!(!output.contains("unreachable"));
    }

    /// The code between the last pair of fences of `docs/guide/expansion.md`, which shows this expansion.
    #[test]
    fn the_documented_expansion_is_the_real_one() {
        const DOCUMENT: &str = include_str!("../../docs/guide/expansion.md");
        const FENCE: &str = "```rust,ignore\n";
        let output = derive(&parse_quote! {
            #[derive(SentryModel)]
            #[diesel(table_name = hosts)]
            #[cache_fields(name)]
            struct Host {
                #[bounded(auto)]
                id: i32,
                name: String,
                #[bounded(positive)]
                #[default(1)]
                weight: i32,
            }
        });
        let code = prettyplease::unparse(&syn::parse2(output).unwrap());
        let (before, _) = DOCUMENT.rsplit_once(FENCE).unwrap();
        let document = format!("{before}{FENCE}{code}```\n");
        if std::env::var_os("UPDATE_EXPANSION").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/expansion.md");
            std::fs::write(path, document).unwrap();
        } else {
            assert!(document == DOCUMENT, "run this test with UPDATE_EXPANSION=1, and read what changed");
        }
    }

    // Diesel's tables have 32 columns unless its features say otherwise, so no ui test can show this one.
    #[test]
    fn a_mask_has_room_for_64_fields() {
        let fields = (0..65).map(|i| format_ident!("f{i}")).map(|name| quote!(#name: i32,));
        let (errors, output) = run(&parse_quote! {
            #[diesel(table_name = hosts)]
            struct Host { id: i32, #(#fields)* }
        });
        assert_eq!(errors, 1);
        assert!(output.contains("a model has at most 64 fields, this one has 66"), "{output}");
    }
}
