//! What one model keeps for the life of the process.
use super::SentryModel;
use crate::cache::codec::{Fingerprint, name_of};
use crate::cache::phases::Known;
use crate::statement::Shapes;
use std::sync::OnceLock;

/// What one model keeps for the life of the process.
#[derive(Debug, Default)]
pub struct ModelState {
    pub(crate) shapes: Shapes,
    fingerprint: OnceLock<u64>,
    /// What the cache that was last asked does with the model's entries.
    pub(crate) known: Known,
}

impl ModelState {
    /// Nothing known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { shapes: Shapes::new(), fingerprint: OnceLock::new(), known: Known::nothing() }
    }

    /// The schema's fingerprint: rows cached under another one are not decoded.
    pub(crate) fn fingerprint<M: SentryModel>() -> u64 {
        *M::state().fingerprint.get_or_init(|| {
            let mut out = Fingerprint::new(name_of::<M>());
            M::describe(&mut out);
            out.finish()
        })
    }
}
