//! Any bytes under a key: every step of the protocol.
#![no_main]
use libfuzzer_sys::fuzz_target;
use model_runtime::cache::entry::{self, Epoch};
use model_runtime::cache::protocol::{self, Sight, Slot};

const NOW: u64 = 1_000_000_000_000;
const TOKEN: [u8; 16] = [1; 16];

fuzz_target!(|bytes: &[u8]| {
    let slot = Some(Slot { bytes: bytes.to_vec(), expires_at: NOW + 1 });
    let _ = protocol::lease(slot.clone(), TOKEN, 1, NOW);
    let _ = protocol::swap(slot.clone(), b"V", vec![b'V'], 1, NOW);
    let _ = protocol::point(slot.clone(), "t", 1, NOW);
    let _ = protocol::unpoint(slot.clone(), "t", NOW);
    let _ = protocol::release(slot.clone(), TOKEN, NOW);
    if let Sight::Replace { expect } = protocol::look(Some(bytes), Epoch(1), 7) {
        let (_, done) = protocol::swap(slot.clone(), &expect, entry::lease(TOKEN), 1, NOW);
        assert!(done, "what is of no use can be replaced");
    }
    let placed = protocol::place(slot, TOKEN, 1000, NOW);
    assert!(placed.expires_at >= NOW + 1000);
    let (left, lost) = protocol::release(Some(placed), TOKEN, NOW + 999);
    assert!(!lost, "it was there");
    if let Some(left) = left {
        assert!(left.bytes[2..].chunks_exact(29).all(|owner| !owner.starts_with(&TOKEN)));
    }
});
