//! Lookups that do not tell some spellings of a text apart.
use super::FieldOf;
use super::key::{Col, KeyPart, PartValue};
use crate::model::SentryModel;
use std::marker::PhantomData;

/// The column `C` as a part of a key of `M`, compared in the normal form `N`.
#[derive(Debug)]
pub struct Normal<M, C, N>(Col<M, C>, PhantomData<fn() -> N>);

/// A normal form: a Rust function, and the SQL function that it mirrors.
pub trait Normalize<V>: 'static {
    /// What a cache key calls a value in this form: another name than the field's, because a key in another form is
    /// another key.
    const NAME: &'static str;
    /// The SQL function.
    const FUNCTION: &'static str;

    /// The value in this form.
    fn normal(value: V) -> V;
}

impl<M, C, N> KeyPart for Normal<M, C, N>
where
    M: SentryModel,
    C: FieldOf<M>,
    N: Normalize<C::Value>,
{
    type Model = M;
    type Column = C;
    const NAME: &'static str = N::NAME;
    const FUNCTION: Option<&'static str> = Some(N::FUNCTION);

    fn normal(value: PartValue<Self>) -> PartValue<Self> {
        N::normal(value)
    }
}

/// A text that has a normal form: `String` or `Option<String>`.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` has no normal form to be looked up by",
    label = "expected `String` or `Option<String>`",
    note = "list the field alone in `#[cache_fields(..)]`"
)]
pub trait NormalText {
    /// The text in the form that `normal` gives.
    #[must_use]
    fn normalized(self, normal: impl Fn(&str) -> String) -> Self;
}

impl NormalText for String {
    fn normalized(self, normal: impl Fn(&str) -> String) -> Self {
        normal(&self)
    }
}

impl NormalText for Option<String> {
    fn normalized(self, normal: impl Fn(&str) -> String) -> Self {
        self.map(|text| normal(&text))
    }
}

/// The form of `iexact`: the letters A to Z as a to z. `LOWER` tells no more spellings apart, and in some databases fewer;
/// in Turkish locales alone the small letter of I is another one than i, and a lookup by it finds no capital.
#[must_use]
pub fn iexact(text: &str) -> String {
    text.to_ascii_lowercase()
}
