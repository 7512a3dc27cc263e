//! The one table: rows that carry how often they were written.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use crate::databases::Schema;
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    histories (id) {
        id -> Integer,
        slug -> Text,
        v -> Integer,
    }
}

/// Its table.
pub const SCHEMA: Schema =
    Schema(&["CREATE TABLE histories (id {pk}, slug {key} NOT NULL UNIQUE, v INTEGER NOT NULL)"]);

/// A row whose every write is `v := v + 1`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = histories)]
#[cache_fields(slug, ttl = "5m")]
pub struct History {
    /// The primary key.
    #[bounded(auto)]
    pub id: i32,
    /// A unique field, which never changes.
    pub slug: String,
    /// How often it was written.
    #[bounded(positive)]
    pub v: i32,
}

/// The slug of the row at a place of the list.
#[must_use]
pub fn slug(row: u8) -> String {
    format!("row-{row}")
}
