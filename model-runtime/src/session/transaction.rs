//! A session's own transactions: a stack of savepoints, and what they touched.
use crate::cache::protocol::Command;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One transaction or savepoint, shared with every instance written in it, so that each learns of the
/// rollback when it is next looked at.
#[derive(Debug, Default)]
pub struct TransactionNode {
    rolled_back: AtomicBool,
    parent: Option<Arc<TransactionNode>>,
}

impl TransactionNode {
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
}

/// What the outermost commit tells the cache.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) keys: BTreeSet<String>,
    pub(crate) unpoint: Vec<Command>,
}

impl Transaction {
    /// How many transactions and savepoints the session has open.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn node(&self) -> Option<Arc<TransactionNode>> {
        self.node.clone()
    }

    pub(crate) fn touch(&mut self, key: String) {
        self.touched.keys.insert(key);
    }

    pub(crate) fn unpoint(&mut self, commands: Vec<Command>) {
        self.touched.unpoint.extend(commands);
    }

    pub(crate) fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    pub(crate) fn begun(&mut self) {
        self.depth += 1;
        let parent = self.node.take();
        self.node = Some(Arc::new(TransactionNode { rolled_back: AtomicBool::new(false), parent }));
    }

    /// The innermost one ended. Keys touched in a savepoint that rolled back stay: a superfluous intent is
    /// harmless.
    pub(crate) fn ended(&mut self, committed: bool) {
        let Some(node) = self.node.take() else { return };
        node.rolled_back.store(!committed, Ordering::Release);
        self.node.clone_from(&node.parent);
        self.depth -= 1;
        if self.depth == 0 {
            self.touched = Touched::default();
        }
    }
}
