//! What may stand beside an `F`, by SQL type, and which columns take the result.
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

/// The right-hand side of an operator: a number, or another expression of the same table over a numeric SQL type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be combined with an `F` expression of SQL type `{ST}`",
    label = "not an operand of a `{ST}` expression"
)]
pub trait Operand<Tab, ST> {
    /// The SQL type of the result: the wider one of both sides, nullable where one of them is.
    type Result;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "callers pass numbers and never name the tree")]
    fn into_node(self) -> Node;
}

impl<Tab, ST: Widen<Other>, Other> Operand<Tab, ST> for Expr<Tab, Other> {
    type Result = ST::Wider;

    #[allow(private_interfaces, reason = "as in the trait")]
    fn into_node(self) -> Node {
        self.0
    }
}

/// A numeric SQL type that the database computes with together with `Other`.
#[diagnostic::on_unimplemented(
    message = "columns of SQL types `{Self}` and `{Other}` cannot be computed with together",
    label = "both sides must be numeric columns of the same table"
)]
pub trait Widen<Other> {
    /// What the result has: the wider one of both types.
    type Wider;
}

/// An expression of this SQL type can be assigned to a column of SQL type `Column`: its own type, or a number that the
/// database converts. What does not fit is refused by a guard.
// On the expression's type, because of the two it may be the unknown one: a literal has no type until the end.
#[diagnostic::on_unimplemented(
    message = "a column of SQL type `{Column}` does not take an expression of SQL type `{Self}`",
    label = "expected an expression of SQL type `{Column}`, or one that the database converts to it"
)]
pub trait Fits<Column> {
    /// Whether the value is converted, so that even a bare column must be seen to fit.
    #[doc(hidden)]
    const CONVERTS: bool;
}

impl<ST> Fits<ST> for ST {
    const CONVERTS: bool = false;
}

impl<ST> Fits<Nullable<ST>> for ST {
    const CONVERTS: bool = false;
}

macro_rules! pairs { ($($left:ident $right:ident => $wider:ident;)*) => { $(
    impl Widen<$right> for $left {
        type Wider = $wider;
    }
    impl Widen<Nullable<$right>> for $left {
        type Wider = Nullable<$wider>;
    }
    impl Widen<$right> for Nullable<$left> {
        type Wider = Nullable<$wider>;
    }
    impl Widen<Nullable<$right>> for Nullable<$left> {
        type Wider = Nullable<$wider>;
    }
)* } }
pairs! {
    SmallInt SmallInt => SmallInt; SmallInt Integer => Integer; SmallInt BigInt => BigInt;
    SmallInt Float => Double; SmallInt Double => Double;
    Integer SmallInt => Integer; Integer Integer => Integer; Integer BigInt => BigInt;
    Integer Float => Double; Integer Double => Double;
    BigInt SmallInt => BigInt; BigInt Integer => BigInt; BigInt BigInt => BigInt;
    BigInt Float => Double; BigInt Double => Double;
    Float SmallInt => Double; Float Integer => Double; Float BigInt => Double; Float Float => Float;
    Float Double => Double;
    Double SmallInt => Double; Double Integer => Double; Double BigInt => Double; Double Float => Double;
    Double Double => Double;
}

// A column of integers does not take fractions, which databases round in different ways.
macro_rules! fits { ($($from:ident: $($column:ident)*;)*) => { $($(
    impl Fits<$column> for $from {
        const CONVERTS: bool = true;
    }
    impl Fits<Nullable<$column>> for $from {
        const CONVERTS: bool = true;
    }
    impl Fits<Nullable<$column>> for Nullable<$from> {
        const CONVERTS: bool = true;
    }
)*)* } }
fits! {
    SmallInt: Integer BigInt Float Double;
    Integer: SmallInt BigInt Float Double;
    BigInt: SmallInt Integer Float Double;
    Float: Double;
    Double: Float;
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
        type Result = ST;

        #[allow(private_interfaces, reason = "as in the trait")]
        fn into_node(self) -> Node {
            self.node()
        }
    }
)* } }
operands!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize f32 f64);
