//! Promise: whatever processes are killed, stopped or cut off, and at whichever step, no read is older than what had
//! been written or read before it began, outside the bounds that the documentation names. `history --help` has the
//! long form.
use std::process::{Command, Output};

fn history(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_history")).args(arguments).output().unwrap()
}

fn holds(database: &str) {
    let run = history(&["--database", database]);
    let text = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && text.ends_with(" 0 stale\n"), "{text}{errors}");
}

fn is_caught(defect: &str) {
    // Some defects show only where a fault strikes at the right moment.
    let run = history(&["--database", "postgres", "--reads", "60000", "--faults", "120", "--defect", defect]);
    let text = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.code() == Some(1) && text.contains("stale read: "), "{text}{errors}");
}

#[test]
fn no_read_is_stale_on_sqlite() {
    holds("sqlite");
}

#[test]
fn no_read_is_stale_on_postgres() {
    holds("postgres");
}

#[test]
fn no_read_is_stale_on_mysql() {
    holds("mysql");
}

#[test]
fn a_fill_without_a_lease_is_caught() {
    is_caught("fill-without-lease");
}

#[test]
fn a_write_without_intents_is_caught() {
    is_caught("no-intents");
}
