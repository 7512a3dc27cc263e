//! Triggers that store the keys of rows which other programs write.
use super::catalog::{Catalog, Outbox};
use super::expected::{Column, Expected};
use super::migration::name;
use crate::cache::codec::CacheSpec;
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::model::ModelSql;
use crate::statement::Dialect;
use std::collections::BTreeSet;
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
    let outbox = &catalog.outbox;
    let keys = Keys { expected: Expected::of::<M>(), name: spec.name, outbox };
    let old = keys.entries::<DB>(&keys.primary(), "OLD")?;
    let mut new = keys.entries::<DB>(&keys.primary(), "NEW")?;
    let mut events = vec![("DELETE", old.clone())];
    if spec.negative_ms > 0 {
        // Their absence may be known.
        for lookup in spec.lookups {
            let parts = lookup.names.iter().zip(lookup.columns).zip(lookup.functions);
            let key: Key = parts.map(|((name, column), function)| (*name, *column, *function)).collect();
            new.extend(keys.entries::<DB>(&key, "NEW")?);
        }
        events.push(("INSERT", new.clone()));
    }
    events.push(("UPDATE", [old, new].concat()));
    let table = DB::table_name(M::table)?;
    let mut out = format!("-- Tells the cache what other programs write to the rows of {}.\n", M::NAME);
    for (event, entries) in events {
        let trigger = DB::identifier(&name(&table, &["cache", &event.to_lowercase()], "outbox"))?;
        let values: Vec<String> = entries.iter().map(|entry| format!("({entry})")).collect();
        let text = outbox.trigger.replace("{trigger}", &trigger).replace("{event}", event);
        let _ = writeln!(out, "{}", text.replace("{table}", &table).replace("{values}", &values.join(", ")));
    }
    if let Some(text) = outbox.replaced {
        for event in ["INSERT", "UPDATE"] {
            let trigger = name(&table, &["cache", "before", &event.to_lowercase()], "outbox");
            let text = text.replace("{trigger}", &DB::identifier(&trigger)?).replace("{table}", &table);
            let (event, selects) = replaced::<M, DB>(spec, &keys, &table, event)?;
            let _ = writeln!(out, "{}", text.replace("{event}", &event).replace("{selects}", &selects));
        }
    }
    Ok(out)
}

/// What a row is called whose place another one takes.
const REPLACED: &str = "__replaced";

/// The event, and SELECTs of the keys of the rows whose place the new row takes: those with its primary key, or one of
/// its lookups.
fn replaced<M, DB>(spec: &CacheSpec<M>, keys: &Keys<'_>, table: &str, event: &str) -> Result<(String, String)>
where
    M: ModelSql<DB>,
    DB: Dialect,
{
    let entries = keys.entries::<DB>(&keys.primary(), REPLACED)?;
    let primary = (M::Pk::COLUMNS, M::Pk::FUNCTIONS);
    let lookups = spec.lookups.iter().map(|lookup| (lookup.columns, lookup.functions));
    let (mut columns, mut selects) = (BTreeSet::new(), Vec::new());
    for (names, functions) in std::iter::once(primary).chain(lookups) {
        let is_new = equal::<DB>(names, functions, "NEW")?;
        for entry in &entries {
            selects.push(format!("SELECT {entry} FROM {table} AS {REPLACED} WHERE {is_new}"));
        }
        for name in names {
            columns.insert(DB::identifier(name)?);
        }
    }
    if event != "UPDATE" {
        return Ok((event.to_owned(), selects.join(" UNION ")));
    }
    // A row does not take its own place, and without another key it takes none.
    let is_old = equal::<DB>(M::Pk::COLUMNS, M::Pk::FUNCTIONS, "OLD")?;
    let selects: Vec<_> = selects.into_iter().map(|select| format!("{select} AND NOT ({is_old})")).collect();
    let columns: Vec<_> = columns.into_iter().collect();
    Ok((format!("{event} OF {}", columns.join(", ")), selects.join(" UNION ")))
}

/// That the row which is replaced has the values of the row `row` in these columns.
fn equal<DB: Dialect>(columns: &[&str], functions: &[Option<&str>], row: &str) -> Result<String> {
    let mut parts = Vec::with_capacity(columns.len());
    for (column, function) in columns.iter().zip(functions) {
        let column = DB::identifier(column)?;
        parts.push(match function {
            Some(function) => format!("{function}({REPLACED}.{column}) = {function}({row}.{column})"),
            None => format!("{REPLACED}.{column} = {row}.{column}"),
        });
    }
    Ok(parts.join(" AND "))
}

/// The parts of a key: the name in its text, the column, and the function of its normal form.
type Key = Vec<(&'static str, &'static str, Option<&'static str>)>;

/// The keys of a model's rows, as SQL.
struct Keys<'c> {
    expected: Expected,
    /// What the keys are named after.
    name: &'static str,
    outbox: &'c Outbox,
}

impl Keys<'_> {
    fn primary(&self) -> Key {
        let columns = self.expected.primary_key.iter();
        let columns = columns.filter_map(|name| self.expected.columns.iter().find(|it| it.name == *name));
        columns.map(|column| (column.field, column.name, None)).collect()
    }

    /// The texts of a key before they are hashed, as SQL: `'Project:id=' || CAST(NEW.id AS TEXT)`. One as the row is read,
    /// and another as it is found, where that may differ.
    fn entries<DB: Dialect>(&self, key: &Key, row: &str) -> Result<Vec<String>> {
        let mut entries = vec![self.entry::<DB>(key, row, self.outbox.written)?];
        if let Some(compared) = self.outbox.compared {
            let other = self.entry::<DB>(key, row, compared)?;
            entries.extend(self.has_text(key).then_some(other));
        }
        Ok(entries)
    }

    fn has_text(&self, key: &Key) -> bool {
        let is_text = |column: &Column| column.name_of_type() == "alloc::string::String";
        self.expected.columns.iter().any(|it| key.iter().any(|(_, name, _)| *name == it.name) && is_text(it))
    }

    fn entry<DB: Dialect>(&self, key: &Key, row: &str, written: &str) -> Result<String> {
        let mut key = key.clone();
        key.sort_by_key(|(name, ..)| *name);
        let (name, is_composite) = (self.name, key.len() > 1);
        let mut texts = Vec::new();
        for (place, (field, column, function)) in key.into_iter().enumerate() {
            texts.push(match (place, is_composite) {
                (0, true) => format!("'{name}::{field}='"),
                (0, false) => format!("'{name}:{field}='"),
                _ => format!("':{field}='"),
            });
            let text = self.text::<DB>(column, row, written)?;
            let text = match function {
                Some("LOWER") if field.ends_with("__iexact") => folded(text, self.outbox),
                Some(function) => format!("{function}({text})"),
                None => text,
            };
            texts.push(if is_composite { escaped(&text) } else { text });
        }
        let (before, between, behind) = self.outbox.joined;
        // A lookup by NULL is not cached, and has no key.
        Ok(format!("COALESCE({before}{}{behind}, '{name}:=')", texts.join(between)))
    }

    /// The text of a column's value.
    fn text<DB: Dialect>(&self, column: &str, row: &str, written: &str) -> Result<String> {
        const SAME_TEXT: [&str; 5] = ["i16", "i32", "i64", "alloc::string::String", "uuid::Uuid"];
        let model = self.expected.model;
        let column = self.expected.columns.iter().find(|known| known.name == column);
        let column = column.ok_or_else(|| Error::Query(format!("{model}: a key without a column")))?;
        let rust_type = column.name_of_type();
        if !SAME_TEXT.contains(&rust_type) || (rust_type == "uuid::Uuid" && !self.outbox.uuid_is_text) {
            return Err(Error::Query(format!(
                "{model}.{}: the database has another text for it than its cache key; write the trigger by hand, or \
                 call `invalidate`",
                column.field
            )));
        }
        Ok(written.replace("{value}", &format!("{row}.{}", DB::identifier(column.name)?)))
    }
}

impl Column {
    /// Its type, without the `Option` around it.
    fn name_of_type(&self) -> &'static str {
        let inner = self.rust_type.strip_prefix("core::option::Option<");
        inner.and_then(|path| path.strip_suffix('>')).unwrap_or(self.rust_type)
    }
}

/// As `cache/key.rs` escapes the parts of a key.
fn escaped(value: &str) -> String {
    format!("REPLACE(REPLACE(REPLACE({value}, '%', '%25'), ':', '%3A'), '=', '%3D')")
}

/// As `iexact` folds: LOWER folds other letters as well, or those of the locale.
fn folded(text: String, outbox: &Outbox) -> String {
    match outbox.folded {
        Some(folded) => folded.replace("{text}", &text),
        None => ('A'..='Z').fold(text, |text, letter| {
            format!("REPLACE({text}, '{letter}', '{}')", letter.to_ascii_lowercase())
        }),
    }
}
