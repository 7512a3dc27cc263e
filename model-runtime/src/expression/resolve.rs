//! Checked evaluation in Rust: on create there is no row to compute from, and `resolve` is for callers.
use super::node::{Node, Operator};
use crate::field::Number;

type Outcome = Result<Number, &'static str>;

/// The expression's value with every column's number taken from `column`.
pub(crate) fn evaluate(node: &Node, column: &dyn Fn(&str) -> Option<Number>) -> Outcome {
    match node {
        Node::Column(name) => column(name).ok_or("a column it reads has no number"),
        Node::Integer(value) => Ok(Number::Integer(i128::from(*value))),
        Node::Float(value) => Ok(Number::Float(*value)),
        Node::TooBig(_) => Err("a literal does not fit a BIGINT"),
        Node::Converted(node) => evaluate(node, column),
        Node::Binary(operator, _, left, right) => match (evaluate(left, column)?, evaluate(right, column)?) {
            (Number::Integer(left), Number::Integer(right)) => integers(*operator, left, right),
            (left, right) => floats(*operator, as_float(left), as_float(right)),
        },
    }
}

fn integers(operator: Operator, left: i128, right: i128) -> Outcome {
    if right == 0 && matches!(operator, Operator::Div | Operator::Quotient | Operator::Rem) {
        return Err("it divides by zero");
    }
    let value = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Sub => left.checked_sub(right),
        Operator::Mul => left.checked_mul(right),
        Operator::Div | Operator::Quotient => left.checked_div(right),
        Operator::Rem => left.checked_rem(right),
        Operator::BitAnd => Some(left & right),
        Operator::BitOr => Some(left | right),
    };
    value.map(Number::Integer).ok_or("it overflows")
}

fn floats(operator: Operator, left: f64, right: f64) -> Outcome {
    match operator {
        Operator::Add => Ok(Number::Float(left + right)),
        Operator::Sub => Ok(Number::Float(left - right)),
        Operator::Mul => Ok(Number::Float(left * right)),
        Operator::Div if right == 0.0 => Err("it divides by zero"),
        Operator::Div => Ok(Number::Float(left / right)),
        Operator::Quotient | Operator::Rem | Operator::BitAnd | Operator::BitOr => {
            Err("`%`, `&` and `|` need integers")
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a DOUBLE column loses the same digits")]
fn as_float(number: Number) -> f64 {
    match number {
        Number::Integer(value) => value as f64,
        Number::Float(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::Numbers;
    use super::*;

    fn binary(operator: Operator, left: Node, right: Node) -> Node {
        Node::Binary(operator, Numbers::Integers, Box::new(left), Box::new(right))
    }

    #[test]
    fn truncates_towards_zero_and_refuses_what_has_no_value() {
        let seven = |operator, right| {
            evaluate(&binary(operator, Node::Column("n"), Node::Integer(right)), &|_| {
                Some(Number::Integer(-7))
            })
        };
        assert_eq!(seven(Operator::Quotient, 2), Ok(Number::Integer(-3)));
        assert_eq!(seven(Operator::Rem, 2), Ok(Number::Integer(-1)));
        assert_eq!(seven(Operator::BitAnd, 6), Ok(Number::Integer(-7 & 6)));
        assert_eq!(seven(Operator::BitOr, 6), Ok(Number::Integer(-7 | 6)));
        assert_eq!(seven(Operator::Quotient, 0), Err("it divides by zero"));
        assert!(evaluate(&Node::Column("n"), &|_| None).is_err());
        assert!(evaluate(&Node::TooBig("9".into()), &|_| None).is_err());
    }
}
