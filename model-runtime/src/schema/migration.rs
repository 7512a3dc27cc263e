//! The SQL that adds what a table may lack.
use super::catalog::Catalog;
use super::compare::check_needed;
use super::expected::{Column, Expected, Lookup};
use crate::error::Result;
use crate::model::ModelSql;
use crate::statement::Dialect;
use std::fmt::Write;

/// The longest name that every database takes.
const LONGEST_NAME: usize = 63;

/// The unique indexes and CHECKs of `M`, one statement a line.
pub(crate) fn migration_sql<M, DB>(catalog: &Catalog) -> Result<String>
where
    M: ModelSql<DB>,
    DB: Dialect,
{
    let expected = Expected::of::<M>();
    let table = DB::table_name(M::table)?;
    let mut out = format!("-- What the model {} needs of its table.\n", expected.model);
    for lookup in &expected.lookups {
        let _ = writeln!(out, "{}", unique_index::<DB>(&table, lookup)?);
    }
    for column in expected.columns.iter().filter(|column| !expected.is_primary_key(column.name)) {
        if check_needed(column, catalog).is_some() {
            let _ = writeln!(out, "{}", check::<DB>(&table, column, catalog)?);
        }
    }
    Ok(out)
}

fn unique_index<DB: Dialect>(table: &str, lookup: &Lookup) -> Result<String> {
    let parts = lookup.0.iter().map(|(column, function)| {
        let column = DB::identifier(column)?;
        Ok(match function {
            Some(function) => format!("{function}({column})"),
            None => column,
        })
    });
    let parts = parts.collect::<Result<Vec<_>>>()?.join(", ");
    let words = lookup.0.iter().flat_map(|(column, function)| [Some(*column), *function]).flatten();
    let words: Vec<String> = words.map(|word| word.to_lowercase().replace('.', "_")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let index = DB::identifier(&name(table, &words, "key"))?;
    Ok(format!("CREATE UNIQUE INDEX {index} ON {table} ({parts});"))
}

fn check<DB: Dialect>(table: &str, column: &Column, catalog: &Catalog) -> Result<String> {
    let (min, max) = column.bounds.unwrap_or_default();
    let quoted = DB::identifier(column.name)?;
    if catalog.adds_checks {
        let constraint = DB::identifier(&name(table, &[column.name], "check"))?;
        return Ok(format!(
            "ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({quoted} BETWEEN {min} AND {max});"
        ));
    }
    // No CHECK can be added to the table, and a pair of triggers does the same.
    let mut out =
        format!("-- As CHECK ({quoted} BETWEEN {min} AND {max}), which belongs into a CREATE TABLE:");
    for event in ["INSERT", "UPDATE"] {
        let trigger =
            DB::identifier(&name(table, &[column.name], &format!("check_{}", event.to_lowercase())))?;
        let _ = write!(
            out,
            "\nCREATE TRIGGER {trigger} BEFORE {event} ON {table} WHEN NOT (NEW.{quoted} BETWEEN {min} AND {max}) BEGIN \
             SELECT RAISE(ABORT, 'CHECK constraint failed: {} is outside {min}..={max}'); END;",
            column.name.replace('\'', "''")
        );
    }
    Ok(out)
}

/// `projects_slug_key`, cut where it is too long.
pub(super) fn name(table: &str, words: &[&str], suffix: &str) -> String {
    let table: String =
        table.chars().map(|c| if c == '.' { '_' } else { c }).filter(|c| !matches!(c, '"' | '`')).collect();
    let mut name = format!("{table}_{}", words.join("_"));
    let mut longest = LONGEST_NAME - suffix.len() - 1;
    while !name.is_char_boundary(longest.min(name.len())) {
        longest -= 1;
    }
    name.truncate(longest);
    format!("{name}_{suffix}")
}
