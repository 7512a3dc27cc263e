//! The half of a model that depends on the backend.
use crate::ir::Model;
use proc_macro2::TokenStream;
use quote::quote;

// impl<__DB: __rt::Dialect> __rt::ModelSql<__DB> for Project
// where
//     i32: __rt::Storable<projects::id, __DB>,
//     …
// {
//     fn table(__out: __rt::AstPass<'_, '_, __DB>) -> __rt::QueryResult<()> {
//         __rt::QueryFragment::<__DB>::walk_ast(&projects::table, __out)
//     }
//     fn visit<'b>(__patch: &'b __Patch, __out: &mut __rt::Assignments<'b, __DB>) -> Result<(), __rt::Error> {
//         __out.given(&__patch.id);
//         …
//         __out.field(&__patch.id)?;
//         …
//         Ok(())
//     }
//     fn pk<'b>(&'b self, __out: &mut __rt::Assignments<'b, __DB>) {
//         __out.value::<projects::id, _>(0, &self.id);
//     }
//     fn read_key<'r, __R: __rt::Row<'r, __DB>>(__row: &__R) -> __rt::FromRow<<Self::Pk as __rt::KeyCols>::Key> {
//         Ok((<i32 as __rt::Storable<projects::id, __DB>>::read(__row, 0)?,))
//     }
//     fn read<'r, __R: __rt::Row<'r, __DB>>(__row: &__R) -> __rt::FromRow<Self> {
//         Ok(Self { id: __rt::read_field::<Self, projects::id, __DB, __R>(__row)?, … })
//     }
// }
//
// What is given is told first: an expression may read a column that stands behind its own.
pub(super) fn expand(model: &Model) -> TokenStream {
    let (ident, table) = (&model.ident, &model.table);
    let fields: Vec<_> = model.fields.iter().map(|field| &field.ident).collect();
    let types = model.fields.iter().map(|field| &field.ty);
    let columns: Vec<_> = model.fields.iter().map(|field| model.column(field)).collect();
    let key = model.of(&model.key).map(|field| {
        let (name, column, index) = (&field.ident, model.column(field), field.index);
        quote!(__rt::Assignments::value::<#column, _>(__out, #index, &self.#name);)
    });
    let read_key = model.of(&model.key).enumerate().map(|(at, field)| {
        let (ty, column) = (&field.ty, model.column(field));
        quote!(<#ty as __rt::Storable<#column, __DB>>::read(__row, #at)?)
    });
    quote! {
        #[automatically_derived]
        impl<__DB: __rt::Dialect> __rt::ModelSql<__DB> for #ident
        where
            #(#types: __rt::Storable<#columns, __DB>,)*
        {
            fn table(__out: __rt::AstPass<'_, '_, __DB>) -> __rt::QueryResult<()> {
                __rt::QueryFragment::<__DB>::walk_ast(&#table::table, __out)
            }
            fn visit<'b>(
                __patch: &'b __Patch,
                __out: &mut __rt::Assignments<'b, __DB>,
            ) -> ::core::result::Result<(), __rt::Error> {
                #(__rt::Assignments::given(__out, &__patch.#fields);)*
                #(__rt::Assignments::field(__out, &__patch.#fields)?;)*
                ::core::result::Result::Ok(())
            }
            fn pk<'b>(&'b self, __out: &mut __rt::Assignments<'b, __DB>) {
                #(#key)*
            }
            fn read_key<'r, __R: __rt::Row<'r, __DB>>(
                __row: &__R,
            ) -> __rt::FromRow<<Self::Pk as __rt::KeyCols>::Key> {
                ::core::result::Result::Ok((#(#read_key,)*))
            }
            fn read<'r, __R: __rt::Row<'r, __DB>>(__row: &__R) -> __rt::FromRow<Self> {
                ::core::result::Result::Ok(Self {
                    #(#fields: __rt::read_field::<Self, #columns, __DB, __R>(__row)?,)*
                })
            }
        }
    }
}
