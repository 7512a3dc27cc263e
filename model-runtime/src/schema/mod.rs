//! What a model expects of its table: compared with the live one, and as the SQL that adds what is missing.
//!
//! Data flows one way: `expected` is what the model says, `live` what the database says (asked with the texts of
//! `catalog`), `compare` the difference, `migration` the SQL. Only `live` runs statements.
mod bounds;
mod catalog;
mod compare;
mod expected;
mod live;
mod migration;
mod outbox;

pub use catalog::{Catalog, Outbox};
pub use compare::{SchemaProblem, SchemaProblemKind};
pub use expected::Describe;

#[cfg(feature = "mysql_backend")]
pub(crate) use catalog::MYSQL;
#[cfg(feature = "postgres_backend")]
pub(crate) use catalog::POSTGRES;
#[cfg(feature = "sqlite")]
pub(crate) use catalog::SQLITE;
pub(crate) use compare::problems;
pub(crate) use expected::Expected;
pub(crate) use live::table;
pub(crate) use migration::migration_sql;
pub(crate) use outbox::triggers_sql;
