//! What a read may return while rows come and go. Pure: events in, findings out.
//!
//! Each change of a row has the next number, and leaves the row there or not. A read returns the number of the last change,
//! or that nothing is there. It must not be older than the changes and reads that had returned before it began.
use std::collections::BTreeMap;
use std::str::FromStr;

/// A change or a read that has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Which row.
    pub row: u8,
    /// When it began, and when it returned.
    pub time: (u64, u64),
    /// What it was.
    pub what: What,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The change of this number left the row there.
    Stored(u64),
    /// It left nothing.
    Deleted(u64),
    /// The row was found, as this change left it.
    Found(u64),
    /// Nothing was found.
    Nothing,
}

impl Event {
    /// Whether it is a change.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.what, What::Stored(_) | What::Deleted(_))
    }

    /// As a line of a log.
    #[must_use]
    pub fn line(&self) -> String {
        let (name, number) = match self.what {
            What::Stored(number) => ("stored", number),
            What::Deleted(number) => ("deleted", number),
            What::Found(number) => ("found", number),
            What::Nothing => ("nothing", 0),
        };
        format!("{name} {} {} {} {number}\n", self.row, self.time.0, self.time.1)
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let none = || format!("no event: {line}");
        let (name, numbers) = line.split_once(' ').ok_or_else(none)?;
        let numbers: Option<Vec<u64>> = numbers.split(' ').map(|number| number.parse().ok()).collect();
        let Some([row, begin, end, number]) = numbers.as_deref() else { return Err(none()) };
        let what = match name {
            "stored" => What::Stored(*number),
            "deleted" => What::Deleted(*number),
            "found" => What::Found(*number),
            "nothing" => What::Nothing,
            _ => return Err(none()),
        };
        Ok(Self { row: u8::try_from(*row).map_err(|_| none())?, time: (*begin, *end), what })
    }
}

/// Every read that returned what it must not.
#[must_use]
pub fn stale(events: &[Event]) -> Vec<String> {
    let mut rows: BTreeMap<u8, Vec<Event>> = BTreeMap::new();
    for event in events {
        rows.entry(event.row).or_default().push(*event);
    }
    rows.into_values().flat_map(|events| stale_of(&events)).collect()
}

fn stale_of(events: &[Event]) -> Vec<String> {
    let mut known: Vec<(u64, u64)> = events
        .iter()
        .filter_map(|event| match event.what {
            What::Stored(number) | What::Deleted(number) | What::Found(number) => {
                Some((event.time.1, number))
            }
            What::Nothing => None,
        })
        .collect();
    known.sort_unstable();
    let mut highest = 0;
    for (_, number) in &mut known {
        highest = highest.max(*number);
        *number = highest;
    }
    // The highest number that had returned before.
    let floor = |begin: u64| match known.partition_point(|(end, _)| *end < begin) {
        0 => 0,
        count => known[count - 1].1,
    };
    // Before the first change nothing is there.
    let mut gone = vec![(0, 0)];
    gone.extend(events.iter().filter_map(|event| match event.what {
        What::Deleted(number) => Some((number, event.time.0)),
        _ => None,
    }));
    gone.sort_unstable();
    let may_be_gone = |floor: u64, end: u64| {
        let since = gone.partition_point(|(number, _)| *number < floor);
        gone[since..].iter().any(|(_, begin)| *begin <= end)
    };
    let finding = |event: &Event| {
        let floor = floor(event.time.0);
        let is_stale = match event.what {
            What::Found(number) => number < floor,
            What::Nothing => !may_be_gone(floor, event.time.1),
            What::Stored(_) | What::Deleted(_) => false,
        };
        is_stale.then(|| format!("stale read: {event:?}, after change {floor} had returned"))
    };
    events.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::What::{Deleted, Found, Nothing, Stored};
    use super::*;

    fn event(begin: u64, end: u64, what: What) -> Event {
        Event { row: 1, time: (begin, end), what }
    }

    fn is_stale(events: &[Event]) -> bool {
        !stale(events).is_empty()
    }

    #[test]
    fn a_read_is_no_older_than_what_had_returned_before_it_began() {
        let stored = [event(10, 20, Stored(1)), event(30, 40, Stored(2))];
        let with = |read: Event| is_stale(&[stored[0], stored[1], read]);
        assert!(!with(event(35, 36, Found(1))), "the second has not returned");
        assert!(with(event(41, 42, Found(1))));
        assert!(!with(event(41, 42, Found(2))));
        assert!(with(event(41, 42, Nothing)));
        assert!(!with(event(5, 6, Nothing)), "nothing was there yet");
        assert!(
            is_stale(&[event(1, 9, Stored(1)), event(2, 3, Found(1)), event(4, 5, Nothing)]),
            "read before"
        );
    }

    #[test]
    fn what_is_gone_may_be_missed_from_the_begin_of_its_deletion_to_its_return() {
        let events = [event(1, 2, Stored(1)), event(10, 20, Deleted(2)), event(30, 40, Stored(3))];
        let with = |read: Event| is_stale(&[events.as_slice(), &[read]].concat());
        assert!(with(event(5, 6, Nothing)));
        assert!(!with(event(12, 13, Nothing)));
        assert!(!with(event(12, 13, Found(1))));
        assert!(with(event(21, 22, Found(1))));
        assert!(!with(event(35, 36, Nothing)));
        assert!(with(event(41, 42, Nothing)));
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for what in [Stored(3), Deleted(4), Found(5), Nothing] {
            let event = event(1, 2, what);
            assert_eq!(event.line().trim_end().parse(), Ok(event));
        }
    }
}
