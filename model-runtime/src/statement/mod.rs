//! SQL statements as lists of parts, generic over the backend; no connection in this room.
//!
//! Every statement is cacheable as a prepared statement: its text depends on the set of columns and the
//! shape of its expressions alone, in the order of the struct, and [`Shapes`] bounds how many there are.
mod assignments;
mod dialect;
mod plain;
mod shapes;
mod text;

pub use assignments::{Assignments, SqlSet};
pub(crate) use assignments::{Guarded, Pair, Purpose};
pub use dialect::{Dialect, EndedBy, OpenTransaction};
pub(crate) use plain::decides_by_the_row;
pub use shapes::Shapes;
pub(crate) use shapes::shape_of_predicate;
pub use text::Statement;
pub(crate) use text::TableName;
