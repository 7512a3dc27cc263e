//! Bounds the number of distinct prepared statements per model.
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{OnceLock, PoisonError, RwLock};

/// How many shapes of one model are prepared and kept per connection; further ones are prepared anew for
/// each call. A model of 20 columns has a million subsets, and MySQL keeps 16382 statements per server.
const LIMIT: usize = 64;

/// The shapes of statements that one model has used so far.
#[derive(Debug, Default)]
pub struct Shapes(OnceLock<RwLock<HashSet<u64>>>);

impl Shapes {
    /// No shape used yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Whether statements of this shape stay prepared.
    pub(crate) fn admit(&self, shape: u64) -> bool {
        let seen = self.0.get_or_init(RwLock::default);
        if seen.read().unwrap_or_else(PoisonError::into_inner).contains(&shape) {
            return true;
        }
        let mut seen = seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.contains(&shape) || (seen.len() < LIMIT && seen.insert(shape))
    }
}

/// What the text of a predicate depends on; `None` where its type does not tell, because it is chosen at run time.
///
/// Diesel's expressions that have several texts of one type (lists, SQL literals) say so themselves.
pub(crate) fn shape_of_predicate<P>() -> Option<u64> {
    let name = std::any::type_name::<P>();
    if name.contains("dyn ") {
        return None;
    }
    let mut shape = DefaultHasher::new();
    name.hash(&mut shape);
    Some(shape.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boxed_predicate_has_no_shape() {
        assert_ne!(shape_of_predicate::<u8>(), shape_of_predicate::<u16>());
        assert_eq!(shape_of_predicate::<Box<dyn std::fmt::Debug>>(), None);
    }

    #[test]
    fn the_first_shapes_stay_prepared_and_the_rest_do_not() {
        let shapes = Shapes::new();
        let limit = LIMIT as u64;
        assert!((0..limit).all(|shape| shapes.admit(shape)));
        assert!(!shapes.admit(limit));
        assert!(shapes.admit(0), "an admitted shape stays admitted");
    }
}
