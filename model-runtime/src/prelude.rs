//! What user code imports: `use model_runtime::prelude::*;`, beside `diesel::prelude::*`.
//!
//! Extension traits leave it without a name, so that no name of ours meets one of Diesel's.
#[cfg(feature = "async")]
pub use crate::AsyncSession;
pub use crate::error::OptionalRow as _;
pub use crate::{
    Cache, CreateOrUpdate, Error, F, GzippedDict, PositiveBigInteger, PositiveInteger, SentryModel, Session,
    Tracked, Uncached, WrappingU32,
};
