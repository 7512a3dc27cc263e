//! One statement type for everything.
use super::Dialect;
use super::assignments::{Guarded, Pair};
use crate::model::{ModelSql, SentryModel};
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use std::marker::PhantomData;

pub(crate) type Fragment<'q, DB> = Box<dyn QueryFragment<DB> + Send + 'q>;

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

    /// Every column of the model, in the order that [`ModelSql::read`] reads.
    pub(crate) fn columns<M: SentryModel>(self) -> Self {
        self.names(M::COLUMNS.iter().copied())
    }

    /// `a = …, b = …`.
    pub(crate) fn sets(mut self, pairs: Vec<Pair<'q, DB>>) -> Self {
        for (i, pair) in pairs.into_iter().enumerate() {
            let before = if i > 0 { ", " } else { "" };
            self.parts.extend([Part::Sql(before), Part::Name(pair.column), Part::Sql(" = ")]);
            self.parts.push(Part::Fragment(pair.fragment));
        }
        self
    }

    /// ` WHERE a = … AND b IS NULL`.
    pub(crate) fn matching(mut self, pairs: Vec<Pair<'q, DB>>) -> Self {
        for (i, pair) in pairs.into_iter().enumerate() {
            let before = if i > 0 { " AND " } else { " WHERE " };
            self.parts.extend([Part::Sql(before), Part::Name(pair.column)]);
            match pair.is_null {
                true => self.parts.push(Part::Sql(" IS NULL")),
                false => self.parts.extend([Part::Sql(" = "), Part::Fragment(pair.fragment)]),
            }
        }
        self
    }

    /// ` AND guard AND guard`.
    pub(crate) fn guards<'g: 'q>(mut self, guards: &'g [Guarded<'g>]) -> Self {
        for guard in guards {
            self = self.sql(" AND ").fragment(guard.fragment());
        }
        self
    }

    /// ` AND NOT (guard AND guard)`.
    pub(crate) fn refused_by<'g: 'q>(mut self, guards: &'g [Guarded<'g>]) -> Self {
        for (i, guard) in guards.iter().enumerate() {
            self = self.sql(if i == 0 { " AND NOT (" } else { " AND " }).fragment(guard.fragment());
        }
        self.sql(if guards.is_empty() { "" } else { ")" })
    }

    /// `(a, b) VALUES (…, …)`, or `DEFAULT VALUES`.
    pub(crate) fn values(mut self, pairs: Vec<Pair<'q, DB>>) -> Self {
        if pairs.is_empty() {
            return self.sql(" DEFAULT VALUES");
        }
        self = self.sql(" (").names(pairs.iter().map(|pair| pair.column)).sql(") VALUES (");
        for (i, pair) in pairs.into_iter().enumerate() {
            if i > 0 {
                self.parts.push(Part::Sql(", "));
            }
            self.parts.push(Part::Fragment(pair.fragment));
        }
        self.sql(")")
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

struct TableOf<M>(PhantomData<fn() -> M>);

impl<M: ModelSql<DB>, DB: Dialect> QueryFragment<DB> for TableOf<M> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        M::table(out)
    }
}
