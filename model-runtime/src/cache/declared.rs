//! What structs that share keys must agree about: what the one counts on, writes of the other must tell.
use super::codec::CacheSpec;
use super::phase::Phase;
use crate::field::KeyCols;
use crate::model::SentryModel;
use std::any::{TypeId, type_name};
use std::collections::BTreeSet;

/// What a struct says in its attribute.
pub(super) struct Declared {
    pub(super) id: TypeId,
    path: &'static str,
    pub(super) model: Phase,
    negative: Option<Phase>,
    /// The fields of the primary key.
    primary: BTreeSet<&'static str>,
    /// The keys whose absence is cached, each with its fields and their normal forms.
    absent: BTreeSet<Vec<(&'static str, Option<&'static str>)>>,
}

impl Declared {
    pub(super) fn of<M: SentryModel>(spec: &CacheSpec<M>) -> Self {
        let negative = (spec.negative_ms > 0).then_some(spec.negative_phase);
        let key = |names: &[&'static str], functions: &[Option<&'static str>]| {
            let mut key: Vec<_> = names.iter().copied().zip(functions.iter().copied()).collect();
            key.sort_unstable();
            key
        };
        let lookups = spec.lookups.iter().filter(|_| negative.is_some());
        Self {
            id: TypeId::of::<M>(),
            path: type_name::<M>(),
            model: spec.phase,
            negative,
            primary: M::Pk::INDEXES.iter().filter_map(|index| M::FIELDS.get(*index).copied()).collect(),
            absent: lookups.map(|lookup| key(lookup.names, lookup.functions)).collect(),
        }
    }

    /// Why the writes of one of them do not tell what the other counts on.
    pub(super) fn disagreement(&self, other: &Self) -> Option<String> {
        let (path, others) = (self.path, other.path);
        if self.primary != other.primary {
            return Some(format!("`{others}` has another primary key than `{path}`; make it the same"));
        }
        if self.model != other.model {
            let (phase, other) = (self.model, other.model);
            return Some(format!(
                "`{others}` is {other} and `{path}` is {phase}; give both the same `phase`"
            ));
        }
        let (with, without) = match (self.negative, other.negative) {
            (Some(_), None) => (path, others),
            (None, Some(_)) => (others, path),
            _ if self.absent == other.absent => return None,
            _ => {
                return Some(format!(
                    "`{others}` has `negative` with other lookups than `{path}`; list the same in both"
                ));
            }
        };
        Some(format!("`{with}` has `negative` and `{without}` has not; give it to both, or to none"))
    }
}
