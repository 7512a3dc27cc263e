//! Any bytes as an entry: what is read is what they say, and nothing of another life or schema is served.
#![no_main]
use libfuzzer_sys::fuzz_target;
use model_runtime::cache::entry::{self, Entry, Epoch};
use model_runtime::cache::protocol::{self, Sight};

fuzz_target!(|bytes: &[u8]| {
    match entry::parse(bytes) {
        Entry::Value { epoch, token, meta, payload } => {
            assert_eq!(entry::value(epoch, token, meta, payload), bytes);
            let own = protocol::look(Some(bytes), epoch, meta.fingerprint);
            assert!(matches!(own, Sight::Hit { .. }));
            for (epoch, fingerprint) in [(Epoch(!epoch.0), meta.fingerprint), (epoch, !meta.fingerprint)] {
                let other = protocol::look(Some(bytes), epoch, fingerprint);
                assert!(matches!(other, Sight::Replace { .. }));
            }
        }
        Entry::Lease { token } => assert_eq!(entry::lease(token), bytes),
        Entry::Pointer { target } => assert_eq!(entry::pointer(target), bytes),
        Entry::Absent { .. } | Entry::Intents | Entry::Foreign => {}
    }
    let _ = protocol::after_lease(Some(bytes), &[1; 16], Epoch(1), 7);
});
