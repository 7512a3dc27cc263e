//! What a setter takes, and the assignment it leaves in a patch.
use super::{FieldOf, Number, Uncached, from_integer, to_number};
use crate::expression::{Expr, Fits};
use diesel::Column;
use diesel::expression::Expression;

/// One assignment of a patch.
// `M` appears through the projection only.
#[derive(Debug)]
pub enum Assign<M, C: FieldOf<M>> {
    /// A value.
    Value(C::Value),
    /// An expression that the database computes.
    Expr(Expr<C::Table, <C as Expression>::SqlType>),
    /// A number outside the field's range; reported when the operation runs.
    OutOfBounds(i128),
}

impl<M, C: FieldOf<M>> Clone for Assign<M, C> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone()),
            Self::Expr(expr) => Self::Expr(expr.clone()),
            Self::OutOfBounds(value) => Self::OutOfBounds(*value),
        }
    }
}

impl<M, C: FieldOf<M>> Assign<M, C> {
    /// The value; a number outside the field's bounds is refused.
    pub(crate) fn checked(value: C::Value) -> Self {
        match (to_number(&value), C::BOUNDS) {
            (Some(Number::Integer(number)), Some(_)) => bounded(number),
            _ => Self::Value(value),
        }
    }
}

/// Marks the inputs that are values; never written by callers.
#[derive(Debug)]
pub struct AsValue;
/// Marks the inputs that are expressions; never written by callers.
#[derive(Debug)]
pub struct AsExpression;

/// What the setter of a field takes: a value of the field's type, or an expression.
// `Kind` keeps the two implementations apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be assigned to the field `{C}` of `{M}`",
    label = "neither a value of the field nor an `F` expression of its table and SQL type"
)]
pub trait Input<M, C: FieldOf<M>, Kind> {
    /// The assignment.
    fn assign(self) -> Assign<M, C>;
}

impl<M, C: FieldOf<M>, V: ToField<C::Value>> Input<M, C, AsValue> for V {
    fn assign(self) -> Assign<M, C> {
        Assign::Value(self.to_field())
    }
}

impl<M, C: FieldOf<M>, ST> Input<M, C, AsExpression> for Expr<<C as Column>::Table, ST>
where
    ST: Fits<<C as Expression>::SqlType>,
{
    fn assign(self) -> Assign<M, C> {
        Assign::Expr(self.stored())
    }
}

/// The value conversions of setters and keys: itself, by reference, `&str` for `String`, `T` for `Option<T>`; all of them
/// for `Uncached` as well.
#[diagnostic::on_unimplemented(
    message = "a value of type `{Self}` does not fit a field of type `{T}`",
    label = "expected `{T}`, or an `F` expression over the same column type"
)]
pub trait ToField<T> {
    /// The value as the field's type.
    fn to_field(self) -> T;
}

impl<T> ToField<T> for T {
    fn to_field(self) -> T {
        self
    }
}

impl<T> ToField<Option<T>> for T {
    fn to_field(self) -> Option<T> {
        Some(self)
    }
}

impl<T: Clone> ToField<T> for &T {
    fn to_field(self) -> T {
        self.clone()
    }
}

impl ToField<String> for &str {
    fn to_field(self) -> String {
        self.into()
    }
}

impl ToField<Option<String>> for &str {
    fn to_field(self) -> Option<String> {
        Some(self.into())
    }
}

impl<T> ToField<Uncached<T>> for T {
    fn to_field(self) -> Uncached<T> {
        self.into()
    }
}

impl<T> ToField<Uncached<Option<T>>> for T {
    fn to_field(self) -> Uncached<Option<T>> {
        Some(self).into()
    }
}

impl<T: Clone> ToField<Uncached<T>> for &T {
    fn to_field(self) -> Uncached<T> {
        self.clone().into()
    }
}

impl ToField<Uncached<String>> for &str {
    fn to_field(self) -> Uncached<String> {
        self.into()
    }
}

impl ToField<Uncached<Option<String>>> for &str {
    fn to_field(self) -> Uncached<Option<String>> {
        Some(self.into()).into()
    }
}

/// What the setter of a `#[bounded]` field takes: an integer of any width, or an expression.
// Concrete implementations only, so no kind marker is needed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be assigned to the bounded field `{C}` of `{M}`",
    label = "expected an integer of any width, or an `F` expression over this table"
)]
pub trait BoundedInput<M, C: FieldOf<M>> {
    /// The assignment.
    fn assign(self) -> Assign<M, C>;
}

impl<M, C: FieldOf<M>, ST> BoundedInput<M, C> for Expr<<C as Column>::Table, ST>
where
    ST: Fits<<C as Expression>::SqlType>,
{
    fn assign(self) -> Assign<M, C> {
        Assign::Expr(self.stored())
    }
}

macro_rules! bounded_inputs { ($($t:ty)*) => { $(
    impl<M, C: FieldOf<M>> BoundedInput<M, C> for $t {
        fn assign(self) -> Assign<M, C> {
            i128::try_from(self).map_or(Assign::OutOfBounds(i128::MAX), bounded)
        }
    }
    impl<M, C: FieldOf<M, Value = Option<V>>, V> BoundedInput<M, C> for Option<$t> {
        fn assign(self) -> Assign<M, C> {
            self.map_or(Assign::Value(None), BoundedInput::assign)
        }
    }
)* } }
bounded_inputs!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

/// `value` as an assignment, refused where it is outside the field's range.
fn bounded<M, C: FieldOf<M>>(value: i128) -> Assign<M, C> {
    let in_range = C::BOUNDS.is_none_or(|(min, max)| (min..=max).contains(&value));
    match from_integer(value) {
        Some(stored) if in_range => Assign::Value(stored),
        _ => Assign::OutOfBounds(value),
    }
}
