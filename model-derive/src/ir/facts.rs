//! What follows from the IR.
use super::{Bounds, Clock, Field, Key, Max, Min, Model, Start};
use syn::ext::IdentExt;

impl Model {
    /// The model's name in messages and in the cache.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// The fields of a key, in its order.
    pub(crate) fn of<'m>(&'m self, key: &'m Key) -> impl Iterator<Item = &'m Field> {
        key.parts.iter().map(|part| &self.fields[part.index])
    }
}

impl Field {
    /// The field's name as Rust code reads it, without `r#`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Whether a 0 in memory stands for a value that the database assigns.
    pub(crate) fn is_assigned_by_database(&self) -> bool {
        matches!(self.bounds, Some(Bounds { min: Min::Auto, .. }))
    }

    pub(crate) fn has_start(&self) -> bool {
        !matches!(self.start, Start::Database)
    }

    pub(crate) fn bit(&self) -> u64 {
        1 << self.index
    }
}

impl Min {
    /// The smallest value, where the macro knows it.
    pub(crate) fn known(&self) -> Option<i128> {
        match self {
            Self::OfType => None,
            Self::Positive => Some(0),
            Self::Auto => Some(1),
            Self::At(limit) => Some(limit.value),
        }
    }
}

impl Max {
    /// The largest value, where the macro knows it.
    pub(crate) fn known(&self) -> Option<i128> {
        match self {
            Self::OfType => None,
            Self::At(limit) => Some(limit.value),
        }
    }
}

impl Clock {
    /// The attribute that names the clock.
    pub(crate) fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::EveryWrite(_) => Some("#[auto_now]"),
            Self::Create(_) => Some("#[auto_now_add]"),
        }
    }
}

impl Key {
    /// Whether both go by the same fields, in whatever order: a cache key sorts them.
    pub(crate) fn same_fields(&self, other: &Self) -> bool {
        let sorted = |key: &Self| {
            let mut indexes: Vec<usize> = key.parts.iter().map(|part| part.index).collect();
            indexes.sort_unstable();
            indexes
        };
        sorted(self) == sorted(other)
    }

    /// Whether both go by the same fields in the same order.
    pub(crate) fn same_order(&self, other: &Self) -> bool {
        self.parts.iter().map(|part| part.index).eq(other.parts.iter().map(|part| part.index))
    }
}
