//! The tree of an expression, and how it becomes SQL.
use crate::statement::{Dialect, TableName};
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use std::fmt;
use std::hash::{Hash, Hasher};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Add,
    Sub,
    Mul,
    /// Of integers: truncates towards zero.
    Quotient,
    Div,
    Rem,
    BitAnd,
    BitOr,
}

impl Operator {
    fn sql<DB: Dialect>(self) -> &'static str {
        match self {
            Self::Quotient => DB::INTEGER_DIVISION,
            _ => self.symbol(),
        }
    }

    /// What stands around it.
    fn around<DB: Dialect>(self) -> (&'static str, &'static str) {
        match self {
            Self::BitAnd | Self::BitOr => DB::AROUND_BITS,
            _ => ("(", ")"),
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => " + ",
            Self::Sub => " - ",
            Self::Mul => " * ",
            Self::Quotient | Self::Div => " / ",
            Self::Rem => " % ",
            Self::BitAnd => " & ",
            Self::BitOr => " | ",
        }
    }
}

/// What an operator computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Numbers {
    Integers,
    Fractions,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Column(&'static str),
    Integer(i64),
    Float(f64),
    /// A literal that no BIGINT holds; reported when the operation runs.
    TooBig(String),
    Binary(Operator, Numbers, Box<Node>, Box<Node>),
    /// Assigned to a column of another numeric type; the same SQL.
    Converted(Box<Node>),
}

impl Node {
    /// The literal that no BIGINT holds, if there is one.
    pub(crate) fn too_big(&self) -> Option<&str> {
        match self {
            Self::TooBig(text) => Some(text),
            Self::Binary(.., left, right) => left.too_big().or_else(|| right.too_big()),
            Self::Converted(node) => node.too_big(),
            _ => None,
        }
    }

    /// Whether it reads the column.
    pub(crate) fn reads(&self, column: &str) -> bool {
        match self {
            Self::Column(name) => *name == column,
            Self::Binary(.., left, right) => left.reads(column) || right.reads(column),
            Self::Converted(node) => node.reads(column),
            Self::Integer(_) | Self::Float(_) | Self::TooBig(_) => false,
        }
    }

    /// Whether anything is computed or converted; a bare column is only copied.
    pub(crate) fn computes(&self) -> bool {
        matches!(self, Self::Binary(..) | Self::Converted(_))
    }

    /// The outermost computations with integers.
    pub(crate) fn of_integers(&self) -> Vec<&Self> {
        match self {
            Self::Binary(_, Numbers::Integers, ..) => vec![self],
            Self::Binary(_, Numbers::Fractions, left, right) => {
                [left.of_integers(), right.of_integers()].concat()
            }
            Self::Converted(node) => node.of_integers(),
            _ => Vec::new(),
        }
    }

    /// Whether an operand of it is computed itself.
    fn is_nested(&self) -> bool {
        match self {
            Self::Binary(.., left, right) => left.computes() || right.computes(),
            Self::Converted(node) => node.is_nested(),
            _ => false,
        }
    }

    /// The computations of which one is a fraction where any within is: a fraction stays one through every operator but
    /// `&` and `|`.
    fn telling(&self) -> Vec<&Self> {
        match self {
            Self::Binary(Operator::BitAnd | Operator::BitOr, _, left, right) => {
                [left.telling(), right.telling()].concat()
            }
            Self::Binary(.., left, right) => [vec![self], left.below_bits(), right.below_bits()].concat(),
            Self::Converted(node) => node.telling(),
            _ => Vec::new(),
        }
    }

    /// The same of what `&` and `|` within take, when it is known of the rest.
    fn below_bits(&self) -> Vec<&Self> {
        match self {
            Self::Binary(Operator::BitAnd | Operator::BitOr, ..) => self.telling(),
            Self::Binary(.., left, right) => [left.below_bits(), right.below_bits()].concat(),
            _ => Vec::new(),
        }
    }

    /// Feeds what the SQL text depends on; literals are bound, so their values do not count.
    pub(crate) fn hash_shape(&self, state: &mut impl Hasher) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Column(name) => name.hash(state),
            Self::Binary(operator, numbers, left, right) => {
                (operator, numbers).hash(state);
                left.hash_shape(state);
                right.hash_shape(state);
            }
            Self::Converted(node) => node.hash_shape(state),
            Self::Integer(_) | Self::Float(_) | Self::TooBig(_) => {}
        }
    }

    // Literals are bound as BIGINT or DOUBLE whatever the column is: `int4 + int8` is an int8, so that the
    // guard answers false where the narrow type would raise "out of range".
    fn walk<'b, DB: Dialect>(
        &'b self,
        row: Option<TableName<DB>>,
        out: &mut AstPass<'_, 'b, DB>,
    ) -> QueryResult<()> {
        match self {
            Self::Column(name) => {
                if let Some(row) = row {
                    row(out.reborrow())?;
                    out.push_sql(".");
                }
                out.push_identifier(name)
            }
            Self::Integer(value) => DB::bind_i64(value, out),
            Self::Float(value) => DB::bind_f64(value, out),
            Self::TooBig(text) => {
                Err(diesel::result::Error::QueryBuilderError(format!("{text} does not fit a BIGINT").into()))
            }
            Self::Binary(operator, _, left, right) => {
                let (before, after) = operator.around::<DB>();
                out.push_sql(before);
                left.walk(row, out)?;
                out.push_sql(operator.sql::<DB>());
                right.walk(row, out)?;
                out.push_sql(after);
                Ok(())
            }
            Self::Converted(node) => node.walk(row, out),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(name),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::TooBig(text) => f.write_str(text),
            Self::Binary(operator, _, left, right) => write!(f, "({left}{}{right})", operator.symbol()),
            Self::Converted(node) => node.fmt(f),
        }
    }
}

/// The expression itself, over the columns of the table `row`.
pub(crate) struct Computed<'e, DB: Dialect> {
    pub(crate) node: &'e Node,
    pub(crate) row: Option<TableName<DB>>,
}

impl<DB: Dialect> QueryFragment<DB> for Computed<'_, DB> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.node.walk(self.row, &mut out)
    }
}

/// `(expression BETWEEN min AND max) IS NOT FALSE`: NULL is left to the column's own constraint.
pub(crate) struct Guard<E> {
    pub(crate) value: E,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl<E: QueryFragment<DB>, DB: Dialect> QueryFragment<DB> for Guard<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("(");
        self.value.walk_ast(out.reborrow())?;
        out.push_sql(" BETWEEN ");
        DB::bind_i64(&self.min, &mut out)?;
        out.push_sql(" AND ");
        DB::bind_i64(&self.max, &mut out)?;
        out.push_sql(") IS NOT FALSE");
        Ok(())
    }
}

/// The same for a computation with integers, none of which may leave BIGINT on the way.
pub(crate) struct IntegerGuard<'e, DB: Dialect>(pub(crate) Guard<Computed<'e, DB>>);

impl<DB: Dialect> IntegerGuard<'_, DB> {
    /// What must be seen to be an integer still. Most databases raise an error past BIGINT; one that goes on in fractions
    /// loses digits, and a further operator may lead it back.
    fn to_be_seen(&self) -> Vec<&Node> {
        let Guard { value: Computed { node, .. }, min, .. } = &self.0;
        // A fraction of one operator is beyond every smaller range.
        let in_range = !node.is_nested() && *min > i64::MIN;
        if in_range || !DB::GOES_ON_IN_FRACTIONS { Vec::new() } else { node.telling() }
    }
}

impl<DB: Dialect> QueryFragment<DB> for IntegerGuard<'_, DB> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let Guard { value: Computed { row, .. }, min, max } = &self.0;
        let seen = self.to_be_seen();
        // What is an integer still is in the range of all.
        let needs_range = seen.is_empty() || (*min, *max) != (i64::MIN, i64::MAX);
        if needs_range {
            self.0.walk_ast(out.reborrow())?;
        }
        for (place, node) in seen.into_iter().enumerate() {
            out.push_sql(if place > 0 || needs_range { " AND typeof(" } else { "typeof(" });
            node.walk(*row, &mut out)?;
            out.push_sql(") <> 'real'");
        }
        Ok(())
    }
}
