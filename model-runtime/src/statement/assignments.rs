//! What a patch or a key turns into: one fragment per column, and the guards of its expressions.
use super::Dialect;
use super::text::{Fragment, TableName};
use crate::error::{Error, OutOfBounds, Result, name_bound_field};
use crate::expression::{Computed, Expr, Guard, IntegerGuard, Node, evaluate, start_of};
use crate::field::{Assign, FieldOf, KeyCols, Number, Storable, from_number, range_of, to_number};
use crate::model::SentryModel;
use diesel::Column;
use diesel::backend::Backend;
use diesel::expression::Expression;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;

/// A column and what it is set or compared to.
pub(crate) struct Pair<'q, DB: Backend> {
    pub(crate) index: usize,
    pub(crate) column: &'static str,
    term: Term<'q, DB>,
    /// Compared, it is `IS NULL`.
    pub(crate) is_null: bool,
    /// Compared, both sides are in this form.
    pub(crate) function: Option<&'static str>,
}

const BIGINT: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);

enum Term<'q, DB: Backend> {
    Bound(Fragment<'q, DB>),
    Computed(&'q Node),
    Sql(NamedSql<'q, DB>),
}

/// An expression of plain Diesel; it names its columns with their table.
type Sql<'q, DB> = &'q (dyn QueryFragment<DB> + Send + Sync + 'q);

/// A column that an UPDATE sets to an expression of plain Diesel.
pub struct SqlSet<'q, DB: Backend> {
    index: usize,
    column: &'static str,
    field: &'static str,
    range: Option<(i128, i128)>,
    sql: Sql<'q, DB>,
}

impl<DB: Backend> Clone for SqlSet<'_, DB> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<DB: Backend> Copy for SqlSet<'_, DB> {}

impl<DB: Backend> std::fmt::Debug for SqlSet<'_, DB> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlSet").field("column", &self.column).finish_non_exhaustive()
    }
}

impl<'q, DB: Backend> SqlSet<'q, DB> {
    pub(crate) fn of<M, C: FieldOf<M>>(sql: Sql<'q, DB>) -> Self {
        Self { index: C::INDEX, column: C::NAME, field: C::FIELD, range: range_of::<M, C>(), sql }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl<'q, DB: Dialect> Pair<'q, DB> {
    /// The SQL of the term, over the columns of the table `row`.
    pub(crate) fn fragment(self, row: Option<TableName<DB>>) -> Fragment<'q, DB> {
        match self.term {
            Term::Bound(fragment) => fragment,
            Term::Computed(node) => Box::new(Computed { node, row }),
            Term::Sql(sql) => Box::new(sql),
        }
    }
}

/// A condition that an expression must meet for the statement to write, and the error where it does not.
pub(crate) struct Guarded<'q, DB: Backend> {
    index: usize,
    value: Value<'q, DB>,
    model: &'static str,
    field: &'static str,
    range: (i128, i128),
}

/// What a guard looks at.
enum Value<'q, DB: Backend> {
    Computed(&'q Node),
    Sql(Sql<'q, DB>),
}

impl<DB: Dialect> Guarded<'_, DB> {
    pub(crate) fn refused(&self) -> Error {
        OutOfBounds::error(self.model, self.field, None, self.range)
    }

    /// The condition, over the columns of the table `row`.
    pub(crate) fn fragment(&self, row: Option<TableName<DB>>) -> Fragment<'_, DB> {
        let (min, max) = self.range;
        let (min, max) = (i64::try_from(min).unwrap_or(i64::MIN), i64::try_from(max).unwrap_or(i64::MAX));
        match &self.value {
            Value::Computed(node) => {
                Box::new(IntegerGuard(Guard { value: Computed { node, row }, min, max }))
            }
            Value::Sql(sql) => Box::new(Guard { value: *sql, min, max }),
        }
    }
}

/// Whether expressions have a row to compute from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// They become SQL.
    Update,
    /// There is no row: they are computed here, from the values given and the fields' defaults.
    Insert,
}

/// The assignments of one statement, in the order of the struct.
pub struct Assignments<'q, DB: Backend> {
    pub(crate) pairs: Vec<Pair<'q, DB>>,
    pub(crate) guards: Vec<Guarded<'q, DB>>,
    model: &'static str,
    purpose: Purpose,
    given: Vec<(&'static str, Number)>,
    shape: DefaultHasher,
}

impl<DB: Backend> std::fmt::Debug for Assignments<'_, DB> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|pair| pair.column)).finish()
    }
}

impl<'q, DB: Dialect> Assignments<'q, DB> {
    pub(crate) fn new<M: SentryModel>(purpose: Purpose) -> Self {
        Self {
            pairs: Vec::new(),
            guards: Vec::new(),
            model: M::NAME,
            purpose,
            given: Vec::new(),
            shape: DefaultHasher::new(),
        }
    }

    /// Adds a value, which the caller has checked.
    pub fn value<C: Column + 'q, T: Storable<C, DB>>(&mut self, index: usize, value: &'q T) {
        self.bound::<C, T>(index, C::NAME, value, false);
    }

    /// Adds what a setter left in a patch, and the guard that its expression needs.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] for a value outside the field's range;
    /// [`Error::CannotResolveExpression`] for an expression that has no value.
    pub fn field<M: SentryModel, C: FieldOf<M>>(&mut self, slot: &'q Option<Assign<M, C>>) -> Result<()>
    where
        C::Value: Storable<C, DB>,
    {
        match slot {
            None => Ok(()),
            Some(Assign::Value(value)) => {
                self.bound::<C, _>(C::INDEX, C::FIELD, value, C::is_null(value));
                Ok(())
            }
            Some(Assign::OutOfBounds(value)) => Err(OutOfBounds::error(
                self.model,
                C::FIELD,
                Some(*value),
                range_of::<M, C>().unwrap_or((0, 0)),
            )),
            Some(Assign::Expr(expr)) => match (expr.0.too_big(), self.purpose) {
                (Some(_), _) => {
                    Err(expr.0.unresolvable(self.model, C::FIELD, "a literal does not fit a BIGINT"))
                }
                (None, Purpose::Insert) => self.resolved::<M, C>(expr),
                (None, Purpose::Update) => {
                    self.computed::<M, C>(expr);
                    Ok(())
                }
            },
        }
    }

    /// Adds expressions of plain Diesel, which win over what setters left.
    pub(crate) fn take_sql(&mut self, sets: Vec<SqlSet<'q, DB>>) {
        for SqlSet { index, column, field, range, sql } in sets {
            self.pairs.retain(|pair| pair.index != index);
            self.guards.retain(|guard| guard.index != index);
            let guard = |range| Guarded { index, value: Value::Sql(sql), model: self.model, field, range };
            self.guards.extend(range.map(guard));
            let term = Term::Sql(NamedSql { sql, model: self.model, field });
            self.pairs.push(Pair { index, column, term, is_null: false, function: None });
        }
    }

    /// Whether the statement's text is one of a few that its shape tells apart.
    pub(crate) fn is_countable(&self) -> bool {
        self.pairs.iter().all(|pair| !matches!(pair.term, Term::Sql(_)))
    }

    /// Compares the columns of the key `K` in their normal forms.
    pub(crate) fn normalized<K: KeyCols>(mut self) -> Self {
        for pair in &mut self.pairs {
            let place = K::INDEXES.iter().position(|index| *index == pair.index);
            pair.function = place.and_then(|place| K::FUNCTIONS.get(place).copied().flatten());
        }
        self
    }

    /// Remembers a number that is given beside the expressions: an INSERT computes them here.
    pub fn given<M: SentryModel, C: FieldOf<M>>(&mut self, slot: &Option<Assign<M, C>>) {
        let number = match slot {
            Some(Assign::Value(value)) => to_number(value),
            _ => start_of::<M, C>(),
        };
        self.given.extend(number.map(|number| (C::NAME, number)));
    }

    /// Bit *i* is set where field *i* is assigned.
    pub(crate) fn mask(&self) -> u64 {
        self.pairs.iter().fold(0, |mask, pair| mask | 1 << pair.index)
    }

    /// Whether everything assigned is a value, so that the stored row is known without reading it.
    pub(crate) fn only_values(&self) -> bool {
        self.pairs.iter().all(|pair| matches!(pair.term, Term::Bound(_)))
    }

    /// Bit *i* is set where field *i* is assigned an expression.
    pub(crate) fn computed_mask(&self) -> u64 {
        let computed = self.pairs.iter().filter(|pair| !matches!(pair.term, Term::Bound(_)));
        computed.fold(0, |mask, pair| mask | 1 << pair.index)
    }

    /// Whether an expression reads a column that was assigned before it.
    pub(crate) fn reads_assigned(&self) -> bool {
        self.pairs.iter().enumerate().any(|(i, pair)| match &pair.term {
            Term::Bound(_) => false,
            Term::Computed(node) => self.pairs.iter().take(i).any(|before| node.reads(before.column)),
            // Nobody knows what it reads.
            Term::Sql(_) => i > 0,
        })
    }

    /// What the statement's text depends on.
    pub(crate) fn shape(&self) -> u64 {
        self.shape.finish()
    }

    /// The same where they are compared: `IS NULL` is another text.
    pub(crate) fn matching_shape(&self) -> u64 {
        let mut shape = self.shape.clone();
        self.pairs.iter().map(|pair| pair.is_null).for_each(|is_null| is_null.hash(&mut shape));
        shape.finish()
    }

    fn bound<C: Column + 'q, T: Storable<C, DB>>(
        &mut self,
        index: usize,
        field: &'static str,
        value: &'q T,
        is_null: bool,
    ) {
        let fragment = Bound { value, model: self.model, field, column: PhantomData::<fn() -> C> };
        self.push::<C>(index, Term::Bound(Box::new(fragment)), is_null);
    }

    fn push<C: Column>(&mut self, index: usize, term: Term<'q, DB>, is_null: bool) {
        index.hash(&mut self.shape);
        self.pairs.push(Pair { index, column: C::NAME, term, is_null, function: None });
    }

    fn computed<M: SentryModel, C: FieldOf<M>>(
        &mut self,
        expr: &'q Expr<C::Table, <C as Expression>::SqlType>,
    ) {
        let (node, model) = (&expr.0, self.model);
        let guard = |node, range| Guarded {
            index: C::INDEX,
            value: Value::Computed(node),
            model,
            field: C::FIELD,
            range,
        };
        match range_of::<M, C>() {
            Some(range) if node.computes() || C::BOUNDS.is_some() => self.guards.push(guard(node, range)),
            Some(_) => {}
            // Integers that end in a fraction stay within BIGINT until they do.
            None => self.guards.extend(node.of_integers().into_iter().map(|node| guard(node, BIGINT))),
        }
        node.hash_shape(&mut self.shape);
        self.push::<C>(C::INDEX, Term::Computed(node), false);
    }

    fn resolved<M: SentryModel, C: FieldOf<M>>(
        &mut self,
        expr: &'q Expr<C::Table, <C as Expression>::SqlType>,
    ) -> Result<()>
    where
        C::Value: Storable<C, DB>,
    {
        let node = &expr.0;
        // A column's own assignment is the expression, so the column itself stands for its start.
        let number = |name: &str| match name == C::NAME {
            true => start_of::<M, C>(),
            false => self.given.iter().find(|(column, _)| *column == name).map(|(_, number)| *number),
        };
        let number = evaluate(node, &number).map_err(|why| node.unresolvable(self.model, C::FIELD, why))?;
        let refused = || match number {
            Number::Integer(value) => {
                let range = range_of::<M, C>().unwrap_or((0, 0));
                OutOfBounds::error(self.model, C::FIELD, Some(value), range)
            }
            Number::Float(_) => node.unresolvable(self.model, C::FIELD, "the result does not fit the field"),
        };
        if let (Number::Integer(value), Some((min, max))) = (number, range_of::<M, C>())
            && !(min..=max).contains(&value)
        {
            return Err(refused());
        }
        let value: C::Value = from_number(number).ok_or_else(refused)?;
        let owned = Owned { value, column: PhantomData::<fn() -> C> };
        self.push::<C>(C::INDEX, Term::Bound(Box::new(owned)), false);
        Ok(())
    }
}

struct Bound<'b, C, T> {
    value: &'b T,
    model: &'static str,
    field: &'static str,
    column: PhantomData<fn() -> C>,
}

impl<C: Column, T: Storable<C, DB>, DB: Dialect> QueryFragment<DB> for Bound<'_, C, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.value.bind(&mut out).map_err(|error| name_bound_field(self.model, self.field, error))
    }
}

/// An expression of plain Diesel whose values name the field where they cannot be bound.
struct NamedSql<'q, DB: Backend> {
    sql: Sql<'q, DB>,
    model: &'static str,
    field: &'static str,
}

impl<DB: Dialect> QueryFragment<DB> for NamedSql<'_, DB> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.sql.walk_ast(out).map_err(|error| name_bound_field(self.model, self.field, error))
    }
}

/// A number computed here, which no field type refuses.
struct Owned<C, T> {
    value: T,
    column: PhantomData<fn() -> C>,
}

impl<C, T: Storable<C, DB>, DB: Dialect> QueryFragment<DB> for Owned<C, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.value.bind(&mut out)
    }
}
