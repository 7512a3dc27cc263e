//! What a test allocates.
use peak_alloc::PeakAlloc;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// The right to measure: the allocator counts for the whole process, so one test at a time allocates much.
pub(crate) struct Alone(#[allow(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

pub(crate) fn alone() -> Alone {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has measured all the same.
    Alone(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Alone {
    /// Runs one step, which may hold no more at once than this beside what was held before.
    #[allow(clippy::unused_self, reason = "who has it is alone")]
    #[track_caller]
    pub(crate) fn within<T>(&self, mib: usize, step: impl FnOnce() -> T) -> T {
        ALLOCATED.reset_peak_usage();
        let before = ALLOCATED.current_usage();
        let out = step();
        let grown = ALLOCATED.peak_usage().saturating_sub(before);
        assert!(grown < mib * MIB, "{grown} bytes were allocated at once, more than {mib} MiB");
        out
    }
}

#[test]
fn what_is_taken_at_once_is_seen() {
    let alone = alone();
    let taken = || alone.within(64, || std::hint::black_box(vec![0_u8; 65 * MIB]).len());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(taken)).is_err());
    assert_eq!(alone.within(64, || std::hint::black_box(vec![0_u8; 63 * MIB]).len()), 63 * MIB);
}
