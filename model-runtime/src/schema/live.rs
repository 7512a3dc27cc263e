//! What the database says about a table.
use super::catalog::Catalog;
use crate::engine::Executor;
use crate::error::{Error, Result};
use crate::model::ModelSql;
use crate::statement::{Dialect, Statement};

/// A table as it is.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    /// Its name as SQL.
    pub(crate) name: String,
    /// None where there is no such table.
    pub(crate) columns: Vec<LiveColumn>,
    pub(crate) unique_keys: Vec<UniqueKey>,
    /// Texts with CHECKs in them.
    pub(crate) checks: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct LiveColumn {
    pub(crate) name: String,
    pub(crate) sql_type: String,
    pub(crate) nullable: bool,
    /// Fractional digits of a timestamp.
    pub(crate) digits: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct UniqueKey {
    name: String,
    pub(crate) parts: Vec<Part>,
}

/// A column of a key, or an expression; of a generated column both.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) column: Option<String>,
    pub(crate) expression: Option<String>,
}

/// Asks about the table of `M`.
pub(crate) async fn table<M, S>(db: &mut S, catalog: &'static Catalog) -> Result<LiveTable>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let name = S::Backend::table_name(M::table)?;
    let place = Place::of(&name);
    let columns = db.texts(place.asked::<M, _>(catalog.columns), 4).await?;
    if columns.is_empty() {
        return Ok(LiveTable { name, ..LiveTable::default() });
    }
    let keys = db.texts(place.asked::<M, _>(catalog.unique_keys), 3).await?;
    let (checks, width) = catalog.checks;
    let checks = db.texts(place.asked::<M, _>(checks), width).await?;
    Ok(LiveTable {
        columns: columns.into_iter().map(column).collect::<Result<_>>()?,
        unique_keys: unique_keys(keys)?,
        checks: checks.into_iter().filter_map(|row| row.into_iter().next_back().flatten()).collect(),
        name,
    })
}

/// A row of texts.
type Texts = Vec<Option<String>>;

fn column(row: Texts) -> Result<LiveColumn> {
    let [name, sql_type, nullable, digits] = exactly(row)?;
    Ok(LiveColumn {
        name: name.unwrap_or_default(),
        sql_type: sql_type.unwrap_or_default().to_lowercase(),
        nullable: nullable.as_deref() == Some("YES"),
        digits: digits.and_then(|digits| digits.parse().ok()),
    })
}

/// The keys; the parts of one stand in a row.
fn unique_keys(rows: Vec<Texts>) -> Result<Vec<UniqueKey>> {
    let mut keys: Vec<UniqueKey> = Vec::new();
    for row in rows {
        let [name, column, expression] = exactly(row)?;
        let (name, part) = (name.unwrap_or_default(), Part { column, expression });
        match keys.last_mut().filter(|key| key.name == name) {
            Some(key) => key.parts.push(part),
            None => keys.push(UniqueKey { name, parts: vec![part] }),
        }
    }
    Ok(keys)
}

fn exactly<const N: usize>(row: Texts) -> Result<[Option<String>; N]> {
    row.try_into().map_err(|_| Error::Query("the database's catalog returned rows of another width".into()))
}

/// A table's name and its parts.
struct Place {
    table: Option<String>,
    schema: Option<String>,
    name: Option<String>,
}

impl Place {
    /// Of `"schema"."table"`, or `` `table` ``.
    fn of(quoted: &str) -> Self {
        let (mut schema, mut name, mut inside) = (None, String::new(), None);
        let mut letters = quoted.chars().peekable();
        while let Some(letter) = letters.next() {
            match (letter, inside) {
                // A quote that is doubled stands for itself.
                ('"' | '`', Some(quote)) if letter == quote => match letters.next_if_eq(&quote) {
                    Some(letter) => name.push(letter),
                    None => inside = None,
                },
                ('"' | '`', None) => inside = Some(letter),
                ('.', None) => schema = Some(std::mem::take(&mut name)),
                _ => name.push(letter),
            }
        }
        Self { table: Some(quoted.to_owned()), schema, name: Some(name) }
    }

    /// A text of the catalog as a statement.
    fn asked<M, DB>(&self, text: &'static str) -> Statement<'_, DB>
    where
        M: ModelSql<DB>,
        DB: Dialect,
    {
        let mut statement = Statement::new().stays_prepared(false);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((word, after)) = after.split_once('}') else { break };
            statement = statement.sql(before);
            statement = match word {
                "table" => statement.text(&self.table),
                "schema" => statement.text(&self.schema),
                "name" => statement.text(&self.name),
                _ => statement.table::<M>(),
            };
            rest = after;
        }
        statement.sql(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_has_parts() {
        let parts = |quoted| {
            let place = Place::of(quoted);
            (place.schema, place.name.unwrap_or_default())
        };
        assert_eq!(parts("\"projects\""), (None, "projects".into()));
        assert_eq!(parts("`shop`.`order`"), (Some("shop".into()), "order".into()));
        assert_eq!(parts("\"a.b\".\"c\"\"d\""), (Some("a.b".into()), "c\"d".into()));
    }
}
