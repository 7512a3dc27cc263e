//! Numbers of any primitive type, seen through `Any` so that no numeric bound leaks into generated code.
use super::{PositiveBigInteger, PositiveInteger, Uncached};
use std::any::{Any, TypeId};

/// A number that an expression computes with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Any integer.
    Integer(i128),
    /// A floating-point number.
    Float(f64),
}

macro_rules! integers { ($($t:ty)*) => {
    /// `value` as the integer type `T` or `Option` of it; `None` where it does not fit, or `T` is none.
    pub(crate) fn from_integer<T: 'static>(value: i128) -> Option<T> {
        let mut out: Option<T> = None;
        let slot = &mut out as &mut dyn Any;
        $(
            if let Some(slot) = slot.downcast_mut::<Option<$t>>() {
                *slot = <$t>::try_from(value).ok();
                return out;
            }
            if let Some(slot) = slot.downcast_mut::<Option<Option<$t>>>() {
                *slot = <$t>::try_from(value).ok().map(Some);
                return out;
            }
        )*
        out
    }

    fn integer<T: 'static>(value: &T) -> Option<Number> {
        let value = value as &dyn Any;
        $(
            if let Some(value) = value.downcast_ref::<$t>() {
                return Some(Number::Integer(i128::from(*value)));
            }
            if let Some(value) = value.downcast_ref::<Option<$t>>() {
                return value.map(|value| Number::Integer(i128::from(value)));
            }
        )*
        None
    }

    /// The smallest and the largest value of the integer type `T` or `Option` of it, uncached or not.
    pub(crate) fn integer_range<T: 'static>() -> Option<(i128, i128)> {
        let kind = TypeId::of::<T>();
        $(
            let plain = kind == TypeId::of::<$t>() || kind == TypeId::of::<Option<$t>>();
            if plain || kind == TypeId::of::<Uncached<$t>>() || kind == TypeId::of::<Uncached<Option<$t>>>() {
                return Some((i128::from(<$t>::MIN), i128::from(<$t>::MAX)));
            }
        )*
        None
    }
} }
integers!(i8 i16 i32 i64 u8 u16 u32 u64 PositiveInteger PositiveBigInteger);

/// The number in `value`; `None` for NULL, for types that are not numbers, and for an `Uncached`: numbers go into errors.
pub(crate) fn to_number<T: 'static>(value: &T) -> Option<Number> {
    let any = value as &dyn Any;
    integer(value)
        .or_else(|| any.downcast_ref::<f64>().map(|v| Number::Float(*v)))
        .or_else(|| any.downcast_ref::<f32>().map(|v| Number::Float((*v).into())))
        .or_else(|| any.downcast_ref::<Option<f64>>()?.map(Number::Float))
        .or_else(|| any.downcast_ref::<Option<f32>>()?.map(|v| Number::Float(v.into())))
}

/// `number` as the field type `T`; `None` where it does not fit.
#[allow(clippy::cast_precision_loss, reason = "as a database computes with a DOUBLE")]
pub(crate) fn from_number<T: 'static>(number: Number) -> Option<T> {
    match number {
        Number::Integer(value) => from_integer(value).or_else(|| from_float(value as f64)),
        Number::Float(value) => from_float(value),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "to the nearest REAL, as a database stores it")]
fn from_float<T: 'static>(value: f64) -> Option<T> {
    let mut out: Option<T> = None;
    let slot = &mut out as &mut dyn Any;
    if let Some(slot) = slot.downcast_mut::<Option<f64>>() {
        *slot = Some(value);
    } else if let Some(slot) = slot.downcast_mut::<Option<f32>>() {
        *slot = Some(value as f32);
    } else if let Some(slot) = slot.downcast_mut::<Option<Option<f64>>>() {
        *slot = Some(Some(value));
    } else if let Some(slot) = slot.downcast_mut::<Option<Option<f32>>>() {
        *slot = Some(Some(value as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_go_both_ways_or_not_at_all() {
        assert_eq!(from_integer::<i16>(-7), Some(-7));
        assert_eq!(from_integer::<Option<u8>>(255), Some(Some(255)));
        assert_eq!(from_integer::<i32>(i128::from(i32::MAX) + 1), None);
        assert_eq!(from_integer::<String>(1), None);
        assert_eq!(to_number(&Some(3_i64)), Some(Number::Integer(3)));
        assert_eq!(to_number(&None::<i64>), None);
        assert_eq!(to_number(&1.5_f32), Some(Number::Float(1.5)));
        assert_eq!(from_number::<f64>(Number::Integer(2)), Some(2.0));
        assert_eq!(integer_range::<Option<i16>>(), Some((-32768, 32767)));
        assert_eq!(integer_range::<f64>(), None);
    }
}
