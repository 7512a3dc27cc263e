//! What stands under the keys of a cached model: a row, or a miss that is put right.
use crate::harm::{harmed, harmed_one_of, harms, hold};
use crate::world::{Note, World, notes};
use model_runtime::cache::entry::{self, Entry, HEADER};
use model_runtime::cache::protocol::{self, Sight};
use model_runtime::prelude::*;
use proptest::prelude::*;
use serde::Serialize;
use std::cell::RefCell;

/// The payload of a row, field by field, as the cache writes it.
fn fields(note: &Note) -> Vec<Vec<u8>> {
    fn packed<T: Serialize>(field: &T) -> Vec<u8> {
        rmp_serde::to_vec_named(field).unwrap()
    }
    vec![
        packed(&note.id),
        packed(&note.slug),
        packed(&note.tags),
        packed(&note.counts),
        packed(&note.extra),
        packed(&note.mood),
        packed(&note.spare),
        packed(&note.packed),
        packed(&note.data),
    ]
}

/// Values of MessagePack that are none of the field's, or that claim more than follows.
fn foreign_fields() -> impl Strategy<Value = Vec<u8>> {
    let long = prop_oneof![Just(u32::MAX), any::<u32>()];
    let kind = prop::sample::select(vec![0xc6_u8, 0xc9, 0xdb, 0xdd, 0xdf, 0xc5, 0xc8, 0xda, 0xdc, 0xde]);
    let rest = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (any::<u8>(), 0_usize..20_000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    let lie = (kind, long, rest)
        .prop_map(|(kind, length, rest)| [&[kind][..], &length.to_be_bytes(), &rest].concat());
    // Arrays, maps and enums in each other, deeper than a stack.
    let open: &[&[u8]] =
        &[b"\x91", b"\x92\xc0", b"\x81\xa1a", b"\x81\xa5Mixed\x82\xa2of\x91", b"\xdd\0\0\0\x01"];
    let deep = (prop::sample::select(open), 1_usize..100_000).prop_map(|(open, depth)| open.repeat(depth));
    // A dict in the cache is a tag and a text: here of any tag, and of a text that is long or no dict.
    let dict = (0_u8..5, prop_oneof![".{0,40}", Just("[".repeat(50_000)), Just("{\"a\":".repeat(500))])
        .prop_map(|dict| rmp_serde::to_vec_named(&dict).unwrap());
    prop_oneof![4 => lie, 1 => deep, 1 => dict, 1 => prop::collection::vec(any::<u8>(), 0..60)]
}

fn payloads(fields: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let whole = fields.concat();
    let one_is_another = {
        let fields = fields.clone();
        (0..fields.len(), foreign_fields()).prop_map(move |(at, foreign)| {
            let mut fields = fields.clone();
            fields[at] = foreign;
            fields.concat()
        })
    };
    let in_another_order = Just(fields).prop_shuffle().prop_map(|fields| fields.concat());
    prop_oneof![
        4 => one_is_another,
        4 => harms().prop_map(move |harms| harmed(whole.clone(), &harms)),
        1 => in_another_order,
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ]
}

#[test]
fn a_poisoned_payload_is_a_row_or_a_miss() {
    World::in_each(|world| {
        let fields = fields(&world.note);
        let header = world.good[..world.good.len() - fields.concat().len()].to_vec();
        assert_eq!(
            [&header[..], &fields.concat()].concat(),
            world.good,
            "the fields are what the cache writes"
        );
        let world = RefCell::new(world);
        hold(400, &payloads(fields), |payload| {
            let mut world = world.borrow_mut();
            (world.poison)(&world.key, &[&header[..], &payload].concat());
            let healed = world.cache.stats().healed;
            // A flipped bit of a text is another text: what decodes is a row.
            let read = world.by_id().unwrap();
            if world.cache.stats().healed > healed {
                prop_assert_eq!(read, world.note.clone());
                world.assert_healed()?;
            }
            Ok(())
        });
        let stats = world.borrow().cache.stats();
        assert!(stats.healed > 100, "most of it is no row: {stats:?}");
    });
}

#[test]
fn bytes_after_the_last_field_are_a_miss() {
    World::in_each(|mut world| {
        for more in [&b"\xc0"[..], b"\xc1", b"\xdb", &[0; 1000], &b"\x91".repeat(100_000)] {
            (world.poison)(&world.key, &[&world.good, more].concat());
            let healed = world.cache.stats().healed;
            assert_eq!(world.by_id().unwrap(), world.note.clone());
            assert_eq!(world.cache.stats().healed, healed + 1, "{:?}", &more[..1]);
            world.assert_healed().unwrap();
        }
    });
}

#[test]
fn a_poisoned_entry_is_what_it_says_or_a_miss() {
    World::in_each(|world| {
        let Entry::Value { epoch, meta, .. } = entry::parse(&world.good) else { panic!("{:?}", world.good) };
        let good = vec![
            world.good.clone(),
            entry::lease([1; 16]),
            entry::pointer(&world.key),
            entry::absent(epoch, [1; 16], meta.fingerprint ^ 1),
            [b"W1".as_slice(), &[7; 16], b"9999999999999"].concat(),
        ];
        let headers = {
            let good = world.good.clone();
            harms().prop_map(move |harms| {
                [&harmed(good[..HEADER + 20].to_vec(), &harms), &good[HEADER + 20..]].concat()
            })
        };
        let entries = prop_oneof![
            2 => harmed_one_of(good),
            2 => headers,
            1 => prop::collection::vec(any::<u8>(), 0..60),
        ];
        let world = RefCell::new(world);
        hold(300, &entries, |bytes| {
            let mut world = world.borrow_mut();
            (world.poison)(&world.key, &bytes);
            let read = world.by_id();
            match protocol::look(Some(&bytes), epoch, meta.fingerprint) {
                // It says that it is a row, or that there is none.
                Sight::Hit { .. } | Sight::Absent => {}
                Sight::Busy => prop_assert_eq!(read.unwrap(), world.note.clone()),
                Sight::Vacant | Sight::Replace { .. } => {
                    prop_assert_eq!(read.unwrap(), world.note.clone());
                    world.assert_healed()?;
                }
            }
            Ok(())
        });
    });
}

#[test]
fn a_poisoned_pointer_leads_to_the_row_all_the_same() {
    World::in_each(|world| {
        let (key, pointer) = world.pointer.clone();
        let targets = vec![
            pointer,
            entry::pointer(&key),
            entry::pointer(""),
            entry::lease([1; 16]),
            world.good.clone(),
            [b"W1".as_slice(), &[7; 16], b"9999999999999"].concat(),
        ];
        let entries = prop_oneof![
            1 => prop::sample::select(targets.clone()),
            3 => harmed_one_of(targets),
            1 => prop::collection::vec(any::<u8>(), 0..60),
        ];
        let world = RefCell::new(world);
        hold(300, &entries, |bytes| {
            let mut world = world.borrow_mut();
            (world.poison)(&key, &bytes);
            prop_assert_eq!(world.by_slug().unwrap(), world.note.clone());
            Ok(())
        });
    });
}

#[test]
fn what_no_cache_writes_for_its_size_is_not_read() {
    World::in_each(|mut world| {
        let fields = fields(&world.note);
        let header = world.good[..world.good.len() - fields.concat().len()].to_vec();
        // Valid; each byte of it decodes to a value of thirty-two.
        let count = 9_u32 << 20;
        let extra = [&[0xdd][..], &count.to_be_bytes(), &vec![0xc0; count as usize]].concat();
        let payload = [fields[..4].concat(), extra, fields[5..].concat()].concat();
        (world.poison)(&world.key, &[header, payload].concat());
        // The entry itself, and its way through the store.
        let World { db, note, alone, .. } = &mut world;
        let found = alone.within(96, || Note::get_from_cache(db, notes::id, note.id)).unwrap();
        assert_eq!(*found, *note);
        world.assert_healed().unwrap();
    });
}
