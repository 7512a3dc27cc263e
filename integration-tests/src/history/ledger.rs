//! What the database says was written: the entries of its triggers, and what each lookup could return from when on.
use super::event::{Event, What};
use super::model::{code, slot, slug};
use super::{PARTS, ROWS};
use std::collections::{BTreeSet, HashMap};

/// No row has the key.
pub const ABSENT: i64 = -1;
/// How many lookups there are whose answers are checked: of each row one, of each part by its code and by its slug.
pub const REGISTERS: u8 = ROWS + 2 * PARTS;
/// How many cache keys there are: of each row one, of each part one for either spelling of its code.
pub const KEYS: u8 = ROWS + 2 * PARTS;

/// One row that one statement wrote, as its trigger has it. In the order of `seq` the entries of each key are in the
/// order of their commits, because a write holds the lock on its row until then.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable)]
pub struct Entry {
    /// The place in the order.
    pub seq: i32,
    /// 0: a history was updated; 1, 2, 3: a part was inserted, updated, deleted.
    pub kind: i32,
    /// A part's code before.
    pub was_code: Option<String>,
    /// A part's slug before.
    pub was_slug: Option<String>,
    /// A part's code after.
    pub code: Option<String>,
    /// The slug after.
    pub slug: Option<String>,
    /// The value after.
    pub v: i64,
    /// Which write it was.
    pub mark: i64,
}

/// The register of a part's code, in whichever spelling.
#[must_use]
pub fn code_register(text: &str) -> Option<u8> {
    (0..PARTS).find(|part| code(*part).eq_ignore_ascii_case(text)).map(|part| ROWS + part)
}

/// The register of a part's slug.
#[must_use]
pub fn slug_register(text: &str) -> Option<u8> {
    (0..PARTS).find(|number| slot(*number) == text).map(|number| ROWS + PARTS + number)
}

/// The cache keys of a part, each with the code as it is spelled in it.
pub fn part_keys() -> impl Iterator<Item = (u8, String)> {
    let spellings = (0..PARTS).map(code).flat_map(|code| [code.to_uppercase(), code]);
    (ROWS..).zip(spellings)
}

fn part_key(text: &str) -> Option<u8> {
    part_keys().find(|(_, code)| code == text).map(|(key, _)| key)
}

/// The cache keys at which the lookup of a register may find its row.
#[must_use]
pub fn keys_of(register: u8) -> std::ops::Range<u8> {
    let part = ROWS + 2 * register.saturating_sub(ROWS);
    match register {
        ..ROWS => register..register + 1,
        _ if register < ROWS + PARTS => part..part + 2,
        _ => ROWS..KEYS,
    }
}

impl Entry {
    /// What it makes of registers.
    fn effects(&self) -> Vec<(u8, i64)> {
        if self.kind == 0 {
            let row = (0..ROWS).find(|row| Some(slug(*row)) == self.slug);
            return row.map(|row| (row, self.v)).into_iter().collect();
        }
        let codes = [&self.was_code, &self.code].map(|text| text.as_deref().and_then(code_register));
        let slugs = [&self.was_slug, &self.slug].map(|text| text.as_deref().and_then(slug_register));
        let mut out = Vec::new();
        for [was, is] in [codes, slugs] {
            out.extend(was.filter(|_| was != is).map(|register| (register, ABSENT)));
            out.extend(is.map(|register| (register, self.v)));
        }
        out
    }
}

/// What a lookup could return, from a write on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The value.
    pub v: i64,
    /// The write.
    pub mark: i64,
}

/// The versions of each register in order; the first is what stood there before.
#[must_use]
pub fn registers(initial: &[i64], ledger: &[Entry]) -> Vec<Vec<Version>> {
    let mut out: Vec<Vec<Version>> = initial.iter().map(|v| vec![Version { v: *v, mark: 0 }]).collect();
    for entry in ledger {
        for (register, v) in entry.effects() {
            let Some(versions) = out.get_mut(usize::from(register)) else { continue };
            // Between the statements of one transaction nobody else looks.
            versions.pop_if(|last| last.mark == entry.mark);
            versions.push(Version { v, mark: entry.mark });
        }
    }
    out
}

/// The marks of the ledger, each with the cache keys of the rows that it wrote.
#[must_use]
pub fn keys(ledger: &[Entry]) -> HashMap<i64, BTreeSet<u8>> {
    let mut out = HashMap::<i64, BTreeSet<u8>>::new();
    for entry in ledger {
        let keys = out.entry(entry.mark).or_default();
        match entry.kind {
            0 => keys.extend(entry.effects().iter().map(|(row, _)| *row)),
            _ => keys
                .extend([&entry.was_code, &entry.code].into_iter().flatten().filter_map(|it| part_key(it))),
        }
    }
    out
}

/// A write, as its worker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// When it began.
    pub started: u64,
    /// The last that was said of it, and when; nothing where its process died.
    pub said: Option<(What, u64)>,
    /// How many rows it returned.
    pub count: u32,
    /// It is repeated, and nobody knows what became of it before.
    pub open: bool,
}

/// The count of a write that wrote at least one row.
pub const SOME: u32 = u32::MAX;

/// All writes by their marks.
pub(super) fn writes(events: impl Iterator<Item = Event>) -> HashMap<i64, Write> {
    let mut out = HashMap::<i64, Write>::new();
    for event in events {
        match event.what {
            What::Started => {
                // An instance that is saved again repeats a write; what became of it before may stay unknown.
                let new = Write { started: event.begin, said: None, count: 0, open: false };
                let write = out.entry(event.v).or_insert(new);
                write.open |= matches!(write.said.take(), Some((What::Unknown, _)));
            }
            What::Acked | What::RolledBack | What::Refused | What::Unknown => {
                if let Some(write) = out.get_mut(&event.v) {
                    let what =
                        if write.open && event.what != What::Acked { What::Unknown } else { event.what };
                    (write.said, write.count) = (Some((what, event.begin)), event.count);
                }
            }
            _ => {}
        }
    }
    out
}

/// A write of which its worker and the database say different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispute {
    /// Which one.
    pub mark: i64,
    /// What its worker was told; nothing where there is no such write.
    pub said: Option<What>,
    /// How many rows its worker was told.
    pub due: u32,
    /// How many rows the database has written.
    pub written: u32,
}

impl Dispute {
    /// Whether something is missing, rather than too much.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.written < self.due
    }
}

/// Every `Ok` whose rows are not in the ledger, and every entry that nobody wrote or that was reported as not written.
pub(super) fn disputes(writes: &HashMap<i64, Write>, ledger: &[Entry]) -> Vec<Dispute> {
    let mut written = HashMap::<i64, u32>::new();
    for entry in ledger {
        *written.entry(entry.mark).or_default() += 1;
    }
    let mut out = Vec::new();
    for (mark, write) in writes {
        let Some((said, _)) = write.said else { continue };
        let there = written.get(mark).copied().unwrap_or(0);
        let (due, right) = match said {
            What::Acked if write.count == SOME => (1, there > 0),
            What::Acked => (write.count, there == write.count),
            What::RolledBack | What::Refused => (0, there == 0),
            _ => continue,
        };
        if !right {
            out.push(Dispute { mark: *mark, said: Some(said), due, written: there });
        }
    }
    let strangers = written.iter().filter(|(mark, _)| !writes.contains_key(mark));
    out.extend(strangers.map(|(mark, there)| Dispute { mark: *mark, said: None, due: 0, written: *there }));
    out.sort_by_key(|dispute| dispute.mark);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: i32, texts: [Option<&str>; 4], v: i64) -> Entry {
        let [was_code, was_slug, code, slug] = texts.map(|text| text.map(str::to_owned));
        Entry { seq: 0, kind, was_code, was_slug, code, slug, v, mark: v }
    }

    fn values(versions: &[Version]) -> Vec<i64> {
        versions.iter().map(|version| version.v).collect()
    }

    #[test]
    fn keys_that_are_exchanged_are_never_absent_in_between() {
        let [code, other] = [0, 1].map(code);
        let [one, two] = [0, 1].map(slot);
        let ledger = [
            entry(2, [Some(&code), Some(&one), Some(&code.to_uppercase()), Some("meanwhile")], 5),
            entry(2, [Some(&other), Some(&two), Some(&other), Some(&one)], 5),
            entry(2, [Some(&code), Some("meanwhile"), Some(&code), Some(&two)], 5),
            entry(3, [Some(&code), Some(&two), None, None], 6),
        ];
        let all = registers(&[0; REGISTERS as usize], &ledger);
        let [code, slug] = [code_register(&code), slug_register(&one)].map(|at| usize::from(at.unwrap()));
        assert_eq!(values(&all[code]), [0, 5, ABSENT]);
        assert_eq!(values(&all[slug]), [0, 5]);
        assert_eq!(values(&all[slug + 1]), [0, 5, ABSENT]);
        assert_eq!(
            keys(&ledger)[&5],
            BTreeSet::from([ROWS, ROWS + 1, ROWS + 3]),
            "of both spellings, and of the other"
        );
        assert_eq!(
            [keys_of(0), keys_of(ROWS), keys_of(ROWS + 1)],
            [0..1, ROWS..ROWS + 2, ROWS + 2..ROWS + 4]
        );
        assert_eq!(keys_of(ROWS + PARTS), ROWS..KEYS);
    }

    fn said(what: What, count: u32, entries: usize) -> Vec<bool> {
        let event = |what| Event { v: 7, count, ..Event::new(what, 0, 0) };
        let ledger = vec![entry(0, [None, None, None, Some("row-1")], 7); entries];
        let disputes = disputes(&writes([event(What::Started), event(what)].into_iter()), &ledger);
        disputes.iter().map(Dispute::is_lost).collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_nothing_else() {
        assert!(said(What::Acked, 2, 2).is_empty());
        assert_eq!(said(What::Acked, 2, 1), [true]);
        assert_eq!(said(What::Acked, 1, 2), [false]);
        assert!(said(What::Acked, SOME, 2).is_empty());
        assert_eq!(said(What::Acked, SOME, 0), [true]);
        for refused in [What::Refused, What::RolledBack] {
            assert!(said(refused, 0, 0).is_empty());
            assert_eq!(said(refused, 0, 1), [false]);
        }
        let log =
            [What::Started, What::Unknown, What::Started, What::Refused].map(|what| Event::new(what, 0, 0));
        let repeated = writes(log.into_iter());
        assert_eq!(repeated[&0].said.map(|(what, _)| what), Some(What::Unknown), "the first may be there");
        assert!(said(What::Unknown, 0, 1).is_empty());
        assert!(said(What::Unknown, 0, 0).is_empty());
        let nobody = disputes(&HashMap::new(), &[entry(0, [None; 4], 9)]);
        assert_eq!(nobody.iter().map(|it| it.said).collect::<Vec<_>>(), [None]);
    }
}
