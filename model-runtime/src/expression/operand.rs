//! What may stand beside an `F`, by SQL type.
use super::{Expr, Node};
use diesel::sql_types::{BigInt, Double, Float, Integer, Nullable, SmallInt};

/// A SQL type that has `+`, `-`, `*` and `/`.
#[diagnostic::on_unimplemented(
    message = "columns of SQL type `{Self}` have no arithmetic",
    label = "`+`, `-`, `*`, `/` need a numeric column",
    note = "a bare `F(column)` copies any column; for other functions use plain Diesel"
)]
pub trait Arithmetic {
    /// Whether `/` truncates.
    #[doc(hidden)]
    const OF_INTEGERS: bool;
}

/// A SQL type that also has `%`, `&` and `|`.
#[diagnostic::on_unimplemented(
    message = "`%`, `&` and `|` need an integer column, not one of SQL type `{Self}`",
    label = "not SMALLINT, INTEGER or BIGINT"
)]
pub trait Integral: Arithmetic {}

/// A number that may stand beside an `F` of SQL type `ST`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be combined with an `F` expression of SQL type `{ST}`",
    label = "not an operand of a `{ST}` expression"
)]
pub trait Literal<ST> {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "callers pass numbers and never name the tree")]
    fn node(self) -> Node;
}

/// The right-hand side of an operator: a number, or another expression of the same table and SQL type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be combined with an `F` expression of SQL type `{ST}`",
    label = "not an operand of a `{ST}` expression"
)]
pub trait Operand<Tab, ST> {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "callers pass numbers and never name the tree")]
    fn into_node(self) -> Node;
}

impl<Tab, ST> Operand<Tab, ST> for Expr<Tab, ST> {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn into_node(self) -> Node {
        self.0
    }
}

macro_rules! integral { ($($st:ident)*) => { $(
    impl Arithmetic for $st {
        const OF_INTEGERS: bool = true;
    }
    impl Integral for $st {}
    impl Arithmetic for Nullable<$st> {
        const OF_INTEGERS: bool = true;
    }
    impl Integral for Nullable<$st> {}
    integral!(@literals $st: i8 i16 i32 i64 isize u8 u16 u32 u64 usize);
    integral!(@literals Nullable<$st>: i8 i16 i32 i64 isize u8 u16 u32 u64 usize);
)* };
(@literals $st:ty: $($t:ty)*) => { $(impl Literal<$st> for $t {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn node(self) -> Node {
        i64::try_from(self).map_or_else(|_| Node::TooBig(self.to_string()), Node::Integer)
    }
})* } }
integral!(SmallInt Integer BigInt);

macro_rules! fractional { ($($st:ident)*) => { $(
    impl Arithmetic for $st {
        const OF_INTEGERS: bool = false;
    }
    impl Arithmetic for Nullable<$st> {
        const OF_INTEGERS: bool = false;
    }
    fractional!(@literals $st: f32 f64 i8 i16 i32 u8 u16 u32);
    fractional!(@literals Nullable<$st>: f32 f64 i8 i16 i32 u8 u16 u32);
)* };
(@literals $st:ty: $($t:ty)*) => { $(impl Literal<$st> for $t {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn node(self) -> Node {
        Node::Float(f64::from(self))
    }
})* } }
fractional!(Float Double);

macro_rules! operands { ($($t:ty)*) => { $(
    impl<Tab, ST> Operand<Tab, ST> for $t
    where
        $t: Literal<ST>,
    {
        #[allow(private_interfaces, reason = "as in the trait")]
        fn into_node(self) -> Node {
            self.node()
        }
    }
)* } }
operands!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize f32 f64);
