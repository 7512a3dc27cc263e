//! Names: the one that the user probably meant, and those that the derive makes up.
use crate::ir::Field;
use proc_macro2::Span;
use quote::format_ident;
use syn::Ident;
use syn::ext::IdentExt;

/// The methods of a builder that are no setters.
const BUILDER_METHODS: [&str; 6] = ["execute", "defaults", "on_insert", "set_sql", "matching", "all_matches"];

/// `ProjectBuilder` for `Project`.
// At the call site: lints then know that the type is not the user's own text.
pub(crate) fn builder(model: &Ident) -> Ident {
    format_ident!("{}Builder", model.unraw(), span = Span::call_site())
}

/// The setter of a field: its name, with underscores where the builder has a method of that name.
// With the field's span, so that an editor goes from the call to the field.
pub(crate) fn setter(field: &Field, all: &[Field]) -> Ident {
    let name = field.name();
    if !BUILDER_METHODS.contains(&name.as_str()) {
        return field.ident.clone();
    }
    let mut setter = format!("{name}_");
    while all.iter().any(|other| other.name() == setter) {
        setter.push('_');
    }
    Ident::new(&setter, field.ident.span())
}

/// `` `a`, `b`, `c` ``
pub(crate) fn list<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

/// The name that is close enough to `wanted` to be what was meant.
// rustc's own measure: a third of the letters may differ.
pub(crate) fn nearest<N: AsRef<str>>(wanted: &str, names: impl IntoIterator<Item = N>) -> Option<N> {
    let limit = (wanted.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(wanted, name.as_ref()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters to insert, drop, replace, or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_has_a_nearest_name_and_a_different_word_has_none() {
        let fields = ["id", "slug", "organization_id", "name"];
        assert_eq!(nearest("slgu", fields), Some("slug"));
        assert_eq!(nearest("organisation_id", fields), Some("organization_id"));
        assert_eq!(nearest("nam", fields), Some("name"));
        assert_eq!(nearest("events", fields), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_mistake() {
        assert_eq!(distance("slgu", "slug"), 1);
        assert_eq!(distance("", "ab"), 2);
        assert_eq!(distance("id", "pk"), 2);
    }
}
