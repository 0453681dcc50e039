//! Who may work and who waits: a limit of concurrent work with a bounded queue before it.
//!
//! The queue is ordered by when one came plus a handicap for its priority: none for high, ten
//! seconds for normal, twenty for low. So a higher priority goes first, but nobody is overtaken by
//! what came more than twenty seconds later, and within a priority first come is first served.

use mainstay_contract::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How much later a piece of work counts as having come, for each step below high priority.
const HANDICAP: Duration = Duration::from_secs(10);

/// How urgent a piece of work is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// Where nothing is said.
    #[default]
    Normal,
    /// After all others.
    Low,
}

/// How much is admitted and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueConfig {
    /// How many may work at once; as many as come if absent, nobody if zero.
    pub concurrency_max: Option<usize>,
    /// How many may wait.
    pub queued_max: usize,
    /// How long one waits at most; for ever if absent.
    pub queue_timeout: Option<Duration>,
}

/// What became of one who came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// May work, and must leave when done.
    Admitted,
    /// Waits until an other's leaving admits it, it leaves itself, or its time is over.
    Queued,
    /// Was turned away: the queue is full.
    Full,
}

/// When one counts as having come, then in which order they really came.
type Rank = (Timestamp, u64);

#[derive(Debug, Clone, Copy)]
enum Place {
    Admitted,
    Queued {
        rank: Rank,
        deadline: Option<Timestamp>,
    },
}

/// The queue. Every operation takes logarithmic time.
#[derive(Debug)]
pub struct AdmissionQueue<Id> {
    config: QueueConfig,
    places: BTreeMap<Id, Place>,
    queue: BTreeMap<Rank, Id>,
    /// With the order of coming, which tells equal deadlines apart.
    deadlines: BTreeMap<(Timestamp, u64), Id>,
    entered: u64,
    /// Moments of coming never go back, so that a clock set back does not break the order.
    latest: Timestamp,
}

impl<Id: Ord + Clone> AdmissionQueue<Id> {
    /// An empty queue.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        Self {
            config,
            places: BTreeMap::new(),
            queue: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            entered: 0,
            latest: Timestamp::default(),
        }
    }

    /// Somebody comes. An id that is here already keeps its place and is told it again. Those
    /// whose time is over count as waiting until [`Self::expire`] has named them.
    pub fn enter(&mut self, now: Timestamp, id: Id, priority: Priority) -> Entered {
        match self.places.get(&id) {
            Some(Place::Admitted) => return Entered::Admitted,
            Some(Place::Queued { .. }) => return Entered::Queued,
            None => {}
        }
        if self.has_room() {
            self.places.insert(id, Place::Admitted);
            return Entered::Admitted;
        }
        if self.queued() >= self.config.queued_max {
            return Entered::Full;
        }
        self.entered += 1;
        self.latest = self.latest.max(now);
        let handicap = match priority {
            Priority::High => Duration::ZERO,
            Priority::Normal => HANDICAP,
            Priority::Low => HANDICAP * 2,
        };
        let rank = (self.latest.after(handicap), self.entered);
        let deadline = self.config.queue_timeout.map(|wait| now.after(wait));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, self.entered), id.clone());
        }
        self.queue.insert(rank, id.clone());
        self.places.insert(id, Place::Queued { rank, deadline });
        Entered::Queued
    }

    /// Somebody has finished, or waits no longer. Returns who is admitted in its place, to be told
    /// so. An unknown id changes nothing.
    pub fn leave(&mut self, id: &Id) -> Option<Id> {
        self.remove(id);
        self.admit_next()
    }

    /// Removes those who have waited for too long, and names them in the order of their deadlines.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Id> {
        let mut expired = Vec::new();
        while let Some((&(deadline, _), id)) = self.deadlines.first_key_value() {
            if deadline > now {
                break;
            }
            let id = id.clone();
            self.remove(&id);
            expired.push(id);
        }
        expired
    }

    /// When [`Self::expire`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let (&(deadline, _), _) = self.deadlines.first_key_value()?;
        Some(deadline)
    }

    /// Other limits from now on. Nobody loses a place, and who waits keeps its deadline. Returns
    /// those whom a higher limit admits.
    pub fn set_config(&mut self, config: QueueConfig) -> Vec<Id> {
        self.config = config;
        std::iter::from_fn(|| self.admit_next()).collect()
    }

    /// How many work.
    #[must_use]
    pub fn admitted(&self) -> usize {
        self.places.len() - self.queue.len()
    }

    /// How many wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether this one may work.
    #[must_use]
    pub fn is_admitted(&self, id: &Id) -> bool {
        matches!(self.places.get(id), Some(Place::Admitted))
    }

    fn has_room(&self) -> bool {
        let max = self.config.concurrency_max;
        max.is_none_or(|max| self.admitted() < max)
    }

    fn admit_next(&mut self) -> Option<Id> {
        if !self.has_room() {
            return None;
        }
        let (_, id) = self.queue.first_key_value()?;
        let id = id.clone();
        self.remove(&id);
        self.places.insert(id.clone(), Place::Admitted);
        Some(id)
    }

    fn remove(&mut self, id: &Id) {
        if let Some(Place::Queued { rank, deadline }) = self.places.remove(id) {
            self.queue.remove(&rank);
            if let Some(deadline) = deadline {
                self.deadlines.remove(&(deadline, rank.1));
            }
        }
    }
}
