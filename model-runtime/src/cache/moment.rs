//! chrono's timestamps in a cached row: two numbers.
//!
//! serde's form of them is a text, and parsing it takes as long as the rest of a hit. Which type a field has is known
//! when the code is compiled, so that nothing is left of the questions here.
use std::any::{Any, TypeId};

/// Seconds since 1970, and the nanoseconds that follow; more than 10⁹ of them in a leap second.
pub(super) type Moment = (i64, u32);

type Naive = chrono::NaiveDateTime;
type Utc = chrono::DateTime<chrono::Utc>;

/// Whether a field of this type is cached as a moment.
pub(super) fn is_moment<T: 'static>() -> bool {
    let own = TypeId::of::<T>();
    own == TypeId::of::<Naive>()
        || own == TypeId::of::<Option<Naive>>()
        || own == TypeId::of::<Utc>()
        || own == TypeId::of::<Option<Utc>>()
}

/// The moment of such a field; `None` for NULL.
pub(super) fn of<T: 'static>(field: &T) -> Option<Moment> {
    let field: &dyn Any = field;
    let naive = || field.downcast_ref::<Naive>().or_else(|| field.downcast_ref::<Option<Naive>>()?.as_ref());
    let utc = || field.downcast_ref::<Utc>().or_else(|| field.downcast_ref::<Option<Utc>>()?.as_ref());
    let at = naive().map(Naive::and_utc).or_else(|| utc().copied())?;
    Some((at.timestamp(), at.timestamp_subsec_nanos()))
}

/// The field of such a type; `None` where there is no such moment, or no NULL.
pub(super) fn field<T: 'static>(moment: Option<Moment>) -> Option<T> {
    let mut out: Option<T> = None;
    let slot: &mut dyn Any = &mut out;
    let utc = match moment {
        Some((seconds, nanos)) => Some(Utc::from_timestamp(seconds, nanos)?),
        None => None,
    };
    let naive = utc.map(|at| at.naive_utc());
    if let Some(slot) = slot.downcast_mut::<Option<Naive>>() {
        *slot = naive;
    } else if let Some(slot) = slot.downcast_mut::<Option<Option<Naive>>>() {
        *slot = Some(naive);
    } else if let Some(slot) = slot.downcast_mut::<Option<Utc>>() {
        *slot = utc;
    } else if let Some(slot) = slot.downcast_mut::<Option<Option<Utc>>>() {
        *slot = Some(utc);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{NaiveDate, NaiveTime};
    use proptest::prelude::*;

    fn again<T: 'static>(value: &T) -> Option<T> {
        assert!(is_moment::<T>());
        field(of(value))
    }

    proptest! {
        #[test]
        fn every_timestamp_comes_back(seconds in any::<i64>(), nanos in 0_u32..2_000_000_000) {
            if let Some(at) = Utc::from_timestamp(seconds, nanos) {
                prop_assert_eq!(again(&at), Some(at));
                prop_assert_eq!(again(&at.naive_utc()), Some(at.naive_utc()));
                prop_assert_eq!(again(&Some(at)), Some(Some(at)));
                prop_assert_eq!(again(&Some(at.naive_utc())), Some(Some(at.naive_utc())));
            } else {
                prop_assert_eq!(field::<Utc>(Some((seconds, nanos))), None);
            }
        }
    }

    #[test]
    fn the_ends_of_time_and_leap_seconds_come_back() {
        let leap = NaiveTime::from_hms_nano_opt(23, 59, 59, 1_999_999_999).unwrap();
        let leap = NaiveDate::from_ymd_opt(2016, 12, 31).unwrap().and_time(leap);
        for at in [Naive::MIN, Naive::MAX, leap] {
            assert_eq!(again(&at), Some(at));
        }
    }

    #[test]
    fn null_is_null_only_where_the_field_may_be() {
        assert_eq!(again(&None::<Naive>), Some(None));
        assert_eq!(again(&None::<Utc>), Some(None));
        assert_eq!(field::<Naive>(None), None);
        assert_eq!(field::<Utc>(None), None);
    }

    #[test]
    fn other_types_are_none() {
        assert!(!is_moment::<i64>() && !is_moment::<String>() && !is_moment::<Option<Option<Naive>>>());
    }
}
