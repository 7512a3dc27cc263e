//! What one model keeps for the life of the process.
use super::SentryModel;
use crate::cache::codec::{Fingerprint, name_of};
use crate::field::{FieldOf, KeyCols};
use crate::schema::Describe;
use crate::statement::Shapes;
use diesel::expression::Expression;
use std::any::type_name;
use std::sync::OnceLock;

/// What one model keeps for the life of the process.
#[derive(Debug, Default)]
pub struct ModelState {
    pub(crate) shapes: Shapes,
    fingerprint: OnceLock<u64>,
    exact_key: OnceLock<bool>,
}

impl ModelState {
    /// Nothing known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { shapes: Shapes::new(), fingerprint: OnceLock::new(), exact_key: OnceLock::new() }
    }

    /// The schema's fingerprint: rows cached under another one are not decoded.
    pub(crate) fn fingerprint<M: SentryModel>() -> u64 {
        *M::state().fingerprint.get_or_init(|| {
            let mut out = Fingerprint::new(name_of::<M>());
            M::describe(&mut out);
            out.finish()
        })
    }

    /// Whether two values of the primary key that the database takes for equal are the same bytes. Texts may be compared
    /// under a collation.
    pub(crate) fn has_exact_key<M: SentryModel>() -> bool {
        *M::state().exact_key.get_or_init(|| {
            let mut columns = KeyColumns { exact: true };
            M::describe(&mut columns);
            columns.exact
        })
    }
}

/// SQL types whose values are equal where their texts are.
const EXACT: [&str; 8] =
    ["SmallInt", "Integer", "BigInt", "Bool", "Date", "Timestamp", "TimestamptzSqlite", "Uuid"];

/// Looks at the columns of the primary key.
struct KeyColumns {
    exact: bool,
}

impl Describe for KeyColumns {
    fn field<M: SentryModel, C: FieldOf<M>>(&mut self) {
        if M::Pk::COLUMNS.contains(&C::NAME) {
            let path = type_name::<<C as Expression>::SqlType>();
            let name = path
                .strip_prefix("diesel::sql_types::")
                .or(path.strip_prefix("diesel::pg::types::sql_types::"));
            self.exact &= name.is_some_and(|name| EXACT.contains(&name));
        }
    }
}
