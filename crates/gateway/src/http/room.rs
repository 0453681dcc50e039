//! How much of large bodies is held at once, from their arrival until nobody needs them any more: half of the room for
//! one caller at the most. A body takes room as it comes, by its bytes and by what it becomes once it is read.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size take no room, in bytes; larger ones take it in such units.
pub(super) const UNIT: usize = 64 << 10;
/// The whole room, in units: a GiB.
const ALL: usize = (1 << 30) / UNIT;
/// What a value takes once it is read, in bytes: a field of an object with a name of its own.
const PER_VALUE: usize = 256;

/// The room.
#[derive(Debug)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    of_each: Mutex<HashMap<Option<Arc<str>>, Arc<Semaphore>>>,
}

/// A part of it, for one body.
#[derive(Debug)]
pub(super) struct Claim {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    taken: Vec<OwnedSemaphorePermit>,
    units: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            of_each: Mutex::default(),
        }
    }
}

impl Room {
    /// A claim of the caller with this key, on nothing yet.
    pub(super) fn claim(&self, key: Option<&Arc<str>>) -> Claim {
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        let own = of_each.entry(key.cloned());
        let own = own.or_insert_with(|| Arc::new(Semaphore::new(ALL / 2)));
        Claim {
            all: Arc::clone(&self.all),
            own: Arc::clone(own),
            taken: Vec::new(),
            units: 0,
        }
    }
}

impl Claim {
    /// Waits until there is room for so many bytes that hold so many values. Says whether there ever is.
    pub(super) async fn grow(&mut self, bytes: usize, values: usize) -> bool {
        let needed = bytes.saturating_add(values.saturating_mul(PER_VALUE));
        let more = needed.div_ceil(UNIT).saturating_sub(self.units);
        if more == 0 {
            return true;
        }
        let Ok(permits) = u32::try_from(more) else {
            return false;
        };
        for semaphore in [&self.own, &self.all] {
            match Arc::clone(semaphore).acquire_many_owned(permits).await {
                Ok(taken) => self.taken.push(taken),
                Err(_closed) => return false,
            }
        }
        self.units += more;
        true
    }

    /// The body, which takes its room until its last copy is gone.
    pub(super) fn hold(self, body: Vec<u8>) -> Bytes {
        struct Held {
            body: Vec<u8>,
            _claim: Claim,
        }
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.body
            }
        }
        Bytes::from_owner(Held { body, _claim: self })
    }
}

/// Counts the values of a JSON text as it arrives: one for each comma and each bracket that opens.
#[derive(Debug, Default)]
pub(super) struct ValueCount {
    pub(super) values: usize,
    is_text: bool,
    is_escaped: bool,
}

impl ValueCount {
    pub(super) fn add(&mut self, json: &[u8]) {
        for byte in json {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_text,
                b'"' => self.is_text = !self.is_text,
                b',' | b'[' | b'{' if !self.is_text => self.values += 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const LARGE: usize = 64 << 20;

    #[test]
    fn nobody_has_more_than_half_and_all_of_it_comes_back() {
        let room = Room::default();
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        let claim = |key: &Arc<str>, bytes, values| {
            let mut claim = room.claim(Some(key));
            let grown = claim.grow(bytes, values).now_or_never();
            (grown == Some(true)).then_some(claim)
        };
        let mut bodies: Vec<Bytes> = (0..8)
            .map(|_| claim(&alice, LARGE, 0).unwrap().hold(vec![0; 9]))
            .collect();
        assert!(claim(&alice, UNIT + 1, 0).is_none(), "half is taken");
        let copy = bodies[0].clone();
        bodies.truncate(1);
        // What a body becomes counts, too.
        let many = claim(&bob, LARGE, 7 * LARGE / PER_VALUE).unwrap();
        assert!(claim(&bob, UNIT + 1, 0).is_none());
        drop((many, bodies));
        assert_eq!(
            room.all.available_permits(),
            ALL - LARGE / UNIT,
            "a copy is left"
        );
        drop(copy);
        let mut growing = claim(&bob, UNIT + 1, 0).unwrap();
        assert_eq!(growing.grow(LARGE, 0).now_or_never(), Some(true));
        assert_eq!(growing.grow(UNIT, 0).now_or_never(), Some(true));
        assert_eq!(room.all.available_permits(), ALL - LARGE / UNIT);
        drop(growing);
        assert_eq!(room.all.available_permits(), ALL);
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (json, count) in [
            (r#""a,b[c{""#, 0),
            (r#"{"a": "x\"y,", "b": [1, 2, 3]}"#, 5),
            (r#"["\\", ","]"#, 2),
            ("", 0),
        ] {
            for cut in 0..=json.len() {
                let mut counted = ValueCount::default();
                counted.add(&json.as_bytes()[..cut]);
                counted.add(&json.as_bytes()[cut..]);
                assert_eq!(counted.values, count, "{json}");
            }
        }
    }
}
