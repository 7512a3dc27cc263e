//! `F(column)` and arithmetic on it, computed by the database.
//!
//! An expression is typed by its table and SQL type, not by a backend: operations stay values.
mod node;
mod operand;
mod resolve;

pub(crate) use node::{Computed, Guard, IntegerGuard, Node};
pub use operand::{Arithmetic, Fits, Integral, Literal, Operand, Widen};
pub(crate) use resolve::evaluate;

use crate::error::{Error, Result};
use crate::field::FieldOf;
use crate::model::SentryModel;
use diesel::Column;
use diesel::expression::Expression;
use node::{Numbers, Operator};
use std::fmt;
use std::marker::PhantomData;
use std::ops;

/// An expression over the columns of the table `Tab`, of SQL type `ST`; begins with [`F`].
///
/// `+`, `-`, `*`, `/`, `%`, `&` and `|` combine it with numbers and with other expressions over numeric columns of the
/// same table. The database computes it, from the values the row has when the statement runs. `/` and `%` of
/// integers truncate towards zero, as in Rust.
pub struct Expr<Tab, ST>(pub(crate) Node, PhantomData<fn() -> (Tab, ST)>);

impl<Tab, ST> Expr<Tab, ST> {
    pub(crate) fn new(node: Node) -> Self {
        Self(node, PhantomData)
    }

    /// As a value of the column type `Column`.
    pub(crate) fn stored<Column>(self) -> Expr<Tab, Column>
    where
        ST: Fits<Column>,
    {
        match ST::CONVERTS {
            true => Expr::new(Node::Converted(Box::new(self.0))),
            false => Expr::new(self.0),
        }
    }

    /// Computes the expression in Rust, from the values `row` has in memory; arithmetic is checked.
    ///
    /// The database's own value can differ by now: to write, assign the expression instead.
    ///
    /// # Errors
    /// [`Error::CannotResolveExpression`] where a column is NULL or not a number, on division by zero, on
    /// overflow, and where the result does not fit `T`.
    ///
    /// # Example: the next value, without asking the database
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let project: Project = project();
    /// let next: i32 = (F(projects::events) + 1).resolve(&project)?;
    /// assert_eq!(next, project.events + 1);
    /// # Ok(()) }
    /// ```
    pub fn resolve<T: 'static, M>(&self, row: &M) -> Result<T>
    where
        M: SentryModel<Table = Tab>,
    {
        let refused = |reason: &str| self.0.unresolvable(M::NAME, "?", reason);
        let number = evaluate(&self.0, &|column| row.number(column)).map_err(refused)?;
        crate::field::from_number(number).ok_or_else(|| refused("the result does not fit the type asked for"))
    }
}

impl Node {
    pub(crate) fn unresolvable(&self, model: &'static str, field: &'static str, reason: &str) -> Error {
        Error::CannotResolveExpression { model, field, expression: self.to_string(), reason: reason.into() }
    }
}

impl<Tab, ST> Clone for Expr<Tab, ST> {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl<Tab, ST> fmt::Debug for Expr<Tab, ST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<Tab, ST> fmt::Display for Expr<Tab, ST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value that a column has in the database when the statement runs, not the one in memory.
///
/// Named after Django's `F`.
///
/// # Example: two writers count without losing an increment
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
/// use model_runtime::prelude::*;
///
/// # fn main() -> Result<(), Error> { session(|db| {
/// let mut project = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
/// project.update().events(F(projects::events) + 1).execute(db)?;
/// assert_eq!(project.events, 1);
/// # Ok(()) }) }
/// ```
#[allow(non_snake_case, reason = "the field knows it by this name")]
pub fn F<C: Column>(_column: C) -> Expr<C::Table, <C as Expression>::SqlType> {
    Expr::new(Node::Column(C::NAME))
}

/// The number a field starts from where there is no row yet.
pub(crate) fn start_of<M, C: FieldOf<M>>() -> Option<crate::field::Number> {
    C::start().as_ref().and_then(crate::field::to_number)
}

macro_rules! operators { ($($trait:ident $method:ident $operator:ident $marker:ident)*) => { $(
    impl<Tab, ST: $marker, R: Operand<Tab, ST, Result: $marker>> ops::$trait<R> for Expr<Tab, ST> {
        type Output = Expr<Tab, R::Result>;
        fn $method(self, right: R) -> Self::Output {
            let (operator, numbers) = match (Operator::$operator, <R::Result as Arithmetic>::OF_INTEGERS) {
                (Operator::Div, true) => (Operator::Quotient, Numbers::Integers),
                (operator, true) => (operator, Numbers::Integers),
                (operator, false) => (operator, Numbers::Fractions),
            };
            Expr::new(Node::Binary(operator, numbers, Box::new(self.0), Box::new(right.into_node())))
        }
    }
)* } }
operators!(Add add Add Arithmetic  Sub sub Sub Arithmetic  Mul mul Mul Arithmetic  Div div Div Arithmetic
    Rem rem Rem Integral  BitAnd bitand BitAnd Integral  BitOr bitor BitOr Integral);
