//! How much of large bodies is held at once, from their first byte until nobody needs them any more: half of the room for
//! one caller at the most. Who finds none waits, and its sender with it.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size take no room, in bytes; larger ones take it in such units.
pub(super) const UNIT: usize = 64 << 10;
/// The whole room, in units: a GiB.
const ALL: usize = (1 << 30) / UNIT;

/// The room.
#[derive(Debug)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    of_each: Mutex<HashMap<Option<Arc<str>>, Arc<Semaphore>>>,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Claim {
    of_all: OwnedSemaphorePermit,
    of_own: OwnedSemaphorePermit,
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
    /// Waits until there is room for a body of the caller with this key.
    pub(super) async fn claim(&self, key: Option<&Arc<str>>, bytes: usize) -> Option<Claim> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let own = {
            let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
            let own = of_each.entry(key.cloned());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(ALL / 2))))
        };
        let of_own = own.acquire_many_owned(units).await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_many_owned(units).await.ok()?;
        Some(Claim { of_all, of_own })
    }
}

impl Claim {
    /// The body, which takes its room until its last copy is gone. What it did not need is given back at once.
    pub(super) fn hold(mut self, body: Vec<u8>) -> Bytes {
        struct Held {
            body: Vec<u8>,
            _claim: Claim,
        }
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.body
            }
        }
        let needed = body.len().div_ceil(UNIT);
        for permits in [&mut self.of_all, &mut self.of_own] {
            let spare = permits.num_permits().saturating_sub(needed);
            drop(permits.split(spare));
        }
        let _claim = self;
        Bytes::from_owner(Held { body, _claim })
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
        let claim = |key: &Arc<str>, bytes| {
            let claimed = room.claim(Some(key), bytes).now_or_never();
            claimed.map(Option::unwrap)
        };
        let mut bodies: Vec<Bytes> = (0..8)
            .map(|_| claim(&alice, LARGE).unwrap().hold(vec![0; LARGE]))
            .collect();
        assert!(claim(&alice, UNIT + 1).is_none(), "half is taken");
        let copy = bodies[0].clone();
        bodies.truncate(1);
        let all: Vec<_> = (0..8).map(|_| claim(&bob, LARGE).unwrap()).collect();
        assert!(claim(&bob, UNIT + 1).is_none());
        drop(all);
        // One of no announced length claims the most, and gives back what it did not need.
        let small = claim(&bob, LARGE).unwrap().hold(vec![0; 3 * UNIT]);
        drop((bodies, small));
        assert_eq!(
            room.all.available_permits(),
            ALL - LARGE / UNIT,
            "a copy is left"
        );
        drop(copy);
        assert_eq!(room.all.available_permits(), ALL);
    }
}
