//! Any bytes under a key: the entry parser and every step of the protocol.
#![no_main]
use libfuzzer_sys::fuzz_target;
use model_runtime::cache::entry::{self, Epoch};
use model_runtime::cache::protocol::{self, Slot};

const NOW: u64 = 1_000_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let _ = entry::parse(bytes);
    let _ = protocol::look(Some(bytes), Epoch(1), 7);
    let _ = protocol::after_lease(Some(bytes), &[1; 16], Epoch(1), 7);
    let slot = Some(Slot { bytes: bytes.to_vec(), expires_at: NOW + 1 });
    let _ = protocol::lease(slot.clone(), [1; 16], 1, NOW);
    let _ = protocol::swap(slot.clone(), b"V", vec![b'V'], 1, NOW);
    let _ = protocol::point(slot.clone(), "t", 1, NOW);
    let _ = protocol::unpoint(slot.clone(), "t", NOW);
    let placed = protocol::place(slot, [1; 16], 1000, NOW);
    let _ = protocol::release(Some(placed), [1; 16], NOW);
});
