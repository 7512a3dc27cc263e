//! The protocol, and what others do instead.

/// Which steps the writers and readers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// As it is.
    Protocol,
    /// Readers store what they read; writers delete after the commit.
    CacheAside,
    /// Writers delete before the commit too.
    DoubleDelete,
    /// Readers fill under a lease; writers delete after the commit, without an intent.
    LeaseAndDelete,
    /// An intent replaces that of another writer, and a release finds its own or nothing.
    SingleToken,
    /// A release leaves what was filled after its intent was lost.
    ReleaseWithoutHealing,
    /// A writer hears of success before its release.
    ReleaseNotAwaited,
    /// A fill stores whatever stands there.
    FillWithoutLease,
    /// The database is asked before the lease.
    SelectBeforeLease,
    /// A value of another life of the store is served.
    NoEpoch,
    /// A value is of the life in which it is stored, not of the one that granted the lease.
    EpochAtFill,
    /// A new life is filled at once.
    NoQuarantine,
    /// A reader takes what another read before it came.
    JoinsOlderLoad,
}

impl Variant {
    /// Whether writers announce themselves before the commit.
    pub(crate) fn has_intents(self) -> bool {
        !matches!(self, Self::CacheAside | Self::DoubleDelete | Self::LeaseAndDelete)
    }

    /// Whether readers need a lease to fill.
    pub(crate) fn has_leases(self) -> bool {
        !matches!(self, Self::CacheAside | Self::DoubleDelete)
    }
}
