//! Unsigned integers in signed columns.
use super::BoundedInteger;
use crate::cache::key::KeyText;
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{BigInt, Integer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A number that a field type does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is outside 0..={max}")]
pub struct OutOfRange {
    value: i128,
    max: i128,
}

macro_rules! positive { ($(#[$doc:meta])* $name:ident $unsigned:ident $signed:ident $sql:ident) => {
    $(#[$doc])*
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, AsExpression, FromSqlRow)]
    #[diesel(sql_type = $sql)]
    pub struct $name($signed);

    impl $name {
        /// 0.
        pub const MIN: Self = Self(0);
        /// The largest value of the column.
        pub const MAX: Self = Self($signed::MAX);

        /// The number.
        #[must_use]
        pub const fn get(self) -> $unsigned {
            self.0.unsigned_abs()
        }
    }

    impl TryFrom<i128> for $name {
        type Error = OutOfRange;

        fn try_from(value: i128) -> Result<Self, OutOfRange> {
            match $signed::try_from(value) {
                Ok(number @ 0..) => Ok(Self(number)),
                _ => Err(OutOfRange { value, max: $signed::MAX.into() }),
            }
        }
    }

    impl TryFrom<$unsigned> for $name {
        type Error = OutOfRange;

        fn try_from(value: $unsigned) -> Result<Self, OutOfRange> {
            Self::try_from(i128::from(value))
        }
    }

    impl From<$name> for i128 {
        fn from(value: $name) -> Self {
            value.0.into()
        }
    }

    impl From<$name> for $unsigned {
        fn from(value: $name) -> Self {
            value.get()
        }
    }

    impl fmt::Display for $name {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl BoundedInteger for $name {
        const MIN: i128 = 0;
        const MAX: i128 = $signed::MAX as i128;
    }

    impl KeyText for $name {
        fn write_key(&self, out: &mut String) {
            self.0.write_key(out);
        }

        fn is_exact(&self) -> bool {
            true
        }
    }

    impl<DB: Backend> FromSql<$sql, DB> for $name
    where
        $signed: FromSql<$sql, DB>,
    {
        fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
            let value = $signed::from_sql(bytes)?;
            Self::try_from(i128::from(value)).map_err(|error| {
                format!("the column holds what the field cannot: {error}").into()
            })
        }
    }

    impl<DB: Backend> ToSql<$sql, DB> for $name
    where
        $signed: ToSql<$sql, DB>,
    {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
            self.0.to_sql(out)
        }
    }

    impl Serialize for $name {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.get().serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for $name {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::try_from($unsigned::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
} }

positive! {
    /// A `u32` from 0 to 2147483647 in an INTEGER column, as Django's `PositiveIntegerField`.
    ///
    /// Values and results of expressions outside that range are refused, with or without `#[bounded]`; with it the
    /// setter takes an integer of any width.
    ///
    /// # Example: what fits the column
    /// ```
    /// use model_runtime::PositiveInteger;
    ///
    /// assert_eq!(PositiveInteger::try_from(7_u32)?.get(), 7);
    /// assert!(PositiveInteger::try_from(u32::MAX).is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    PositiveInteger u32 i32 Integer
}
positive! {
    /// A `u64` from 0 to 9223372036854775807 in a BIGINT column.
    ///
    /// Values and results of expressions outside that range are refused, with or without `#[bounded]`; with it the
    /// setter takes an integer of any width.
    ///
    /// # Example: what fits the column
    /// ```
    /// use model_runtime::PositiveBigInteger;
    ///
    /// assert_eq!(PositiveBigInteger::MAX.get(), 9_223_372_036_854_775_807);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    PositiveBigInteger u64 i64 BigInt
}

/// Any `u32` in an INTEGER column: what is above 2147483647 is stored as the negative number of the same bits.
///
/// For hashes and identifiers. The database sorts and computes by the signed number, so that ranges and expressions
/// over such a column mean little.
///
/// # Example: the bits are kept
/// ```
/// use model_runtime::WrappingU32;
///
/// assert_eq!(WrappingU32::new(u32::MAX).stored(), -1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, AsExpression, FromSqlRow)]
#[diesel(sql_type = Integer)]
pub struct WrappingU32(i32);

impl WrappingU32 {
    /// The number, as the column holds it.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value.cast_signed())
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.cast_unsigned()
    }

    /// The number that the column holds.
    #[must_use]
    pub const fn stored(self) -> i32 {
        self.0
    }
}

impl From<u32> for WrappingU32 {
    fn from(value: u32) -> Self {
        Self::new(value)
    }
}

impl fmt::Display for WrappingU32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl KeyText for WrappingU32 {
    fn write_key(&self, out: &mut String) {
        self.get().write_key(out);
    }

    fn is_exact(&self) -> bool {
        true
    }
}

impl<DB: Backend> FromSql<Integer, DB> for WrappingU32
where
    i32: FromSql<Integer, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        i32::from_sql(bytes).map(Self)
    }
}

impl<DB: Backend> ToSql<Integer, DB> for WrappingU32
where
    i32: ToSql<Integer, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

impl Serialize for WrappingU32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WrappingU32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::new)
    }
}
