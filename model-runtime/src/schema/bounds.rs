//! The range that the CHECKs of a table leave to a column.
//!
//! Databases print CHECKs in their own ways: `((events >= 0) AND (events <= 10))`, `` `events` between 0 and 10 ``,
//! `"events" BETWEEN 0 AND 10`. What is understood is a conjunction of comparisons with integers, the column on either
//! side, and NULL let through; everything else counts as no bound.

/// The smallest and the largest value, as far as they are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    pub(crate) min: Option<i128>,
    pub(crate) max: Option<i128>,
}

impl Range {
    fn and(self, other: Self) -> Self {
        let narrower =
            |left: Option<i128>, right: Option<i128>, pick: fn(i128, i128) -> i128| match (left, right) {
                (Some(left), Some(right)) => Some(pick(left, right)),
                (left, right) => left.or(right),
            };
        Self { min: narrower(self.min, other.min, i128::max), max: narrower(self.max, other.max, i128::min) }
    }

    /// What both leave.
    fn or(self, other: Self) -> Self {
        Self {
            min: self.min.zip(other.min).map(|(left, right)| left.min(right)),
            max: self.max.zip(other.max).map(|(left, right)| left.max(right)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name or a keyword, in small letters.
    Word(String),
    Number(i128),
    Symbol(String),
}

/// The range of `column` by the CHECKs in these texts; triggers count where there is one for inserts and one for updates.
pub(crate) fn range_of(column: &str, texts: &[String]) -> Range {
    let column = column.to_lowercase();
    let (mut checks, mut on_insert, mut on_update) = (Range::default(), Range::default(), Range::default());
    for text in texts {
        let tokens = tokens(text);
        let refused = after(&tokens, &["when", "not"]).map(|clause| conjunction(&column, clause));
        let refused = refused.fold(Range::default(), Range::and);
        match tokens.get(..2) {
            Some([create, trigger]) if is_word(create, "create") && is_word(trigger, "trigger") => {
                // One that only warns, comes too late or looks at some columns alone, keeps nothing.
                let says = |words: &[&str]| {
                    tokens
                        .windows(words.len())
                        .any(|run| run.iter().zip(words).all(|(token, word)| is_word(token, word)))
                };
                if says(&["raise"]) && says(&["before", "insert", "on"]) {
                    on_insert = on_insert.and(refused);
                } else if says(&["raise"]) && says(&["before", "update", "on"]) {
                    on_update = on_update.and(refused);
                }
            }
            _ => {
                let clauses = after(&tokens, &["check"]).map(|clause| conjunction(&column, clause));
                checks = clauses.fold(checks, Range::and);
            }
        }
    }
    checks.and(on_insert.or(on_update))
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(text) if text == word)
}

fn is_symbol(token: &Token, symbol: &str) -> bool {
    matches!(token, Token::Symbol(text) if text == symbol)
}

/// What stands in the parentheses after each occurrence of the words.
fn after<'t>(tokens: &'t [Token], words: &'t [&'t str]) -> impl Iterator<Item = &'t [Token]> {
    (0..tokens.len()).filter_map(move |at| {
        let found =
            tokens.get(at..at + words.len())?.iter().zip(words).all(|(token, word)| is_word(token, word));
        let rest = tokens
            .get(at + words.len()..)
            .filter(|rest| found && rest.first().is_some_and(|t| is_symbol(t, "(")))?;
        let mut depth = 0_usize;
        let end = rest.iter().position(|token| {
            depth += usize::from(is_symbol(token, "("));
            depth -= usize::from(is_symbol(token, ")"));
            depth == 0
        })?;
        // MySQL and PostgreSQL have CHECKs that are switched off.
        let mut behind = rest.iter().skip(end).take_while(|token| !is_symbol(token, ",")).take(8);
        let enforced = !behind.any(|token| is_word(token, "enforced"));
        rest.get(1..end).filter(|_| enforced)
    })
}

/// The range that a conjunction of comparisons leaves.
fn conjunction(column: &str, clause: &[Token]) -> Range {
    // Parentheses change nothing in a conjunction, and a cast changes no integer.
    let mut flat: Vec<&Token> = Vec::new();
    let mut tokens = clause.iter();
    while let Some(token) = tokens.next() {
        if is_symbol(token, "::") {
            tokens.next();
        } else if is_symbol(token, ".") {
            // `table.column`, `NEW.column`
            flat.pop();
        } else if !is_symbol(token, "(") && !is_symbol(token, ")") {
            flat.push(token);
        }
    }
    let flat = without_null(column, &flat);
    if flat.iter().any(|token| is_word(token, "or") || is_word(token, "not") || is_word(token, "case")) {
        return Range::default();
    }
    comparisons(flat).map(|comparison| compared(column, comparison)).fold(Range::default(), Range::and)
}

/// Without `column IS NULL OR`, which lets NULL through as every CHECK does.
fn without_null<'t>(column: &str, flat: &'t [&'t Token]) -> &'t [&'t Token] {
    match flat {
        [name, is, null, or, rest @ ..]
            if is_word(name, column) && is_word(is, "is") && is_word(null, "null") && is_word(or, "or") =>
        {
            rest
        }
        _ => flat,
    }
}

/// The operands of AND; that of BETWEEN belongs to it.
fn comparisons<'t>(flat: &'t [&'t Token]) -> impl Iterator<Item = &'t [&'t Token]> {
    let mut rest = flat;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let between = rest.get(1).is_some_and(|token| is_word(token, "between"));
        let mut ands = rest.iter().enumerate().filter(|(_, token)| is_word(token, "and")).map(|(at, _)| at);
        let end = ands.nth(usize::from(between)).unwrap_or(rest.len());
        let (one, others) = rest.split_at(end);
        rest = others.get(1..).unwrap_or_default();
        Some(one)
    })
}

fn compared(column: &str, comparison: &[&Token]) -> Range {
    match comparison {
        [name, between, Token::Number(min), and, Token::Number(max)]
            if is_word(name, column) && is_word(between, "between") && is_word(and, "and") =>
        {
            Range { min: Some(*min), max: Some(*max) }
        }
        [name, Token::Symbol(operator), Token::Number(number)] if is_word(name, column) => {
            bound(operator, *number)
        }
        [Token::Number(number), Token::Symbol(operator), name] if is_word(name, column) => {
            bound(mirrored(operator), *number)
        }
        _ => Range::default(),
    }
}

fn bound(operator: &str, number: i128) -> Range {
    match operator {
        ">=" => Range { min: Some(number), max: None },
        ">" => Range { min: number.checked_add(1), max: None },
        "<=" => Range { min: None, max: Some(number) },
        "<" => Range { min: None, max: number.checked_sub(1) },
        "=" => Range { min: Some(number), max: Some(number) },
        _ => Range::default(),
    }
}

fn mirrored(operator: &str) -> &str {
    match operator {
        ">=" => "<=",
        ">" => "<",
        "<=" => ">=",
        "<" => ">",
        other => other,
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut rest = without_comment(text);
    while let Some(first) = rest.chars().next() {
        let (token, length) = token(rest, first);
        // A sign belongs to the number after it, unless something stands before it.
        let signed = match (out.as_slice(), &token) {
            ([.., Token::Symbol(before), Token::Symbol(sign)], Token::Number(number))
                if sign == "-" && before != ")" =>
            {
                number.checked_neg()
            }
            ([.., Token::Word(_), Token::Symbol(sign)], Token::Number(number)) if sign == "-" => {
                number.checked_neg()
            }
            _ => None,
        };
        if let Some(number) = signed {
            out.pop();
            out.push(Token::Number(number));
        } else {
            out.push(token);
        }
        rest = without_comment(rest.get(length..).unwrap_or_default());
    }
    out
}

/// What follows white space and comments, which SQLite keeps; MySQL's `/*!` is code.
fn without_comment(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after).trim_start()
        } else if let Some(comment) = rest.strip_prefix("/*").filter(|comment| !comment.starts_with('!')) {
            comment.split_once("*/").map_or("", |(_, after)| after).trim_start()
        } else {
            return rest;
        };
    }
}

/// The first token, and how long it is.
fn token(rest: &str, first: char) -> (Token, usize) {
    let run = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    match first {
        '"' | '`' | '\'' | '[' => {
            let close = if first == '[' { ']' } else { first };
            let inner = rest.get(1..).unwrap_or_default();
            let inner = inner.split(close).next().unwrap_or_default();
            // PostgreSQL prints a negative number as a text with a cast.
            let token = match (first, inner.parse()) {
                ('\'', Ok(number)) => Token::Number(number),
                ('\'', Err(_)) => Token::Symbol("'".into()),
                _ => Token::Word(inner.to_lowercase()),
            };
            (token, inner.len() + 2)
        }
        '0'..='9' => {
            let length = run(|c| c.is_ascii_digit());
            let digits = rest.get(..length).and_then(|digits| digits.parse().ok());
            (digits.map_or_else(|| Token::Symbol("?".into()), Token::Number), length)
        }
        _ if first.is_alphabetic() || first == '_' => {
            let length = run(|c| c.is_alphanumeric() || c == '_');
            (Token::Word(rest.get(..length).unwrap_or_default().to_lowercase()), length)
        }
        '<' | '>' | '=' | '!' | ':' => {
            let length = run(|c| matches!(c, '<' | '>' | '=' | '!' | ':'));
            (Token::Symbol(rest.get(..length).unwrap_or_default().to_owned()), length)
        }
        _ => (Token::Symbol(first.to_string()), first.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(texts: &[&str]) -> (Option<i128>, Option<i128>) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let Range { min, max } = range_of("events", &texts);
        (min, max)
    }

    #[test]
    fn checks_are_read_as_each_database_prints_them() {
        for text in [
            "CHECK (((events >= 0) AND (events <= 10)))",
            "CHECK ((events > '-1'::integer) AND (events < 11))",
            "CREATE TABLE `t` (`events` int(11) NOT NULL CHECK (`events` between 0 and 10))",
            "CREATE TABLE t (id INT, CONSTRAINT c CHECK (\"events\" BETWEEN 0 AND 10), CHECK (id > 5))",
            "CHECK (t.events >= 0 AND 10 >= events AND name <> 'or')",
            "CHECK (events IS NULL OR events BETWEEN 0 AND 10)",
            "check ([Events] between 0 and 10)",
            "CREATE TABLE t (events INT, CHECK (events BETWEEN 0 AND 10), CHECK (b) NOT ENFORCED)",
        ] {
            assert_eq!(range(&[text]), (Some(0), Some(10)), "{text}");
        }
        assert_eq!(range(&["CHECK (events >= -10)"]), (Some(-10), None));
        assert_eq!(
            range(&["CHECK (events >= 0)", "CHECK (events >= 5)", "CHECK (events < 9)"]),
            (Some(5), Some(8))
        );
    }

    #[test]
    fn what_is_not_understood_is_no_bound() {
        for text in [
            "CHECK (events >= 0 OR name = 'x')",
            "CHECK (events >= 0 AND events <= 10 OR name = 'x')",
            "CREATE TABLE t (events INT -- CHECK (events >= 0)\n, id INT /* CHECK (events >= 0) */)",
            "CREATE TABLE `t` (`events` int, CHECK (`events` >= 0) /*!80016 NOT ENFORCED */)",
            "CHECK ((events >= 0)) NOT ENFORCED",
            "CHECK (NOT events >= 0)",
            "CHECK (other >= 0)",
            "CHECK (events + 1 >= 0)",
            "CHECK (abs(events) <= 10",
            "events >= 0",
            "CHECK (events >= 99999999999999999999999999999999999999999999)",
            "CHECK (events >= 'ä'",
            "",
        ] {
            assert_eq!(range(&[text]), (None, None), "{text}");
        }
    }

    #[test]
    fn triggers_count_as_a_pair() {
        let trigger = |event: &str| {
            format!(
                "CREATE TRIGGER t BEFORE {event} ON p WHEN NOT (NEW.\"events\" BETWEEN 0 AND 10) BEGIN \
                 SELECT RAISE(ABORT, 'no'); END"
            )
        };
        assert_eq!(range(&[&trigger("INSERT")]), (None, None));
        assert_eq!(range(&[&trigger("INSERT"), &trigger("UPDATE OF name")]), (None, None));
        let [late, quiet] = [("BEFORE", "AFTER"), ("RAISE(ABORT, 'no')", "1")]
            .map(|(word, other)| trigger("UPDATE").replace(word, other));
        assert_eq!(range(&[&trigger("INSERT"), &late]), (None, None));
        assert_eq!(range(&[&trigger("INSERT"), &quiet]), (None, None));
        assert_eq!(range(&[&trigger("INSERT"), &trigger("UPDATE")]), (Some(0), Some(10)));
    }
}
