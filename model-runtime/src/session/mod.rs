//! Sessions run operations: a connection, a cache, a clock and a transaction.
#[cfg(feature = "async")]
mod asynchronous;
mod face;
mod sync;
mod transaction;

#[cfg(feature = "async")]
pub use asynchronous::{AsyncCallback, AsyncSession};
pub use face::{Face, Runner};
pub use sync::Session;
pub(crate) use transaction::Touched;
pub use transaction::{CacheOutcome, Transaction, TransactionNode};
