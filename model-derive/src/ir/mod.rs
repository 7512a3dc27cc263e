//! What a model means. No attribute of the source survives here; `expand` reads nothing else.
mod facts;

use proc_macro2::Span;
use syn::{Expr, Ident, LitStr, Path, Type, Visibility};

/// The most fields that the bit masks of a model hold.
pub(crate) const MAX_FIELDS: usize = 64;
/// The most columns that a key of the runtime has.
pub(crate) const MAX_KEY: usize = 4;

/// A row struct and everything its attributes say.
pub(crate) struct Model {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    /// The crate that generated code names, `::model_runtime`.
    pub(crate) runtime: Path,
    pub(crate) table: Path,
    pub(crate) fields: Vec<Field>,
    pub(crate) key: Key,
    pub(crate) caching: Caching,
    /// Where `#[sentry(hooks)]` stands.
    pub(crate) hooks: Option<Span>,
    /// What `repr()` prints, in order.
    pub(crate) repr: Vec<Shown>,
}

/// A field, which is a column of the model's table.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    /// The column's Rust name inside the table's module.
    pub(crate) column: Ident,
    pub(crate) ty: Type,
    /// Its place in the struct and its bit in every mask.
    pub(crate) index: usize,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) clock: Clock,
    pub(crate) start: Start,
}

/// The range of `#[bounded]`.
pub(crate) struct Bounds {
    /// The attribute, where rustc reports a type that is no integer.
    pub(crate) span: Span,
    pub(crate) min: Min,
    pub(crate) max: Max,
}

/// The smallest value.
pub(crate) enum Min {
    OfType,
    /// 0.
    Positive,
    /// 1; a 0 in memory means that the database has yet to assign the value.
    Auto,
    At(Limit),
}

/// The largest value.
pub(crate) enum Max {
    OfType,
    At(Limit),
}

/// An end of a range that the user wrote.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) value: i128,
    pub(crate) span: Span,
}

/// When the session's clock fills a field that is not given.
pub(crate) enum Clock {
    Never,
    /// `#[auto_now]`
    EveryWrite(Span),
    /// `#[auto_now_add]`
    Create(Span),
}

/// What a new row has where the field is not given, and what `F` starts from.
pub(crate) enum Start {
    /// The column's default in the database; zero for `F` of a number.
    Database,
    /// `#[default("text")]`, converted with `From`.
    Text(LitStr),
    /// `#[default(expr)]`
    Value(Expr),
}

/// A list of fields in declared order: the primary key or a cached lookup.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) parts: Vec<Part>,
    pub(crate) span: Span,
}

/// One field of a key, and the token that named it.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) index: usize,
    pub(crate) span: Span,
    /// The form in which values are compared; as they are without.
    pub(crate) form: Option<Form>,
}

/// A form in which some spellings of a text are the same.
#[derive(Clone)]
pub(crate) enum Form {
    /// `iexact`: A to Z are a to z.
    Iexact(Span),
    /// A Rust function, and the SQL function that it mirrors.
    Mirrored { function: Path, sql: LitStr },
}

/// Whether rows are cached.
pub(crate) enum Caching {
    /// No `#[cache_fields]`: lookups through the cache do not compile.
    Off,
    /// By primary key and by these lookups.
    On {
        ttl: Ttl,
        /// By how many percent times to live differ.
        jitter: u8,
        /// How long absence is cached, if it is.
        negative: Option<Ttl>,
        /// How long a copy may serve in the process that read it.
        near: Option<Ttl>,
        /// What keys are named after, if not after the struct.
        name: Option<LitStr>,
        outage: Outage,
        phase: Phase,
        /// Of what `negative` caches.
        negative_phase: Option<Stage>,
        lookups: Vec<Key>,
    },
}

/// What becomes of a write that the cache cannot be told of.
#[derive(Clone, Copy)]
pub(crate) enum Outage {
    Proceed,
    Refuse,
    Outbox,
}

/// How far a cache is turned on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Off,
    WriteOnly,
    On,
}

/// A phase that the user wrote.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) phase: Phase,
    pub(crate) span: Span,
}

/// How long a cached row may stay.
pub(crate) struct Ttl {
    pub(crate) millis: u64,
    pub(crate) span: Span,
}

/// A field of `repr()` under the name that the user listed.
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) part: Part,
}
