//! Promise: no interleaving of writers, readers and failures breaks the protocol. Every state of a small world is
//! visited; its cache slot is changed by the production functions of `cache/protocol.rs` alone. Broken variants of the
//! protocol show that the checker sees what it should.
mod rollout;
mod steps;
mod variant;
mod world;

use stateright::{Checker, Model};
use variant::Variant;
use world::{Budgets, Rules};

/// What the checker found.
struct Found {
    states: usize,
    broken: Vec<&'static str>,
}

fn explore(rules: Rules) -> Found {
    let checker = rules.checker().threads(2).spawn_bfs().join();
    for (name, path) in checker.discoveries() {
        eprintln!("{name} is broken by {:?}", path.into_actions());
    }
    let mut broken: Vec<_> = checker.discoveries().into_keys().collect();
    broken.sort_unstable();
    let states = checker.unique_state_count();
    eprintln!("{states} states, broken: {broken:?}");
    Found { states, broken }
}

/// One writer of a single statement and one of a transaction, and two readers of which one reads twice.
fn rules(variant: Variant, budgets: Budgets) -> Rules {
    Rules { variant, writers: 2, reads: vec![2, 1], budgets }
}

fn holds(budgets: Budgets) {
    let found = explore(rules(Variant::Protocol, budgets));
    assert_eq!(found.broken, [] as [&str; 0]);
    assert!(found.states > 1000, "the world is too small to say anything: {}", found.states);
}

/// The variant breaks at least this; a variant that breaks nothing shows that the checker sees nothing.
fn is_caught(variant: Variant, budgets: Budgets, property: &str) {
    let found = explore(rules(variant, budgets));
    assert!(found.broken.contains(&property), "{variant:?} breaks {:?}, not {property}", found.broken);
}

const QUIET: Budgets = Budgets { crashes: 0, unknown: 0, losses: 0, overlong: 0, failovers: 0 };

#[test]
fn without_failures_no_reader_sees_less_than_was_committed_when_it_began() {
    holds(QUIET);
}

#[test]
fn crashes_and_lost_answers_to_commit_make_nothing_stale() {
    holds(Budgets { crashes: 2, unknown: 1, ..QUIET });
}

#[test]
fn a_failover_to_an_old_copy_makes_nothing_stale() {
    holds(Budgets { failovers: 1, crashes: 1, unknown: 1, ..QUIET });
}

/// The bound of the documentation: from COMMIT to release, and no longer.
#[test]
fn a_lost_intent_of_a_live_writer_is_stale_from_commit_to_release_at_most() {
    for budgets in [Budgets { losses: 2, ..QUIET }, Budgets { overlong: 2, ..QUIET }] {
        let found = explore(rules(Variant::Protocol, budgets));
        assert_eq!(found.broken, ["strong"], "own writes are seen, and it heals");
    }
}

/// The other bound: until the time to live ends.
#[test]
fn a_lost_intent_of_a_writer_that_dies_stays_stale() {
    is_caught(Variant::Protocol, Budgets { losses: 1, crashes: 1, ..QUIET }, "heals");
}

#[test]
fn cache_aside_is_caught() {
    for property in ["strong", "own writes", "heals"] {
        is_caught(Variant::CacheAside, QUIET, property);
    }
}

#[test]
fn a_double_delete_is_caught() {
    for property in ["strong", "own writes", "heals"] {
        is_caught(Variant::DoubleDelete, QUIET, property);
    }
}

#[test]
fn a_lease_with_a_delete_after_the_commit_is_caught() {
    is_caught(Variant::LeaseAndDelete, QUIET, "strong");
    is_caught(Variant::LeaseAndDelete, Budgets { crashes: 1, ..QUIET }, "heals");
}

#[test]
fn one_token_for_all_writers_is_caught() {
    is_caught(Variant::SingleToken, QUIET, "strong");
}

#[test]
fn a_release_that_does_not_heal_is_caught() {
    is_caught(Variant::ReleaseWithoutHealing, Budgets { losses: 1, ..QUIET }, "heals");
    is_caught(Variant::ReleaseWithoutHealing, Budgets { losses: 1, ..QUIET }, "own writes");
}

#[test]
fn a_success_that_is_told_before_the_release_is_caught() {
    is_caught(Variant::ReleaseNotAwaited, Budgets { losses: 1, ..QUIET }, "own writes");
}

#[test]
fn a_fill_without_its_lease_is_caught() {
    is_caught(Variant::FillWithoutLease, QUIET, "strong");
    is_caught(Variant::FillWithoutLease, QUIET, "heals");
}

#[test]
fn a_select_before_the_lease_is_caught() {
    is_caught(Variant::SelectBeforeLease, QUIET, "strong");
}

#[test]
fn values_without_an_epoch_are_caught() {
    is_caught(Variant::NoEpoch, Budgets { failovers: 1, ..QUIET }, "strong");
}

#[test]
fn an_epoch_that_is_stamped_at_the_fill_is_caught() {
    is_caught(Variant::EpochAtFill, Budgets { failovers: 1, ..QUIET }, "strong");
}

#[test]
fn fills_in_a_new_life_without_quarantine_are_caught() {
    is_caught(Variant::NoQuarantine, Budgets { failovers: 1, crashes: 1, ..QUIET }, "heals");
}

#[test]
fn joining_an_older_load_is_caught() {
    is_caught(Variant::JoinsOlderLoad, QUIET, "strong");
}

/// Three writers, of which one may die and one may lose the answer to its COMMIT.
#[test]
fn a_larger_world_holds_as_well() {
    let budgets = Budgets { crashes: 1, unknown: 1, ..QUIET };
    let rules = Rules { variant: Variant::Protocol, writers: 3, reads: vec![1, 1], budgets };
    assert_eq!(explore(rules).broken, [] as [&str; 0]);
}
