//! The events of one run, of which only so many bytes are kept: the oldest go first, and whoever asks for them
//! is told that they are gone.

use bytes::Bytes;
use std::collections::VecDeque;

/// What an event costs besides its text.
const OVERHEAD: usize = 64;

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskEvent {
    /// Its place in the run, from 1, without gaps.
    pub(crate) seq: u64,
    /// What kind of event it is.
    pub(crate) kind: Bytes,
    /// All of it, as JSON.
    pub(crate) data: Bytes,
}

/// What follows a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The first and the last event that are gone.
    pub(crate) dropped: Option<(u64, u64)>,
    pub(crate) events: Vec<TaskEvent>,
}

#[derive(Debug)]
pub(crate) struct Tape {
    events: VecDeque<TaskEvent>,
    last: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Tape {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            events: VecDeque::new(),
            last: 0,
            bytes: 0,
            bytes_max,
        }
    }

    pub(crate) fn push(&mut self, kind: Bytes, data: Bytes) {
        self.last += 1;
        let seq = self.last;
        let event = TaskEvent { seq, kind, data };
        self.bytes += cost(&event);
        self.events.push_back(event);
        while self.bytes > self.bytes_max && self.events.len() > 1 {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= cost(&oldest);
            }
        }
    }

    /// The place of the last event; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// How many events are gone.
    pub(crate) fn dropped(&self) -> u64 {
        self.last - self.events.len() as u64
    }

    /// How much is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The events after a place, `most` of them.
    pub(crate) fn after(&self, place: u64, most: usize) -> Page {
        let gone = self.dropped();
        let skip = usize::try_from(place.saturating_sub(gone)).unwrap_or(usize::MAX);
        Page {
            dropped: (place < gone).then_some((place + 1, gone)),
            events: self.events.iter().skip(skip).take(most).cloned().collect(),
        }
    }
}

fn cost(event: &TaskEvent) -> usize {
    OVERHEAD + event.kind.len() + event.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(bytes_max: usize, events: u64) -> Tape {
        let mut tape = Tape::new(bytes_max);
        for number in 1..=events {
            tape.push(Bytes::from_static(b"k"), Bytes::from(number.to_string()));
        }
        tape
    }

    #[test]
    fn whoever_reads_in_pieces_gets_every_event_or_is_told_which_are_gone() {
        for bytes_max in [1, 300, 1000, 100_000] {
            for events in [0, 1, 5, 100] {
                let tape = tape(bytes_max, events);
                assert!(tape.bytes() <= bytes_max.max(OVERHEAD + 4));
                for most in [1, 3, 1000] {
                    let (mut at, mut seen) = (0, 0);
                    loop {
                        let page = tape.after(at, most);
                        if let Some((first, last)) = page.dropped {
                            assert_eq!((first, last), (at + 1, tape.dropped()));
                            at = last;
                        }
                        for event in &page.events {
                            assert_eq!(event.seq, at + 1);
                            assert_eq!(event.data, event.seq.to_string());
                            at = event.seq;
                            seen += 1;
                        }
                        if page.events.is_empty() {
                            break;
                        }
                    }
                    assert_eq!((at, seen), (events, events - tape.dropped()));
                }
            }
        }
    }

    #[test]
    fn the_last_event_is_always_kept() {
        let tape = tape(0, 10);
        let page = tape.after(3, 10);
        assert_eq!(page.dropped, Some((4, 9)));
        assert_eq!(page.events[0].seq, 10);
        assert_eq!(tape.after(10, 10).events, []);
        assert_eq!(tape.after(9, 10).dropped, None);
    }
}
