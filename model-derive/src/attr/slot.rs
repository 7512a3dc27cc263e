//! A value that may be given once.
use crate::ctxt::Ctxt;
use proc_macro2::Span;

/// Reports the second value at its own key.
pub(super) struct Slot<T> {
    duplicate: String,
    value: Option<T>,
}

impl<T> Slot<T> {
    /// Named by its key.
    pub(super) fn new(key: &str) -> Self {
        Self::among(&format!("duplicate `{key}`; keep one"))
    }

    /// Set by one of several keys, which `duplicate` names.
    pub(super) fn among(duplicate: &str) -> Self {
        Self { duplicate: duplicate.into(), value: None }
    }

    pub(super) fn set(&mut self, cx: &Ctxt, key: Span, value: T) {
        if self.value.is_some() {
            cx.error(key, &self.duplicate);
        } else {
            self.value = Some(value);
        }
    }

    pub(super) fn take(self) -> Option<T> {
        self.value
    }
}
