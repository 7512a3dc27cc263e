//! The wording of all generated documentation.
use crate::ir::{Bounds, Clock, Field, Max, Min, Model};
use syn::ext::IdentExt;

pub(super) const EXECUTE: &str = "\
Runs the operation on a session: a `Session` returns a `Result`, an `AsyncSession` a future of one.

The SQL statements and the cache's round trips are those of the method that began the chain: `create`, `update`, \
`create_or_update` or `get_or_create`.";

pub(super) const SET_SQL: &str = "\
Sets a column to an expression of plain Diesel over this table, such as `lower(projects::name)`: for what `F` cannot \
say. For `update()` and `update_where(…)`.

It wins over a setter of the same field; an integer column keeps its bounds, by a guard. The statement is prepared for \
this call alone. Sends nothing by itself.";

pub(super) const DEFAULTS: &str = "\
What to write beside the lookup: `create_or_update` writes it to the rows that match and to an inserted one, \
`get_or_create` to an inserted one.

Called again, it replaces what was given before. Sends nothing by itself.";

pub(super) const ON_INSERT: &str = "\
What to write only where a row is inserted, such as the time it was first seen; wins over `defaults` there.

Called again, it replaces what was given before. Sends nothing by itself.";

pub(super) const MATCHING: &str = "\
Narrows the lookup to the rows that meet a predicate of plain Diesel as well, such as that of a partial unique index: \
`projects::deleted_at.is_null()`. For `create_or_update()` and `get_or_create()`.

An inserted row must meet it too. Sends nothing by itself.";

pub(super) const ALL_MATCHES: &str = "\
Lets `create_or_update()` update every row that matches its lookup; without it several rows are an error, and nothing \
is written.

Sends nothing by itself.";

pub(super) fn builder(model: &Model) -> String {
    format!("A pending operation on `{}`: set fields, then `execute`.", model.name())
}

pub(super) fn setter(field: &Field) -> String {
    let (name, column) = (field.name(), field.column.unraw().to_string());
    let column = if name == column { String::new() } else { format!(", stored in the column `{column}`,") };
    let what = format!("Sets `{name}`{column} to a value or to an `F` expression. Sends nothing by itself.");
    let notes = [field.bounds.as_ref().map(range), left_out(field)];
    notes.into_iter().flatten().fold(what, |doc, note| format!("{doc}\n\n{note}"))
}

fn range(bounds: &Bounds) -> String {
    let min = match &bounds.min {
        Min::OfType => "the smallest value of its type".into(),
        Min::Positive => "0".into(),
        Min::Auto => "1".into(),
        Min::At(limit) => limit.value.to_string(),
    };
    let max = match &bounds.max {
        Max::OfType => "the largest value of its type".into(),
        Max::At(limit) => limit.value.to_string(),
    };
    format!(
        "Takes an integer of any width. A value, or the result of an expression, outside of {min} to {max} is \
         refused by `execute` with `OutOfBounds`, and nothing is written."
    )
}

/// What the field has where the setter is not called.
fn left_out(field: &Field) -> Option<String> {
    let note = match field.clock {
        Clock::EveryWrite(_) => "Left out, every write sets it to the session's time.",
        Clock::Create(_) => "Left out, an insert sets it to the session's time.",
        Clock::Never if field.has_start() => "Left out, an insert takes the field's `#[default]`.",
        Clock::Never if field.is_assigned_by_database() => "Left out, the database assigns it on insert.",
        Clock::Never => return None,
    };
    Some(note.into())
}
