//! Which fields are uncached, asked where the field's type is known: in generated code.
use super::Uncached;
use crate::cache::key::KeyText;
use crate::field::null::{Probe, ProbeOption};

/// A reference to a field.
///
/// `FieldProbe(&row.field).unloaded(0)` finds the inherent method of an [`Uncached`], and the one of [`ProbeField`] for
/// everything else.
#[derive(Debug)]
pub struct FieldProbe<R>(pub R);

impl<'f, T> FieldProbe<&'f Uncached<T>> {
    /// The bit of the field where it is not loaded.
    #[must_use]
    pub fn unloaded(self, index: usize) -> u64 {
        u64::from(!self.0.is_loaded()) << index
    }

    /// Refused: see [`InRepr`].
    #[must_use]
    pub fn shown(self) -> &'f Uncached<T>
    where
        Uncached<T>: InRepr,
    {
        self.0
    }
}

impl<T> FieldProbe<&mut Uncached<T>> {
    /// Forgets the value where the field's bit is set.
    pub fn unload(self, mask: u64, index: usize) {
        if mask >> index & 1 == 1 {
            *self.0 = Uncached::not_loaded();
        }
    }
}

impl<T> FieldProbe<&Option<Uncached<T>>> {
    /// Refused: see [`InOption`].
    #[must_use]
    pub fn unloaded(self, _index: usize) -> u64
    where
        Uncached<T>: InOption,
    {
        0
    }
}

/// For every other field.
pub trait ProbeField: Sized {
    /// The reference.
    type Field;

    /// None: the value is always there.
    fn unloaded(self, _index: usize) -> u64 {
        0
    }

    /// Nothing: the value stays.
    fn unload(self, _mask: u64, _index: usize) {}

    /// The field, which may be printed.
    fn shown(self) -> Self::Field;
}

impl<R> ProbeField for FieldProbe<R> {
    type Field = R;

    fn shown(self) -> R {
        self.0
    }
}

impl<T> ProbeOption for Probe<'_, Uncached<Option<T>>> {
    fn is_null(&self) -> bool {
        matches!(self.0.get(), Some(None))
    }
}

/// A type that may be printed by `repr()`; no [`Uncached`] is one.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot be part of `repr()`",
    label = "must not be printed",
    note = "`repr()` goes to logs and into errors; remove the field from `#[sane_repr]`, or use another type where it is the primary key"
)]
pub trait InRepr {}

/// A type that may stand inside an `Option`; no [`Uncached`] is one: nothing would ever forget it.
#[diagnostic::on_unimplemented(
    message = "a nullable column that is kept out of the cache is an `Uncached<Option<…>>`",
    label = "the `Option` is around `{Self}`",
    note = "write the `Option` inside: whether there is a value is kept out of the cache as well"
)]
pub trait InOption {}

/// A type that may be part of a cache key; no [`Uncached`] is one.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot be part of a cache key",
    label = "is kept out of the cache",
    note = "its value, hashed, would be the name of an entry; look the row up by another field, or with plain Diesel"
)]
pub trait InKeys {}

/// Only so that the error says why not.
impl<T> KeyText for Uncached<T>
where
    Self: InKeys,
{
    fn write_key(&self, _out: &mut String) {}
}
