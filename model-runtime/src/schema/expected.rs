//! What a model says about its table.
use crate::field::{FieldOf, KeyCols};
use crate::model::SentryModel;
use diesel::expression::Expression;
use std::any::type_name;

/// Whoever wants to know each field of a model.
pub trait Describe {
    /// One field; they come in the order of the struct.
    fn field<M: SentryModel, C: FieldOf<M>>(&mut self);
}

/// A model's table as the model has it.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) model: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: &'static [&'static str],
    pub(crate) lookups: Vec<Lookup>,
}

/// A field and its column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) field: &'static str,
    pub(crate) name: &'static str,
    /// Diesel's name of the SQL type, such as `Integer`.
    pub(crate) sql_type: &'static str,
    pub(crate) nullable: bool,
    /// The path of the field's type.
    pub(crate) rust_type: &'static str,
    /// The range of `#[bounded]`.
    pub(crate) bounds: Option<(i128, i128)>,
}

/// A cached lookup, which must be unique: its columns, each with the function of its normal form.
#[derive(Debug)]
pub(crate) struct Lookup(pub(crate) Vec<(&'static str, Option<&'static str>)>);

impl Expected {
    pub(crate) fn of<M: SentryModel>() -> Self {
        let mut columns = Columns(Vec::new());
        M::describe(&mut columns);
        let lookups = M::cache().map_or(&[][..], |spec| spec.lookups);
        let lookup = |columns: &[&'static str], functions: &[Option<&'static str>]| {
            Lookup(columns.iter().copied().zip(functions.iter().copied()).collect())
        };
        Self {
            model: M::NAME,
            columns: columns.0,
            primary_key: M::Pk::COLUMNS,
            lookups: lookups.iter().map(|spec| lookup(spec.columns, spec.functions)).collect(),
        }
    }

    pub(crate) fn is_primary_key(&self, column: &str) -> bool {
        self.primary_key == [column]
    }
}

struct Columns(Vec<Column>);

impl Describe for Columns {
    fn field<M: SentryModel, C: FieldOf<M>>(&mut self) {
        let (sql_type, nullable) = named(type_name::<<C as Expression>::SqlType>());
        let rust_type = type_name::<C::Value>();
        self.0.push(Column {
            field: C::FIELD,
            name: C::NAME,
            sql_type,
            nullable,
            rust_type,
            bounds: C::BOUNDS,
        });
    }
}

/// `Integer`, and whether it may be NULL, of `diesel::sql_types::Nullable<diesel::sql_types::Integer>`.
fn named(path: &'static str) -> (&'static str, bool) {
    let inner = path.split_once("Nullable<").and_then(|(_, inner)| inner.strip_suffix('>'));
    let path = inner.unwrap_or(path);
    (path.rsplit("::").next().unwrap_or(path), inner.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::sql_types::{BigInt, Nullable, Text};

    #[test]
    fn sql_types_have_the_names_that_diesel_gives_them() {
        assert_eq!(named(type_name::<Text>()), ("Text", false));
        assert_eq!(named(type_name::<Nullable<BigInt>>()), ("BigInt", true));
    }
}
