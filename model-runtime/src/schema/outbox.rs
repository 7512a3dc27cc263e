//! Triggers that store the keys of rows which other programs write.
use super::catalog::{Catalog, Outbox};
use super::expected::{Column, Expected};
use super::migration::name;
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::model::ModelSql;
use crate::statement::Dialect;
use std::fmt::Write;

/// The triggers of `M`, one for each event that takes a key from the cache or gives it one.
pub(crate) fn triggers_sql<M, DB>(catalog: &Catalog) -> Result<String>
where
    M: ModelSql<DB>,
    DB: Dialect,
{
    let Some(spec) = M::cache() else {
        return Err(Error::Query(format!("{}: it is not cached, so that nothing need be told", M::NAME)));
    };
    let (expected, outbox) = (Expected::of::<M>(), &catalog.outbox);
    let columns =
        M::Pk::COLUMNS.iter().filter_map(|name| expected.columns.iter().find(|it| it.name == *name));
    let primary: Key = columns.map(|column| (column.field, column.name, None)).collect();
    let old = entry::<DB>(&expected, spec.name, primary.clone(), "OLD", outbox)?;
    let mut new = vec![entry::<DB>(&expected, spec.name, primary, "NEW", outbox)?];
    let mut events = vec![("DELETE", vec![old.clone()])];
    if spec.negative_ms > 0 {
        // Their absence may be known.
        for lookup in spec.lookups {
            let parts = lookup.names.iter().zip(lookup.columns).zip(lookup.functions);
            let key = parts.map(|((name, column), function)| (*name, *column, *function)).collect();
            new.push(entry::<DB>(&expected, spec.name, key, "NEW", outbox)?);
        }
        events.push(("INSERT", new.clone()));
    }
    events.push(("UPDATE", [vec![old], new].concat()));
    let table = DB::table_name(M::table)?;
    let mut out =
        format!("-- Tells the cache what other programs write to the rows of {}.\n", expected.model);
    for (event, entries) in events {
        let trigger = DB::identifier(&name(&table, &["cache", &event.to_lowercase()], "outbox"))?;
        let values: Vec<String> = entries.iter().map(|entry| format!("({entry})")).collect();
        let text = outbox.trigger.replace("{trigger}", &trigger).replace("{event}", event);
        let _ = writeln!(out, "{}", text.replace("{table}", &table).replace("{values}", &values.join(", ")));
    }
    Ok(out)
}

/// The parts of a key: the name in its text, the column, and the function of its normal form.
type Key = Vec<(&'static str, &'static str, Option<&'static str>)>;

/// The text of a key before it is hashed, as SQL: `'Project:id=' || CAST(NEW.id AS TEXT)`.
fn entry<DB: Dialect>(
    expected: &Expected,
    name: &str,
    mut key: Key,
    row: &str,
    outbox: &Outbox,
) -> Result<String> {
    key.sort_by_key(|(name, ..)| *name);
    let mut parts = Vec::with_capacity(key.len());
    for (field, column, function) in key {
        let column = expected.columns.iter().find(|known| known.name == column);
        let column =
            column.ok_or_else(|| Error::Query(format!("{}: a key without a column", expected.model)))?;
        parts.push((field, value::<DB>(expected, column, function, row, outbox)?));
    }
    let composite = parts.len() > 1;
    let mut texts = Vec::new();
    for (place, (field, value)) in parts.iter().enumerate() {
        let before = if place == 0 { format!("{name}:{field}=") } else { format!(":{field}=") };
        texts.push(format!("'{before}'"));
        texts.push(if composite { escaped(value) } else { value.clone() });
    }
    let (before, between, behind) = outbox.joined;
    // A lookup by NULL is not cached, and has no key.
    Ok(format!("COALESCE({before}{}{behind}, '{name}:=')", texts.join(between)))
}

/// As `cache/key.rs` escapes the parts of a key.
fn escaped(value: &str) -> String {
    format!("REPLACE(REPLACE(REPLACE({value}, '%', '%25'), ':', '%3A'), '=', '%3D')")
}

/// The text of a column's value.
fn value<DB: Dialect>(
    expected: &Expected,
    column: &Column,
    function: Option<&'static str>,
    row: &str,
    outbox: &Outbox,
) -> Result<String> {
    const SAME_TEXT: [&str; 5] = ["i16", "i32", "i64", "alloc::string::String", "uuid::Uuid"];
    let inner =
        column.rust_type.strip_prefix("core::option::Option<").and_then(|path| path.strip_suffix('>'));
    let rust_type = inner.unwrap_or(column.rust_type);
    if !SAME_TEXT.contains(&rust_type) || (rust_type == "uuid::Uuid" && !outbox.uuid_is_text) {
        return Err(Error::Query(format!(
            "{}.{}: the database has another text for it than its cache key; write the trigger by hand, or call \
             `invalidate`",
            expected.model, column.field
        )));
    }
    let identifier = DB::identifier(column.name)?;
    let text = format!("CAST({row}.{identifier} AS {})", outbox.text);
    Ok(match function {
        Some(function) => format!("{function}({text})"),
        None => text,
    })
}
