//! Promises: whatever processes are killed, stopped or cut off, and at whichever step; whichever calls fail halfway, panic
//! or are dropped, and at whichever isolation level: no read is older than what had been written or read before it
//! began, outside the bounds that the documentation names; what returned success is in the database, and what was refused
//! is not. `history --help` has the long form.
use std::process::{Command, Output};

fn history(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_history")).args(arguments).output().unwrap()
}

fn holds(database: &str) {
    let run = history(&["--database", database, "--reads", "20000", "--faults", "30"]);
    let text = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    let nothing = " 0 panics, 0 lost writes, 0 phantom writes, 0 stale\n";
    assert!(run.status.success() && text.ends_with(nothing), "{text}{errors}");
}

/// A defect shows where operations of several processes meet; on a busy machine few of them may, so that a run which finds
/// nothing is repeated with other choices.
fn is_caught(database: &str, defect: &str, finding: &str) {
    let mut printed = String::new();
    for (seed, reads) in [("1", "10000"), ("2", "20000"), ("3", "40000"), ("4", "80000")] {
        let size = ["--database", database, "--reads", reads, "--faults", "15"];
        let run = history(&[&size[..], &["--seed", seed, "--defect", defect]].concat());
        let text = String::from_utf8_lossy(&run.stdout);
        if run.status.code() == Some(1) && text.contains(finding) {
            return;
        }
        printed = format!("{text}{}", String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{printed}");
    }
    panic!("{defect} is not caught: {printed}");
}

#[test]
fn no_read_is_stale_and_no_write_lost_on_sqlite() {
    holds("sqlite");
}

#[test]
fn no_read_is_stale_and_no_write_lost_on_postgres() {
    holds("postgres");
}

#[test]
fn no_read_is_stale_and_no_write_lost_on_mysql() {
    holds("mysql");
}

#[test]
fn a_fill_without_a_lease_is_caught() {
    is_caught("postgres", "fill-without-lease", "stale read: ");
}

#[test]
fn a_write_without_intents_is_caught() {
    is_caught("postgres", "no-intents", "stale read: ");
}

#[test]
fn a_write_that_announces_only_some_of_its_rows_is_caught() {
    is_caught("sqlite", "skip-some-keys", "stale read: ");
}

#[test]
fn a_write_that_is_lost_is_caught() {
    is_caught("sqlite", "lost-write", "lost write ");
}

#[test]
fn a_write_that_was_reported_as_rolled_back_is_caught() {
    is_caught("sqlite", "phantom-write", "phantom write ");
}

#[test]
fn a_connection_that_is_used_on_after_a_dropped_call_is_caught() {
    is_caught("mysql", "unguarded-drop", "stale read: ");
}

/// A rolling deploy; returns what it printed and its exit code.
fn rollout(arguments: &[&str]) -> (String, Option<i32>) {
    let run = history(&[&["rollout"], arguments].concat());
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (text, run.status.code())
}

fn two_deploys_hold(database: &str) {
    let (text, code) = rollout(&["--database", database]);
    assert!(code == Some(0) && !text.contains(" 0 hits"), "{text}");
}

#[test]
fn a_cache_that_two_deploys_turn_on_serves_nothing_stale_on_sqlite() {
    two_deploys_hold("sqlite");
}

#[test]
fn a_cache_that_two_deploys_turn_on_serves_nothing_stale_on_postgres() {
    two_deploys_hold("postgres");
}

#[test]
fn a_cache_that_two_deploys_turn_on_serves_nothing_stale_on_mysql() {
    two_deploys_hold("mysql");
}

#[test]
fn a_cache_that_one_deploy_turns_on_is_caught() {
    for turned in ["rows", "negative"] {
        let plan = ["--database", "postgres", "--turned", turned, "--plan", "one-deploy", "--beside", "3000"];
        let (text, code) = rollout(&plan);
        assert!(code == Some(1) && text.contains("stale read: "), "{turned}: {text}");
    }
}
