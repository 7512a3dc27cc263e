//! The difference between what a model expects and what is there.
use super::bounds::range_of;
use super::catalog::Catalog;
use super::expected::{Column, Expected, Lookup};
use super::live::{LiveColumn, LiveTable, Part, UniqueKey};
use std::fmt;

/// The fewest fractional digits that hold microseconds.
const MICROSECONDS: u32 = 6;

/// What is wrong with a table, and what to do; from [`verify_schema`](crate::SentryModel::verify_schema).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    model: &'static str,
    kind: SchemaProblemKind,
    subject: String,
    fact: String,
    remedy: String,
}

/// The kinds of [`SchemaProblem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchemaProblemKind {
    /// There is no such table.
    MissingTable,
    /// The table has no column of a field.
    MissingColumn,
    /// A column's type does not hold its field.
    Type,
    /// A column may be NULL and its field may not, or the other way round.
    Nullability,
    /// The primary key or a cached lookup has no unique index: it may find several rows.
    NoUniqueIndex,
    /// A timestamp keeps less than microseconds, so that it reads back as another time.
    NoMicroseconds,
    /// A bounded field has no CHECK, so that other programs may store what is out of its bounds.
    NoCheck,
}

impl SchemaProblem {
    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &'static str {
        self.model
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn kind(&self) -> SchemaProblemKind {
        self.kind
    }

    /// What it is about: a column, the columns of a key, or the table.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What is wrong.
    #[must_use]
    pub fn fact(&self) -> &str {
        &self.fact
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.model, self.fact, self.remedy)
    }
}

/// Everything that is wrong with the table.
pub(crate) fn problems(expected: &Expected, live: &LiveTable, catalog: &Catalog) -> Vec<SchemaProblem> {
    let mut out = Report { model: expected.model, problems: Vec::new() };
    if live.columns.is_empty() {
        let fact = format!("there is no table {}", live.name);
        out.add(
            SchemaProblemKind::MissingTable,
            &live.name,
            fact,
            "run the migrations, or correct `table_name`",
        );
        return out.problems;
    }
    for column in &expected.columns {
        match live.columns.iter().find(|live| live.name.eq_ignore_ascii_case(column.name)) {
            None => out.missing(column, live),
            Some(found) => {
                out.column_type(column, found, catalog);
                out.nullability(column, found);
                out.microseconds(column, found, catalog);
                if !expected.is_primary_key(column.name) {
                    out.check(column, live, catalog);
                }
            }
        }
    }
    let primary = Lookup(expected.primary_key.iter().map(|column| (*column, None)).collect());
    for lookup in std::iter::once(&primary).chain(&expected.lookups) {
        out.unique(lookup, &live.unique_keys);
    }
    out.problems
}

struct Report {
    model: &'static str,
    problems: Vec<SchemaProblem>,
}

impl Report {
    fn add(&mut self, kind: SchemaProblemKind, subject: &str, fact: String, remedy: impl Into<String>) {
        let (model, subject, remedy) = (self.model, subject.to_owned(), remedy.into());
        self.problems.push(SchemaProblem { model, kind, subject, fact, remedy });
    }

    fn missing(&mut self, column: &Column, live: &LiveTable) {
        let fact = format!("the table {} has no column `{}`", live.name, column.name);
        let remedy = format!("add it, or remove the field `{}`", column.field);
        self.add(SchemaProblemKind::MissingColumn, column.name, fact, remedy);
    }

    fn column_type(&mut self, column: &Column, found: &LiveColumn, catalog: &Catalog) {
        // What Diesel has more types for than this list, is not looked at.
        let known = catalog.types.iter().find(|(name, _)| *name == column.sql_type);
        let Some((_, accepted)) = known else { return };
        let (live, unsigned) = base_type(&found.sql_type);
        let fits = match catalog.exact_types {
            true => accepted.contains(&live) && !unsigned,
            false => accepted.iter().any(|part| found.sql_type.contains(part)),
        };
        if !fits {
            let fact = format!(
                "the column `{}` is `{}`, and the field `{}` is read as `{}`",
                column.name, found.sql_type, column.field, column.sql_type
            );
            let wanted = accepted.first().copied().unwrap_or_default();
            let remedy = format!("make the column `{wanted}`, or correct `table!` and the field");
            self.add(SchemaProblemKind::Type, column.name, fact, remedy);
        }
    }

    fn nullability(&mut self, column: &Column, found: &LiveColumn) {
        let (fact, remedy) = match (column.nullable, found.nullable) {
            (false, true) => {
                ("may be NULL, and its field may not", "make it NOT NULL, or the field an `Option`")
            }
            (true, false) => {
                ("is NOT NULL, and its field is an `Option`", "take the `Option` away, or let it be NULL")
            }
            _ => return,
        };
        let fact = format!("the column `{}` {fact}", column.name);
        self.add(SchemaProblemKind::Nullability, column.name, fact, remedy);
    }

    fn microseconds(&mut self, column: &Column, found: &LiveColumn, catalog: &Catalog) {
        if !matches!(column.sql_type, "Timestamp" | "Timestamptz" | "Datetime") {
            return;
        }
        let digits = found.digits.unwrap_or(catalog.timestamp_digits);
        if digits < MICROSECONDS {
            let fact = format!("the timestamp `{}` keeps {digits} digits of a second", column.name);
            let (base, _) = base_type(&found.sql_type);
            self.add(
                SchemaProblemKind::NoMicroseconds,
                column.name,
                fact,
                format!("make the column `{base}(6)`"),
            );
        }
    }

    fn check(&mut self, column: &Column, live: &LiveTable, catalog: &Catalog) {
        let Some((min, max)) = check_needed(column, catalog) else { return };
        let range = range_of(column.name, &live.checks);
        let keeps = |end: Option<i128>, found: Option<i128>, within: fn(i128, i128) -> bool| {
            end.is_none_or(|end| found.is_some_and(|found| within(found, end)))
        };
        if keeps(min, range.min, |found, min| found >= min)
            && keeps(max, range.max, |found, max| found <= max)
        {
            return;
        }
        let (min, max) = column.bounds.unwrap_or_default();
        let fact = format!("no CHECK keeps the column `{}` in {min}..={max}", column.name);
        self.add(SchemaProblemKind::NoCheck, column.name, fact, "add what `migration_sql` prints");
    }

    fn unique(&mut self, lookup: &Lookup, keys: &[UniqueKey]) {
        if keys.iter().any(|key| makes_unique(key, lookup)) {
            return;
        }
        let columns: Vec<String> = lookup
            .0
            .iter()
            .map(|(column, function)| match function {
                Some(function) => format!("{function}({column})"),
                None => (*column).to_owned(),
            })
            .collect();
        let columns = columns.join(", ");
        let fact = format!("no unique index is on ({columns}), and a lookup by it may find several rows");
        self.add(SchemaProblemKind::NoUniqueIndex, &columns, fact, "add what `migration_sql` prints");
    }
}

/// The ends of a field's bounds that its column's type does not keep by itself; `None` where it keeps both.
pub(super) fn check_needed(column: &Column, catalog: &Catalog) -> Option<(Option<i128>, Option<i128>)> {
    let (min, max) = column.bounds?;
    let by_type = match column.sql_type {
        "SmallInt" => Some((i128::from(i16::MIN), i128::from(i16::MAX))),
        "Integer" => Some((i128::from(i32::MIN), i128::from(i32::MAX))),
        _ => Some((i128::from(i64::MIN), i128::from(i64::MAX))),
    };
    // What SQLite stores is never beyond BIGINT.
    let by_type = by_type.filter(|_| catalog.keeps_integer_ranges || column.sql_type == "BigInt");
    let min = Some(min).filter(|min| by_type.is_none_or(|(smallest, _)| *min > smallest));
    let max = Some(max).filter(|max| by_type.is_none_or(|(_, largest)| *max < largest));
    (min.is_some() || max.is_some()).then_some((min, max))
}

/// `int` of `int(11) unsigned`, and whether it is unsigned.
fn base_type(sql_type: &str) -> (&str, bool) {
    (sql_type.split(['(', ' ']).next().unwrap_or(sql_type), sql_type.contains("unsigned"))
}

/// Whether no two rows that the key tells apart are the same to the lookup: each of the key's parts is one of the
/// lookup's.
fn makes_unique(key: &UniqueKey, lookup: &Lookup) -> bool {
    key.parts.iter().all(|part| lookup.0.iter().any(|(column, function)| is_part(part, column, *function)))
}

fn is_part(part: &Part, column: &str, function: Option<&str>) -> bool {
    match (function, &part.expression) {
        (None, None) => part.column.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(column)),
        (Some(function), Some(expression)) => {
            let wanted = essence(&format!("{function}({column})"));
            elements(expression).iter().any(|element| essence(element) == wanted)
        }
        _ => false,
    }
}

/// The expression alone; of SQLite's `CREATE INDEX … ON table (…)` what stands in its parentheses.
fn elements(sql: &str) -> Vec<&str> {
    let is_statement = sql.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("create"));
    let inner = sql.split_once('(').and_then(|(_, inner)| Some(inner.rsplit_once(')')?.0));
    let Some(inner) = inner.filter(|_| is_statement) else { return vec![sql] };
    let (mut depth, mut from, mut elements) = (0_i32, 0, Vec::new());
    for (at, letter) in inner.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => elements.extend(inner.get(std::mem::replace(&mut from, at + 1)..at)),
            _ => {}
        }
    }
    elements.extend(inner.get(from..));
    elements
}

/// An expression without what databases add when they print it: quotes, spaces, casts to text, parentheses around a name,
/// and MySQL's own names of two functions.
fn essence(sql: &str) -> String {
    let letters = sql.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '`'));
    let plain =
        letters.collect::<String>().to_lowercase().replace("::text", "").replace("::charactervarying", "");
    let plain = plain.replace("lcase(", "lower(").replace("ucase(", "upper(");
    plain.replace("((", "(").replace("))", ")")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(expression: &str) -> bool {
        let part = Part { column: None, expression: Some(expression.to_owned()) };
        is_part(&part, "name", Some("LOWER"))
    }

    #[test]
    fn an_index_is_on_the_normal_form_itself() {
        for expression in [
            "lower(name)",
            "lower((name)::text)",
            "lcase(`name`)",
            "CREATE UNIQUE INDEX i ON users (LOWER(name))",
            "CREATE UNIQUE INDEX \"i\" ON \"users\" (coalesce(a, b), lower( \"name\" ))",
        ] {
            assert!(holds(expression), "{expression}");
        }
        for expression in [
            "lower(name2)",
            "mylower(name)",
            "(lower(name) || team)",
            "upper(name)",
            "CREATE UNIQUE INDEX i ON users (LOWER(name) || team)",
            "CREATE UNIQUE INDEX i ON users (coalesce(lower(name), x))",
        ] {
            assert!(!holds(expression), "{expression}");
        }
    }
}
