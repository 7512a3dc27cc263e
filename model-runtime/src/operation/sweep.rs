use super::Operation;
use crate::cache::outbox;
use crate::engine::Executor;
use crate::error::Result;

/// Tells the cache of the keys in the outbox; made by [`Session::sweep_outbox`](crate::Session::sweep_outbox).
#[derive(Debug)]
pub struct SweepOutbox;

impl<S: Executor> Operation<S> for SweepOutbox {
    type Output = usize;

    async fn run(self, db: &mut S) -> Result<usize> {
        outbox::sweep(db).await
    }
}
