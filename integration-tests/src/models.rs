//! The models that the behaviour tests share.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use crate::databases::Schema;
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    projects (id) {
        id -> Integer,
        organization_id -> Integer,
        slug -> Text,
        name -> Text,
        events -> Integer,
        data -> Text,
        date_added -> Timestamp,
        date_updated -> Timestamp,
    }
}

diesel::table! {
    organizations (id) {
        id -> Integer,
        name -> Text,
    }
}

diesel::table! {
    counters (id) {
        id -> Integer,
        a -> Integer,
        b -> Integer,
        result -> Integer,
        small -> SmallInt,
        big -> BigInt,
        ratio -> Double,
        maybe -> Nullable<Integer>,
    }
}

diesel::table! {
    blobs (id) {
        id -> Integer,
        text -> Text,
        packed -> Binary,
        note -> Nullable<Text>,
    }
}

diesel::joinable!(projects -> organizations (organization_id));
diesel::allow_tables_to_appear_in_same_query!(projects, organizations);

/// The tables above.
pub const SCHEMA: Schema = Schema(&[
    "CREATE TABLE projects (
        id {pk}, organization_id INTEGER NOT NULL, slug {key} NOT NULL UNIQUE, name {key} NOT NULL,
        events INTEGER NOT NULL DEFAULT 0, data TEXT NOT NULL DEFAULT (''),
        date_added {timestamp} NOT NULL, date_updated {timestamp} NOT NULL, UNIQUE (organization_id, name))",
    "CREATE TABLE organizations (id {pk}, name TEXT NOT NULL)",
    "CREATE TABLE counters (
        id {pk}, a INTEGER NOT NULL DEFAULT 0, b INTEGER NOT NULL DEFAULT 0, result INTEGER NOT NULL DEFAULT 0,
        small SMALLINT NOT NULL DEFAULT 0, big BIGINT NOT NULL DEFAULT 0, ratio {double} NOT NULL DEFAULT 0,
        maybe INTEGER)",
    "CREATE TABLE blobs (id {pk}, text TEXT NOT NULL DEFAULT (''), packed {binary} NOT NULL DEFAULT (''), note TEXT)",
]);

/// The model of the contract.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = projects)]
#[cache_fields(slug, (organization_id, name), ttl = "5m")]
#[sane_repr(slug)]
pub struct Project {
    /// The primary key.
    #[bounded(auto)]
    pub id: i32,
    /// A foreign key.
    pub organization_id: i32,
    /// A unique field.
    pub slug: String,
    /// Unique in its organization.
    pub name: String,
    /// A bounded counter.
    #[bounded(positive)]
    pub events: i32,
    /// A dict in a text column.
    pub data: GzippedDict,
    /// Set on create.
    #[auto_now_add]
    pub date_added: chrono::NaiveDateTime,
    /// Set on every write.
    #[auto_now]
    pub date_updated: chrono::NaiveDateTime,
}

/// A model that is not cached.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = organizations)]
pub struct Organization {
    /// The primary key.
    #[bounded(auto)]
    pub id: i32,
    /// Its name.
    pub name: String,
}

/// Numbers of every kind.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = counters)]
#[cache_fields()]
pub struct Counter {
    /// The primary key.
    #[bounded(auto)]
    pub id: i32,
    /// An integer without bounds.
    pub a: i32,
    /// An integer with a default.
    #[default(5)]
    pub b: i32,
    /// What tests compute.
    pub result: i32,
    /// SMALLINT.
    pub small: i16,
    /// BIGINT.
    pub big: i64,
    /// DOUBLE.
    pub ratio: f64,
    /// A nullable integer with bounds.
    #[bounded(min = -10, max = 1000)]
    pub maybe: Option<i32>,
}

/// Dicts in both kinds of columns.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = blobs)]
#[cache_fields()]
pub struct Blob {
    /// The primary key.
    #[bounded(auto)]
    pub id: i32,
    /// base64(zlib(JSON)).
    pub text: GzippedDict,
    /// zlib(JSON).
    pub packed: GzippedDict,
    /// A nullable text.
    pub note: Option<String>,
}

/// The model of the contract under another name, cached as the attributes say.
#[macro_export]
macro_rules! project_cached_as {
    ($(#[$doc:meta])* $name:ident: $($cache:tt)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
        #[diesel(table_name = projects)]
        #[cache_fields($($cache)*)]
        struct $name {
            #[bounded(auto)]
            id: i32,
            organization_id: i32,
            slug: String,
            name: String,
            #[bounded(positive)]
            events: i32,
            data: GzippedDict,
            #[auto_now_add]
            date_added: chrono::NaiveDateTime,
            #[auto_now]
            date_updated: chrono::NaiveDateTime,
        }
    };
}
