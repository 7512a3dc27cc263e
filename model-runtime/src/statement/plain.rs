//! Which predicates decide by the row alone.
use super::Dialect;
use diesel::query_builder::QueryFragment;

/// What may stand in a predicate whose answer for a row that is locked cannot change: columns, values, comparisons.
const WORDS: [&str; 10] = ["AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "BETWEEN", "TRUE", "FALSE"];

/// Whether a predicate asks for columns of the row and values alone. A subquery or a function may give another answer the
/// next time.
pub(crate) fn decides_by_the_row<DB: Dialect>(predicate: &dyn QueryFragment<DB>) -> bool {
    DB::sql_of(predicate).is_ok_and(|sql| is_plain(&sql))
}

fn is_plain(sql: &str) -> bool {
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '`' => rest[1..].find('`').map(|end| end + 2),
            'A'..='Z' | 'a'..='z' | '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                WORDS.iter().any(|word| rest[..end].eq_ignore_ascii_case(word)).then_some(end)
            }
            '\'' | '"' | '@' | '#' => None,
            other => Some(other.len_utf8()),
        };
        let Some(end) = end else { return false };
        rest = &rest[end..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn columns_values_and_comparisons_are_plain_and_nothing_else() {
        for plain in [
            "`projects`.`id` = ?",
            "((`a`.`x` > ?) AND (`a`.`y` IS NOT NULL)) OR `a`.`select` LIKE ?",
            "`a`.`x` IN (?, ?) and `a`.`x` NOT BETWEEN ? AND ?",
            "1=0",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "`a`.`id` IN (SELECT `m`.`id` FROM `m`)",
            "EXISTS (select 1)",
            "`a`.`x` < rand()",
            "`a`.`x` < NOW()",
            "lower(`a`.`x`) = ?",
            "`a`.`x` = 'select'",
            "`a`.`x` = @x",
            "`a",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
