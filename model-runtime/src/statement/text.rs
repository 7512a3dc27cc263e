//! One statement type for everything.
use super::Dialect;
use super::assignments::{Assignments, Guarded, Pair};
use crate::field::KeyCols;
use crate::model::{ModelSql, SentryModel};
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use std::marker::PhantomData;

pub(crate) type Fragment<'q, DB> = Box<dyn QueryFragment<DB> + Send + 'q>;

/// Writes the name of a table.
pub(crate) type TableName<DB> = fn(AstPass<'_, '_, DB>) -> QueryResult<()>;

/// The written row, where the table itself is the row as it was.
const NEW: &str = "__new";

/// Which rows an UPDATE names: the one it writes, or beside it the same one as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    One,
    Joined,
}

impl Rows {
    /// What the assignments need: where a backend assigns one after the other, an expression that reads what was
    /// assigned before it needs the old row.
    fn of<DB: Dialect>(sets: &Assignments<'_, DB>) -> Self {
        match !DB::OLD_ROW_IN_SET && sets.reads_assigned() {
            true => Self::Joined,
            false => Self::One,
        }
    }

    fn old<M: ModelSql<DB>, DB: Dialect>(self) -> Option<TableName<DB>> {
        (self == Self::Joined).then_some(M::table)
    }
}

enum Part<'q, DB: Backend> {
    Sql(&'static str),
    Name(&'static str),
    Fragment(Fragment<'q, DB>),
}

/// A SQL statement whose rows [`ModelSql::read`] reads.
pub struct Statement<'q, DB: Backend> {
    parts: Vec<Part<'q, DB>>,
    stays_prepared: bool,
}

impl<DB: Backend> std::fmt::Debug for Statement<'_, DB> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statement").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

impl<'q, DB: Dialect> Statement<'q, DB> {
    /// A statement that is prepared once per connection and kept.
    pub(crate) fn new() -> Self {
        Self { parts: Vec::new(), stays_prepared: true }
    }

    /// `UPDATE … SET …`; the table's name stands for the row as it was. Returns what qualifies its columns.
    pub(crate) fn update<M: ModelSql<DB>>(sets: Assignments<'q, DB>) -> (Self, Option<TableName<DB>>) {
        let rows = Rows::of(&sets);
        let old = rows.old::<M, DB>();
        (Self::new().sql("UPDATE ").updated::<M>(rows).sets(sets.pairs, rows, old), old)
    }

    /// Keeps it prepared or not, as [`Shapes`](super::Shapes) decides.
    pub(crate) fn stays_prepared(mut self, stays: bool) -> Self {
        self.stays_prepared = stays;
        self
    }

    pub(crate) fn sql(mut self, sql: &'static str) -> Self {
        self.parts.push(Part::Sql(sql));
        self
    }

    pub(crate) fn fragment(mut self, fragment: impl QueryFragment<DB> + Send + 'q) -> Self {
        self.parts.push(Part::Fragment(Box::new(fragment)));
        self
    }

    pub(crate) fn table<M: ModelSql<DB>>(self) -> Self {
        self.fragment(TableOf::<M>(PhantomData))
    }

    /// A text that may be NULL, bound.
    #[allow(clippy::ref_option, reason = "a bind borrows from where the value is")]
    pub(crate) fn text(self, text: &'q Option<String>) -> Self {
        self.fragment(BoundText(text))
    }

    /// Every column of the model, in the order that [`ModelSql::read`] reads.
    pub(crate) fn columns<M: SentryModel>(self) -> Self {
        self.names(M::COLUMNS.iter().copied())
    }

    /// ` RETURNING a, b`: every column of the model.
    pub(crate) fn returning<M: SentryModel>(self) -> Self {
        self.sql(" RETURNING ").columns::<M>()
    }

    /// ` SET a = …, b = …`.
    fn sets(mut self, pairs: Vec<Pair<'q, DB>>, rows: Rows, old: Option<TableName<DB>>) -> Self {
        for (i, pair) in pairs.into_iter().enumerate() {
            self = self.sql(if i > 0 { ", " } else { " SET " });
            if rows == Rows::Joined {
                self = self.name(NEW).sql(".");
            }
            self = self.name(pair.column).sql(" = ");
            self.parts.push(Part::Fragment(pair.fragment(old)));
        }
        self
    }

    /// ` WHERE a = … AND b IS NULL`, of the columns of the table `row`.
    pub(crate) fn matching(self, pairs: Vec<Pair<'q, DB>>, row: Option<TableName<DB>>) -> Self {
        if pairs.is_empty() {
            return self;
        }
        self.sql(" WHERE ").all(pairs, row)
    }

    /// ` WHERE (a IN (…, …))`, or ` WHERE ((a = … AND b = …) OR (a = … AND b = …))` for several columns.
    pub(crate) fn matching_any(self, alternatives: Vec<Vec<Pair<'q, DB>>>) -> Self {
        self.matching_any_of(alternatives, None)
    }

    /// The same of the columns of the table `row`.
    pub(crate) fn matching_any_of(
        mut self,
        alternatives: Vec<Vec<Pair<'q, DB>>>,
        row: Option<TableName<DB>>,
    ) -> Self {
        let one_value = |pairs: &Vec<Pair<'q, DB>>| matches!(&pairs[..], [pair] if !pair.is_null);
        if !alternatives.iter().all(one_value) {
            for (i, pairs) in alternatives.into_iter().enumerate() {
                self = self.sql(if i == 0 { " WHERE ((" } else { " OR (" }).all(pairs, row).sql(")");
            }
            return self.sql(")");
        }
        for (i, pair) in alternatives.into_iter().flatten().enumerate() {
            let function = pair.function;
            self = match i {
                0 => self.sql(" WHERE (").form(function, |out| out.column(row, pair.column)).sql(" IN ("),
                _ => self.sql(", "),
            };
            self = self.form(function, |out| out.term(pair, row));
        }
        self.sql("))")
    }

    fn all(mut self, pairs: Vec<Pair<'q, DB>>, row: Option<TableName<DB>>) -> Self {
        for (i, pair) in pairs.into_iter().enumerate() {
            let function = pair.function.filter(|_| !pair.is_null);
            self = self.sql(if i > 0 { " AND " } else { "" });
            self = self.form(function, |out| out.column(row, pair.column));
            self = match pair.is_null {
                true => self.sql(" IS NULL"),
                false => self.sql(" = ").form(function, |out| out.term(pair, row)),
            };
        }
        self
    }

    /// `function(…)`, or what is inside alone.
    fn form(self, function: Option<&'static str>, inside: impl FnOnce(Self) -> Self) -> Self {
        match function {
            Some(function) => inside(self.sql(function).sql("(")).sql(")"),
            None => inside(self),
        }
    }

    fn term(mut self, pair: Pair<'q, DB>, row: Option<TableName<DB>>) -> Self {
        self.parts.push(Part::Fragment(pair.fragment(row)));
        self
    }

    /// ` WHERE (predicate)`.
    pub(crate) fn filtered(self, predicate: impl QueryFragment<DB> + Send + 'q) -> Self {
        self.sql(" WHERE (").fragment(predicate).sql(")")
    }

    /// ` AND guard AND guard`, of the columns of the table `row`.
    pub(crate) fn guards<'g: 'q>(
        mut self,
        guards: &'g [Guarded<'g, DB>],
        row: Option<TableName<DB>>,
    ) -> Self {
        for guard in guards {
            self = self.sql(" AND ").fragment(guard.fragment(row));
        }
        self
    }

    /// ` AND NOT (guard AND guard)`.
    pub(crate) fn refused_by<'g: 'q>(mut self, guards: &'g [Guarded<'g, DB>]) -> Self {
        for (i, guard) in guards.iter().enumerate() {
            self = self.sql(if i == 0 { " AND NOT (" } else { " AND " }).fragment(guard.fragment(None));
        }
        self.sql(if guards.is_empty() { "" } else { ")" })
    }

    /// The table, or beside it the row that is written.
    fn updated<M: ModelSql<DB>>(self, rows: Rows) -> Self {
        let Rows::Joined = rows else { return self.table::<M>() };
        let mut out = self.table::<M>().sql(" AS ").name(NEW).sql(" JOIN ").table::<M>();
        for (i, column) in M::Pk::COLUMNS.iter().enumerate() {
            out = out.sql(if i > 0 { " AND " } else { " ON " }).name(NEW).sql(".").name(column).sql(" = ");
            out = out.column(Some(M::table), column);
        }
        out
    }

    /// `(a, b) VALUES (…, …), (…, …)`, or `DEFAULT VALUES`; every row has the columns of the first.
    pub(crate) fn values(mut self, rows: Vec<Vec<Pair<'q, DB>>>) -> Self {
        let columns: Vec<_> = rows.iter().take(1).flatten().map(|pair| pair.column).collect();
        if columns.is_empty() {
            return self.sql(DB::DEFAULT_VALUES);
        }
        self = self.sql(" (").names(columns).sql(") VALUES ");
        for (r, pairs) in rows.into_iter().enumerate() {
            self = self.sql(if r > 0 { ", (" } else { "(" });
            for (i, pair) in pairs.into_iter().enumerate() {
                if i > 0 {
                    self.parts.push(Part::Sql(", "));
                }
                self.parts.push(Part::Fragment(pair.fragment(None)));
            }
            self = self.sql(")");
        }
        self
    }

    /// `table.name`, or `name`.
    pub(crate) fn column(self, row: Option<TableName<DB>>, name: &'static str) -> Self {
        match row {
            Some(row) => self.fragment(Named(row)).sql(".").name(name),
            None => self.name(name),
        }
    }

    /// The columns of the primary key.
    pub(crate) fn key<M: SentryModel>(self) -> Self {
        self.names(M::Pk::COLUMNS.iter().copied())
    }

    fn name(mut self, name: &'static str) -> Self {
        self.parts.push(Part::Name(name));
        self
    }

    fn names(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        for (i, name) in names.into_iter().enumerate() {
            if i > 0 {
                self.parts.push(Part::Sql(", "));
            }
            self.parts.push(Part::Name(name));
        }
        self
    }
}

impl<DB: Dialect> QueryFragment<DB> for Statement<'_, DB> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if !self.stays_prepared {
            out.unsafe_to_cache_prepared();
        }
        for part in &self.parts {
            match part {
                Part::Sql(sql) => out.push_sql(sql),
                Part::Name(name) => out.push_identifier(name)?,
                Part::Fragment(fragment) => fragment.walk_ast(out.reborrow())?,
            }
        }
        Ok(())
    }
}

impl<DB: Backend> QueryId for Statement<'_, DB> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

// Untyped, because `ModelSql::read` reads the rows: no tuple of 20 SQL types is ever proven.
impl<DB: Backend> Query for Statement<'_, DB> {
    type SqlType = diesel::sql_types::Untyped;
}

impl<DB: Backend, Conn> RunQueryDsl<Conn> for Statement<'_, DB> {}

struct BoundText<'q>(&'q Option<String>);

impl<DB: Dialect> QueryFragment<DB> for BoundText<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        DB::bind_text(self.0, &mut out)
    }
}

struct TableOf<M>(PhantomData<fn() -> M>);

impl<M: ModelSql<DB>, DB: Dialect> QueryFragment<DB> for TableOf<M> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        M::table(out)
    }
}

pub(super) struct Named<DB: Backend>(pub(super) TableName<DB>);

impl<DB: Dialect> QueryFragment<DB> for Named<DB> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        (self.0)(out)
    }
}
