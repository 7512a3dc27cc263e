//! What keeps each generated line short.
use crate::error::name_field;
use crate::field::Storable;
use crate::field::{Assign, BoundedInteger, FieldOf, Number, Timestamp, to_number};
use crate::model::SentryModel;
use crate::statement::Dialect;
use diesel::deserialize;
use diesel::row::Row;
use std::time::SystemTime;

/// The bit of the field where it differs.
pub fn is_dirty<M, C: FieldOf<M>>(row: &M, base: &M) -> u64 {
    u64::from(C::get(row) != C::get(base)) << C::INDEX
}

/// The field as an assignment where its bit is set; a number outside its bounds is refused.
pub fn copy_if<M, C: FieldOf<M>>(row: &M, mask: u64) -> Option<Assign<M, C>> {
    if mask >> C::INDEX & 1 == 0 {
        return None;
    }
    Some(Assign::checked(C::get(row).clone()))
}

/// Takes the value that is assigned, if it is one.
pub fn apply<M, C: FieldOf<M>>(field: &mut C::Value, slot: &Option<Assign<M, C>>) {
    if let Some(Assign::Value(value)) = slot {
        field.clone_from(value);
    }
}

/// Swaps the field where its bit is set.
pub fn swap_if<T>(left: &mut T, right: &mut T, mask: u64, index: usize) {
    if mask >> index & 1 == 1 {
        std::mem::swap(left, right);
    }
}

/// Fills an `#[auto_now]` field that is not given.
pub fn fill_now<M, C: FieldOf<M>>(slot: &mut Option<Assign<M, C>>, now: SystemTime)
where
    C::Value: Timestamp,
{
    slot.get_or_insert_with(|| Assign::Value(C::Value::from_clock(now)));
}

/// Fills a `#[default(…)]` field that is not given.
pub fn fill_default<M, C: FieldOf<M>>(slot: &mut Option<Assign<M, C>>) {
    if slot.is_none() {
        *slot = C::start().map(Assign::Value);
    }
}

/// The bit of a `#[bounded(auto)]` field that holds 0.
pub fn vacant<M, C: FieldOf<M>>(row: &M) -> u64
where
    C::Value: BoundedInteger,
{
    u64::from(to_number(C::get(row)) == Some(Number::Integer(0))) << C::INDEX
}

/// The number in the field where it has the name asked for.
pub fn field_number<M, C: FieldOf<M>>(row: &M, column: &str) -> Option<Number> {
    if column == C::NAME { to_number(C::get(row)) } else { None }
}

/// Reads the field from its column; an error names the model and the field.
///
/// # Errors
/// What `FromSql` reports.
pub fn read_field<'r, M, C, DB, R>(row: &R) -> deserialize::Result<C::Value>
where
    M: SentryModel,
    C: FieldOf<M>,
    C::Value: Storable<C, DB>,
    DB: Dialect,
    R: Row<'r, DB>,
{
    <C::Value as Storable<C, DB>>::read(row, C::INDEX).map_err(|error| name_field(M::NAME, C::FIELD, &*error))
}
