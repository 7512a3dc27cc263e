//! The integer types that `#[bounded]` can stand on.

/// An integer column type whose range `#[bounded]` can enforce: `i16`, `i32`, `i64` and `Option` of them.
///
/// The maxima are those of the SQL types SMALLINT, INTEGER and BIGINT: 32767, 2147483647 and
/// 9223372036854775807.
#[diagnostic::on_unimplemented(
    message = "`#[bounded]` needs an integer field, not `{Self}`",
    label = "not `i16`, `i32`, `i64` or `Option` of one of them",
    note = "remove `#[bounded]`, or make the field an integer"
)]
pub trait BoundedInteger {
    /// The type's smallest value.
    const MIN: i128;
    /// The type's largest value.
    const MAX: i128;
}

macro_rules! bounded_integers { ($($t:ty)*) => { $(
    impl BoundedInteger for $t {
        // Casts because `i128::from` is not const; every one of them widens.
        const MIN: i128 = <$t>::MIN as i128;
        const MAX: i128 = <$t>::MAX as i128;
    }
)* } }
bounded_integers!(i16 i32 i64);

impl<T: BoundedInteger> BoundedInteger for Option<T> {
    const MIN: i128 = T::MIN;
    const MAX: i128 = T::MAX;
}
