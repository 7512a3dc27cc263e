//! Promise: a write is whole or nothing, what is answered `Ok` is stored, what is refused is not, and the entries of all
//! rows that it wrote are invalidated; however a call ends, and whatever the database does by itself.
#[path = "writes/fixtures.rs"]
#[macro_use]
mod fixtures;

#[path = "writes/dropped.rs"]
mod dropped;
#[path = "writes/isolation.rs"]
mod isolation;
#[path = "writes/keys.rs"]
mod keys;
#[path = "writes/memory.rs"]
mod memory;
#[path = "writes/panics.rs"]
mod panics;
#[path = "writes/transactions.rs"]
mod transactions;
