//! Where cached entries live: one trait, an in-process store and Redis.
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

#[cfg(feature = "memory")]
pub use memory::MemoryStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "tls")]
pub use redis::Tls;

use crate::cache::entry::Epoch;
use crate::cache::protocol::{Command, Reply};
use std::fmt::Debug;

/// The answer to a batch: one reply per command, and which life of the store gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A value that carries another epoch must not be served.
    pub epoch: Epoch,
    /// Whether this life of the store is so young that writers of the one before may still be at work, whose intents
    /// it does not know: nothing may be filled. What it holds may be served.
    pub quarantined: bool,
    /// Whether a store that is short of memory drops write intents before all else: models that would rather not be
    /// written than be read stale are not written then.
    pub forgetful: bool,
    /// In the order of the commands.
    pub replies: Vec<Reply>,
}

/// Why a store did not answer; the commands may or may not have been carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A future of a store's answer.
#[cfg(feature = "async")]
pub type Answering<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Answer, StoreError>> + Send + 'a>>;

/// Who is told of writes.
pub trait Ear {
    /// What the keys begin with that are to be told of beside those before; `None` where nobody listens any more. To be
    /// asked every second at least.
    fn wanted(&mut self) -> Option<Vec<String>>;
    /// From now on every write of what was wanted is told.
    fn listening(&mut self);
    /// This key was written.
    fn written(&mut self, key: &str);
    /// Any key may have been written.
    fn anything_written(&mut self);
}

/// Carries out the steps of [`protocol`](crate::cache::protocol).
///
/// Each command is atomic; a batch is one round trip and need not be. A batch may be carried out twice. A call
/// must end: time-outs are the store's own business.
pub trait Store: Debug + Send + Sync {
    /// Carries out the commands, one at least, in order.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer, refuses one of the commands, or is not what it was
    /// taken for.
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError>;

    /// Whether others write to it too, of whom [`listen`](Self::listen) tells. Without that, copies of rows near their
    /// readers are bounded by their age alone.
    fn is_shared(&self) -> bool {
        false
    }

    /// Tells of keys that are written, until nobody wants to hear of them; blocks.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be told any more what is written.
    fn listen(&self, _ear: &mut dyn Ear) -> Result<(), StoreError> {
        Ok(())
    }

    /// [`call`](Self::call) without blocking; the default blocks, which suits a store that never waits.
    #[cfg(feature = "async")]
    fn call_async<'a>(&'a self, batch: &'a [Command]) -> Answering<'a> {
        Box::pin(std::future::ready(self.call(batch)))
    }
}
