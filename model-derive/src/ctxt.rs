//! Collects the mistakes of one derive call, so that one compile shows all of them.
use proc_macro2::Span;
use std::cell::RefCell;
use std::fmt::Display;
use std::thread;
use syn::Error;

/// Every reader and every rule reports here and carries on.
pub(crate) struct Ctxt {
    // `None` once `finish` took them.
    errors: RefCell<Option<Vec<Error>>>,
}

impl Ctxt {
    pub(crate) fn new() -> Self {
        Self { errors: RefCell::new(Some(Vec::new())) }
    }

    /// Reports a mistake: a fact, and after a semicolon its remedy.
    pub(crate) fn error(&self, span: Span, message: impl Display) {
        self.syn_error(Error::new(span, message));
    }

    pub(crate) fn syn_error(&self, error: Error) {
        if let Some(errors) = self.errors.borrow_mut().as_mut() {
            errors.push(error);
        }
    }

    /// What was reported; nothing may be generated as if all were well before this is asked.
    pub(crate) fn finish(self) -> Vec<Error> {
        self.errors.borrow_mut().take().unwrap_or_default()
    }
}

impl Drop for Ctxt {
    fn drop(&mut self) {
        let finished = self.errors.borrow().is_none();
        // A panic in the macro is the better message; a second one would abort the compiler.
        assert!(finished || thread::panicking(), "the errors of a derive call were not looked at");
    }
}
