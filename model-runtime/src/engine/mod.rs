//! The algorithms, each once, as `async fn`s over an [`Executor`].
//!
//! The sync session's executor never suspends, so one poll ends each of them; the async session awaits.
mod bulk;
mod canary;
mod create_many;
mod executor;
mod guard;
mod hooks;
mod lock;
mod lookup;
mod many;
mod matching;
mod observe;
mod read;
mod reread;
mod transaction;
mod upsert;
mod wait;
mod write;

pub(crate) use bulk::{delete_where, update_where};
pub(crate) use create_many::create_many;
pub use executor::{Executor, Scope};
pub(crate) use guard::{Guard, roll_back_to};
#[cfg(feature = "async")]
pub(crate) use guard::{caught, guarded};
pub(crate) use hooks::before as before_write;
pub(crate) use lookup::{Call, Lookup, Matches};
pub(crate) use many::get_many;
pub(crate) use read::{described, get};
pub(crate) use transaction::{Unit, begin, conclude, finish};
pub(crate) use upsert::{create_or_update, get_or_create};
pub(crate) use write::{Updated, Wanted, by_key_of, delete, insert, know, update};
