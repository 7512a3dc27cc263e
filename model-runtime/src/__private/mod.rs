//! The only path that generated code names. Not a public interface: it changes without notice.
mod helpers;

pub use helpers::{
    apply, copy_if, field_number, fill_default, fill_now, is_dirty, read_field, swap_if, vacant,
};

pub use crate::cache::codec::{CacheSpec, CodecError, Decoder, Encoder, Fingerprint, LookupSpec, key_text};
pub use crate::cache::outage::OutagePolicy;
pub use crate::cache::phase::Phase;
pub use crate::error::Error;
pub use crate::field::normal::iexact;
pub use crate::field::null::{Probe, ProbeAny, ProbeOption};
pub use crate::field::uncached::{FieldProbe, InKeys, InOption, InRepr, ProbeField};
pub use crate::field::{
    Assign, BoundedInput, BoundedInteger, CacheKey, Col, FieldOf, Input, KeyCols, KeyTexts, LookupKind,
    Normal, NormalText, Normalize, Number, Storable, Timestamp, ToField,
};
pub use crate::hooks::{HookSpec, hooks_of};
pub use crate::model::{ModelSql, ModelState, Predicate, SentryModel};
pub use crate::operation::{
    Defaults, HasAllMatches, HasDefaults, HasMatching, HasOnInsert, HasPatch, HasSql, Matching, Operation,
    SetSql, SqlFor,
};
pub use crate::repr::Repr;
pub use crate::schema::Describe;
pub use crate::session::Runner;
pub use crate::statement::{Assignments, Dialect};
pub use crate::tracked::Tracked;

pub use diesel::deserialize::Result as FromRow;
pub use diesel::expression::Expression;
pub use diesel::query_builder::{AstPass, QueryFragment};
pub use diesel::query_source::Column;
pub use diesel::result::QueryResult;
pub use diesel::row::Row;
