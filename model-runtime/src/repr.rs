//! `repr()`: a row in one line for logs, without its secrets.
use crate::model::SentryModel;
use std::fmt::{Debug, Write};

/// Collects the fields of `#[sane_repr(…)]`.
#[derive(Debug)]
pub struct Repr<'o> {
    out: &'o mut String,
    separator: &'static str,
}

impl Repr<'_> {
    /// Adds `name=value`.
    pub fn field(&mut self, name: &str, value: &dyn Debug) {
        // Writing to a `String` does not fail.
        let _ = write!(self.out, "{}{name}={value:?}", self.separator);
        self.separator = ", ";
    }

    pub(crate) fn of<M: SentryModel>(row: &M) -> String {
        let mut out = format!("<{}", M::NAME);
        row.repr_fields(&mut Repr { out: &mut out, separator: ": " });
        out.push('>');
        out
    }
}
