//! A session's own transactions: a stack of savepoints, and what they touched.
use crate::cache::codec::CacheSpec;
use crate::cache::outage::OutagePolicy;
use crate::cache::protocol::Command;
use crate::error::{Error, Result};
use crate::model::SentryModel;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One transaction or savepoint, shared with every instance written in it, so that each learns of its
/// end when it is next looked at.
#[derive(Debug, Default)]
pub struct TransactionNode {
    rolled_back: AtomicBool,
    committed: AtomicBool,
    parent: Option<Arc<TransactionNode>>,
}

impl TransactionNode {
    /// Whether it and every one that it is nested in were committed, so that no rollback can follow.
    pub(crate) fn is_committed(&self) -> bool {
        self.committed.load(Ordering::Acquire)
            && self.parent.as_ref().is_none_or(|parent| parent.is_committed())
    }

    /// Whether it, or one that it is nested in, was rolled back.
    pub(crate) fn is_rolled_back(&self) -> bool {
        self.rolled_back.load(Ordering::Acquire)
            || self.parent.as_ref().is_some_and(|parent| parent.is_rolled_back())
    }
}

/// The open transactions of a session, innermost last, and the cache keys they touched.
#[derive(Debug, Default)]
pub struct Transaction {
    node: Option<Arc<TransactionNode>>,
    depth: u32,
    touched: Touched,
    hooks: Deferred,
    outcome: CacheOutcome,
    broken: Option<Broken>,
    /// Whether something was sent to the database whose answer is not there yet.
    in_flight: bool,
    /// Whether plain Diesel had the connection since the database was last asked about the transaction.
    unobserved: bool,
    /// The depths of those that an operation has opened around its statements, innermost last.
    units: Vec<u32>,
}

impl Drop for Transaction {
    /// What is open when the session is dropped is never committed by it.
    fn drop(&mut self) {
        self.abandon(0);
    }
}

/// A statement failed, and with it the transaction or a part of it.
#[derive(Debug)]
struct Broken {
    /// Down to which depth; 0 for all of it.
    depth: u32,
    /// The statement's error.
    reason: String,
    /// Whether the transaction was given up because of another one.
    is_deadlock: bool,
}

impl Broken {
    /// The error of everything that is asked of a transaction which has ended.
    fn ended(&self) -> Error {
        let text = format!(
            "the database has ended the transaction, and nothing in it is stored; run it again: {}",
            self.reason
        );
        match self.is_deadlock {
            true => Error::Deadlock(DieselError::DatabaseError(
                DatabaseErrorKind::SerializationFailure,
                Box::new(text),
            )),
            false => Error::Query(text),
        }
    }
}

/// What the outermost commit tells the cache.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) keys: HashSet<String>,
    pub(crate) unpoint: Vec<Command>,
    /// The keys that are stored in the outbox.
    pub(crate) outbox: BTreeSet<String>,
    /// A model that is not written while the cache cannot be told.
    pub(crate) refuses: Option<&'static str>,
}

/// What the cache learned of a write: the second result of each, beside the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// No cached row was written yet.
    #[default]
    Untouched,
    /// The entries were invalidated before the write returned.
    Told,
    /// The cache did not answer. This process tells it before it next believes it; until then another process that
    /// reaches the cache may be served what stood there.
    Owed,
    /// It is not known whether the write was committed: the entries stay empty until their intents expire.
    LeftToExpire,
}

/// The hooks that the outermost commit runs, each with the savepoint whose rollback takes it back.
#[derive(Default)]
pub(crate) struct Deferred(Vec<(Option<Arc<TransactionNode>>, Hook)>);

type Hook = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deferred").field(&self.0.len()).finish()
    }
}

impl Deferred {
    /// Runs what was not rolled back, in the order of the writes.
    pub(crate) fn run(self) {
        for (node, hook) in self.0 {
            if node.is_none_or(|node| !node.is_rolled_back()) {
                hook();
            }
        }
    }
}

impl Transaction {
    /// How many transactions and savepoints the session has open.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether statements still run in it, and whether it can be committed.
    ///
    /// # Errors
    /// [`Error::Deadlock`] or [`Error::Query`] where the database has ended it, so that a statement would be committed by
    /// itself; [`Error::Query`] where a statement failed and its error went nowhere: the database would refuse every further
    /// statement, and answer COMMIT with a silent rollback.
    pub(crate) fn usable(&self) -> Result<()> {
        match &self.broken {
            Some(broken) if broken.depth == 0 => Err(broken.ended()),
            Some(Broken { depth, reason, .. }) if *depth >= self.depth => Err(Error::Query(format!(
                "the transaction is rolled back, because a statement in it failed and its error was not returned; \
                 return it, or run the statement in a transaction of its own inside: {reason}"
            ))),
            _ => Ok(()),
        }
    }

    /// A statement failed, and with it everything down to the innermost savepoint.
    pub(crate) fn failed(&mut self, reason: &str) {
        let depth = self.depth;
        self.broken.get_or_insert_with(|| Broken { depth, reason: reason.to_owned(), is_deadlock: false });
    }

    /// A savepoint could not be rolled back, so that what was written in it stands in the one around it.
    pub(crate) fn not_rolled_back(&mut self, reason: &str) {
        let depth = self.depth.saturating_sub(1);
        if self.broken.as_ref().is_none_or(|broken| broken.depth > depth) {
            self.broken = Some(Broken { depth, reason: reason.to_owned(), is_deadlock: false });
        }
    }

    /// The database has ended the whole transaction, whatever savepoints there were.
    pub(crate) fn was_ended(&mut self, reason: &str, is_deadlock: bool) {
        if !self.has_ended() {
            self.broken = Some(Broken { depth: 0, reason: reason.to_owned(), is_deadlock });
        }
    }

    /// Whether the database has ended the whole transaction.
    pub(crate) fn has_ended(&self) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.depth == 0)
    }

    /// Whether an operation has opened the innermost one around its statements.
    pub(crate) fn is_unit(&self) -> bool {
        self.units.last() == Some(&self.depth)
    }

    /// The innermost one is around the statements of an operation.
    pub(crate) fn become_unit(&mut self) {
        self.units.push(self.depth);
    }

    /// Something is sent to the database.
    pub(crate) fn sent(&mut self) {
        self.in_flight = true;
    }

    /// The database has answered what was sent.
    pub(crate) fn answered(&mut self) {
        self.in_flight = false;
    }

    /// Whether something was sent whose answer is not there yet.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// Plain Diesel gets the connection: what it does to the transaction is not seen.
    pub(crate) fn lent(&mut self) {
        self.unobserved = self.depth > 0;
    }

    /// Whether plain Diesel had the connection since the last call.
    pub(crate) fn take_unobserved(&mut self) -> bool {
        std::mem::take(&mut self.unobserved)
    }

    /// What was begun above `depth` is never committed.
    pub(crate) fn abandon(&mut self, depth: u32) {
        while self.depth > depth {
            self.ended(false);
        }
    }

    pub(crate) fn node(&self) -> Option<Arc<TransactionNode>> {
        self.node.clone()
    }

    /// Rows with these keys were written.
    pub(crate) fn touch<M: SentryModel>(&mut self, spec: &CacheSpec<M>, keys: Vec<String>) {
        if keys.is_empty() {
            return;
        }
        match spec.outage {
            OutagePolicy::Proceed => {}
            OutagePolicy::Refuse => self.touched.refuses = Some(M::NAME),
            OutagePolicy::Outbox => self.touched.outbox.extend(keys.iter().cloned()),
        }
        self.touched.keys.extend(keys);
    }

    /// What the cache learned of the last write of cached rows.
    pub(crate) fn outcome(&self) -> CacheOutcome {
        self.outcome
    }

    pub(crate) fn note(&mut self, outcome: CacheOutcome) {
        if outcome != CacheOutcome::Untouched {
            self.outcome = outcome;
        }
    }

    pub(crate) fn unpoint(&mut self, commands: Vec<Command>) {
        self.touched.unpoint.extend(commands);
    }

    /// Runs `hook` once everything is committed.
    pub(crate) fn after_commit(&mut self, hook: Hook) {
        self.hooks.0.push((self.node.clone(), hook));
    }

    pub(crate) fn take_hooks(&mut self) -> Deferred {
        std::mem::take(&mut self.hooks)
    }

    pub(crate) fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    pub(crate) fn begun(&mut self) {
        self.depth += 1;
        let parent = self.node.take();
        self.node = Some(Arc::new(TransactionNode { parent, ..TransactionNode::default() }));
    }

    /// The innermost one ended. Keys touched in a savepoint that rolled back stay: a superfluous intent is
    /// harmless.
    pub(crate) fn ended(&mut self, committed: bool) {
        let Some(node) = self.node.take() else { return };
        match committed {
            true => node.committed.store(true, Ordering::Release),
            false => node.rolled_back.store(true, Ordering::Release),
        }
        self.node.clone_from(&node.parent);
        self.units.retain(|unit| *unit < self.depth);
        // A rollback mends what broke inside.
        self.broken.take_if(|broken| broken.depth >= self.depth);
        self.depth -= 1;
        if self.depth == 0 {
            self.touched = Touched::default();
            self.hooks = Deferred::default();
            self.broken = None;
            self.unobserved = false;
        }
    }
}
