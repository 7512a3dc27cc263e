//! Which values are NULL, asked where the field's type is known: in generated code.

/// A value that may be an `Option`.
///
/// `(&Probe(&value)).is_null()` finds [`ProbeOption`] for an `Option` and, one reference further away,
/// [`ProbeAny`] for everything else.
#[derive(Debug)]
pub struct Probe<'v, T>(pub &'v T);

/// For an `Option`.
pub trait ProbeOption {
    /// Whether it is `None`.
    fn is_null(&self) -> bool;
}

impl<T> ProbeOption for Probe<'_, Option<T>> {
    fn is_null(&self) -> bool {
        self.0.is_none()
    }
}

/// For every other type.
pub trait ProbeAny {
    /// Never.
    fn is_null(&self) -> bool;
}

impl<T> ProbeAny for &Probe<'_, T> {
    fn is_null(&self) -> bool {
        false
    }
}
