//! Integers with a sign, and durations such as `"1m30s"`.
use syn::{Error, Expr, ExprGroup, ExprLit, ExprParen, ExprUnary, Lit, LitStr, Result, UnOp};

/// The longest time to live. What it guards: a store adds it to a clock in milliseconds.
const LONGEST: u64 = 36_500 * 24 * 60 * 60 * 1000;

/// An integer literal, `-10` included; `None` for any other expression.
pub(crate) fn integer(expr: &Expr) -> Option<i128> {
    match expr {
        // `macro_rules!` wraps what it passes on in an invisible group.
        Expr::Group(ExprGroup { expr, .. }) | Expr::Paren(ExprParen { expr, .. }) => integer(expr),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => integer(expr)?.checked_neg(),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        _ => None,
    }
}

/// A text literal.
pub(crate) fn text(expr: &Expr) -> Option<&LitStr> {
    match expr {
        Expr::Group(ExprGroup { expr, .. }) | Expr::Paren(ExprParen { expr, .. }) => text(expr),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        _ => None,
    }
}

/// A duration in milliseconds.
pub(super) fn duration(text: &LitStr) -> Result<u64> {
    millis(&text.value()).map_err(|message| Error::new(text.span(), message))
}

/// A share such as `"10%"`, of 50 at most.
pub(super) fn percent(text: &LitStr) -> Result<u8> {
    let number = text.value().strip_suffix('%').and_then(|digits| digits.parse().ok());
    number.filter(|share| *share <= 50).ok_or_else(|| {
        let message = format!("`{}` is no share; write `0%` to `50%`", text.value());
        Error::new(text.span(), message)
    })
}

fn millis(text: &str) -> std::result::Result<u64, String> {
    const FORM: &str = "write numbers with units: `30s`, `5m`, `1h30m`";
    let not_one = || format!("`{text}` is not a duration; {FORM}");
    let too_long = || format!("`{text}` is too long; the longest is `36500d`");
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = split(rest, |c| c.is_ascii_digit());
        let (unit, tail) = split(tail, |c| !c.is_ascii_digit());
        rest = tail;
        if number.is_empty() {
            return Err(not_one());
        }
        let scale = scale(unit).ok_or_else(|| match unit {
            "" => format!("`{text}` has no unit; write `{text}s` for seconds"),
            _ => format!("`{text}` has an unknown unit `{unit}`; units are `ms`, `s`, `m`, `h`, `d`"),
        })?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
    }
    match total {
        0 if text.is_empty() => Err(not_one()),
        total if total > LONGEST => Err(too_long()),
        total => Ok(total),
    }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// A unit in milliseconds.
fn scale(unit: &str) -> Option<u64> {
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    Some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn durations_add_up_their_parts() {
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("1d1h1m1s1ms"), Ok(90_061_001));
        assert_eq!(millis("0s"), Ok(0), "a rule of its own refuses zero");
    }

    #[test]
    fn a_duration_without_sense_says_what_is_missing() {
        let message = |text| millis(text).err().unwrap_or_default();
        assert_eq!(message("300"), "`300` has no unit; write `300s` for seconds");
        assert_eq!(message("5w"), "`5w` has an unknown unit `w`; units are `ms`, `s`, `m`, `h`, `d`");
        assert_eq!(
            message("soon"),
            "`soon` is not a duration; write numbers with units: `30s`, `5m`, `1h30m`"
        );
        assert!(message("").contains("is not a duration"));
        assert!(message("99999999999999999999s").contains("too long"));
        assert!(message("36501d").contains("too long"));
    }

    #[test]
    fn integers_keep_their_sign() {
        assert_eq!(integer(&parse_quote!(-10)), Some(-10));
        assert_eq!(integer(&parse_quote!((1_000_i64))), Some(1000));
        assert_eq!(integer(&parse_quote!(LIMIT)), None);
    }
}
