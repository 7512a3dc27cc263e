//! What the run prints.
use crate::work::Outcome;
use model_runtime::Cache;

/// Prints the table.
pub(crate) fn print(outcome: &Outcome, cache: &Cache) {
    let stats = cache.stats();
    let per_second = outcome.events as u128 * 1000 / outcome.elapsed.as_millis().max(1);
    println!("{:<24}{:>12}", "events", outcome.events);
    println!("{:<24}{:>12}", "events/s", per_second);
    println!("{:<24}{:>12}", "SQL statements", outcome.statements);
    println!("{:<24}{:>12}", "cache hits", stats.hits);
    println!("{:<24}{:>12}", "cache misses", stats.misses);
    println!("{:<24}{:>12}", "refused fills", stats.refused_fills);
    println!("{:<24}{:>12}", "bypasses", stats.bypasses);
    println!("{:<24}{:>12}", "cache round trips", stats.round_trips);
    println!("{:<24}{:>12}", "stale lookups", outcome.stale);
    println!("\n{:>12}  path", "times seen");
    for (path, times) in &outcome.busiest {
        println!("{times:>12}  {path}");
    }
}

/// Prints the comparison with the oracle and returns whether all is as it must be.
pub(crate) fn verdict(differences: &[String], stale: usize, expected: usize) -> bool {
    for difference in differences.iter().take(10) {
        eprintln!("difference: {difference}");
    }
    let good = differences.is_empty() && stale == 0;
    if good {
        println!("\nall {expected} groups equal the oracle, in the database and through the cache");
    } else {
        eprintln!("{} differences from the oracle, {stale} stale lookups", differences.len());
    }
    good
}
