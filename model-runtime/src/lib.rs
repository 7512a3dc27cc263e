//! Change tracking, one-statement updates, enforced bounds and a coherent row cache for Diesel models.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cache;
mod changes;
mod clock;
mod engine;
mod error;
mod expression;
mod field;
mod hooks;
mod model;
mod operation;
pub mod prelude;
mod repr;
mod schema;
mod session;
mod statement;
pub mod store;
mod tracked;

#[doc(hidden)]
pub mod __private;

/// The examples of the documents, compiled and run.
#[cfg(all(doctest, feature = "sqlite", feature = "memory", feature = "chrono"))]
mod documents {
    macro_rules! documents { ($($name:ident $path:literal)*) => { $(
        #[doc = include_str!($path)]
        struct $name;
    )* } }
    documents! {
        Readme "../../README.md"
        Manual "../../model-derive/src/manual.md"
        FromZero "../../docs/guide/from-zero.md"
        FieldTypes "../../docs/guide/fields.md"
        Hooks "../../docs/guide/hooks.md"
        Schema "../../docs/guide/schema.md"
        UncachedFields "../../docs/guide/uncached.md"
        Merging "../../docs/guide/merging.md"
        Rollout "../../docs/guide/rollout.md"
        AutoNow "../../docs/guide/attributes/auto_now.md"
        Bounded "../../docs/guide/attributes/bounded.md"
        CacheFields "../../docs/guide/attributes/cache_fields.md"
        Default "../../docs/guide/attributes/default.md"
        Diesel "../../docs/guide/attributes/diesel.md"
        SaneRepr "../../docs/guide/attributes/sane_repr.md"
        Sentry "../../docs/guide/attributes/sentry.md"
        Attach "../../docs/guide/operations/attach.md"
        Create "../../docs/guide/operations/create.md"
        CreateMany "../../docs/guide/operations/create_many.md"
        CreateOrUpdate "../../docs/guide/operations/create_or_update.md"
        Delete "../../docs/guide/operations/delete.md"
        Expressions "../../docs/guide/operations/expressions.md"
        GetFromCache "../../docs/guide/operations/get_from_cache.md"
        GetManyFromCache "../../docs/guide/operations/get_many_from_cache.md"
        GetOrCreate "../../docs/guide/operations/get_or_create.md"
        Invalidate "../../docs/guide/operations/invalidate.md"
        Outbox "../../docs/guide/operations/outbox.md"
        Production "../../docs/guide/production.md"
        Refresh "../../docs/guide/operations/refresh.md"
        Save "../../docs/guide/operations/save.md"
        Tracking "../../docs/guide/operations/tracking.md"
        Transaction "../../docs/guide/operations/transaction.md"
        Update "../../docs/guide/operations/update.md"
        UpdateWhere "../../docs/guide/operations/update_where.md"
        FromDiesel "../../docs/guide/migrating/from-diesel.md"
        FromSentryDjango "../../docs/guide/migrating/from-sentry-django.md"
    }
}

pub use cache::key::KeyText;
pub use cache::{Cache, CacheBuilder, observe::Stats, outage::OutagePolicy, phase::Phase};
pub use changes::Changes;
pub use clock::Clock;
pub use engine::{Executor, Scope};
pub use error::{Error, OutOfBounds, Result};
pub use expression::{Arithmetic, Expr, F, Fits, Integral, Literal, Operand, Widen};
pub use field::{
    AsExpression, AsValue, Assign, BoundedInput, BoundedInteger, CacheKey, Col, FieldOf, GzippedDict, Input,
    KeyCols, KeyFor, KeyPart, KeyTexts, LookupKind, Normal, NormalText, Normalize, OutOfRange, PartValue,
    PositiveBigInteger, PositiveInteger, Storable, Timestamp, ToField, Uncached, UncachedExpression,
    WrappingU32,
};
pub use hooks::{HookError, HookSpec, Hooks, Pending, Saved, Write};
pub use model::{ModelSql, Predicate, SentryModel};
/// Derives the [`trait@SentryModel`] trait.
pub use model_derive::SentryModel;
pub use operation::{
    Attach, Attached, Create, CreateMany, CreateOrUpdate, Defaults, Delete, DeleteWhere, ForeignKey, Get,
    GetMany, GetOrCreate, HasAllMatches, HasDefaults, HasMatching, HasOnInsert, HasPatch, HasSql, Invalidate,
    Matching, Operation, Refresh, RunMatching, RunWithSql, Save, SaveMany, SetSql, SqlFor, SweepOutbox,
    Update, UpdateWhere, Upsert, VerifySchema,
};
pub use schema::{Catalog, Describe, Outbox, SchemaProblem, SchemaProblemKind};
#[cfg(feature = "async")]
pub use session::{AsyncCallback, AsyncSession};
pub use session::{CacheOutcome, Face, Runner, Session, Transaction, TransactionNode};
pub use statement::{Assignments, Dialect, EndedBy, OpenTransaction, Shapes, SqlSet, Statement};
pub use tracked::Tracked;
