//! The shared row cache: its protocol, its entries, and the handle that sessions use.
//!
//! [`Cache`] is what an application makes once and clones; [`protocol`] has every decision, pure.
mod breaker;
mod builder;
pub(crate) mod canary;
pub(crate) mod codec;
pub mod entry;
pub(crate) mod flight;
pub(crate) mod gate;
mod handle;
mod keeper;
pub mod key;
#[cfg(feature = "chrono")]
mod moment;
pub(crate) mod near;
pub mod observe;
pub(crate) mod outage;
pub(crate) mod outbox;
pub mod protocol;
pub(crate) mod read;
mod send;
pub(crate) mod unplaced;
pub(crate) mod write;

pub use builder::CacheBuilder;
pub use handle::Cache;
pub(crate) use send::deletions;
