//! One request of a caller.

use super::failure::is_refused_unsent;
use super::{BudgetKey, FailureClass, Pricing, Spender};
use crate::{InferenceError, TimeoutPhase, Tokens};
use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::{Permit, Priority, ReservationId};
use std::sync::Arc;
use std::time::Duration;

/// How much later a flight counts as having come, for each step below high priority.
const HANDICAP: Duration = Duration::from_secs(10);

/// An order of waiting: when one counts as having come, then in which order they really came.
pub(super) type Rank = (Timestamp, FlightId);

/// Names a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub(super) u64);

/// Names an attempt of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The flight.
    pub flight: FlightId,
    /// Which of its attempts, from 0.
    pub number: u32,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The model, as the caller named it.
    pub model: Arc<str>,
    /// Who asks.
    pub spender: Spender,
    /// The most that each of the spender's sessions may spend; absent for what is said of its agent.
    pub session_budget: Option<Usd>,
    /// The tokens of the request, estimated.
    pub input_tokens: u64,
    /// The most tokens of the answer, where the caller says so.
    pub output_tokens_max: Option<u64>,
    /// Whether sound is sent or asked for, which has prices of its own.
    pub has_audio: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// When the caller gives up.
    pub deadline: Option<Timestamp>,
    /// How long the caller said that it waits, where the deadline comes of that.
    pub patience: Option<Duration>,
    /// Whether failures are repeated here; not where the caller does so itself.
    pub is_retried: bool,
    /// Any number, different for each: for waits and shares.
    pub random: u64,
}

impl Ask {
    /// Whose limit is over at the deadline: the caller's, or that of the whole call.
    #[must_use]
    pub const fn late_phase(&self) -> TimeoutPhase {
        match self.patience {
            Some(_) => TimeoutPhase::Caller,
            None => TimeoutPhase::Total,
        }
    }
}

/// A flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ask: Ask,
    pub(super) chain: Vec<Link>,
    /// Where in the chain it is. Whenever a call fails and no other is under way, it was made there.
    pub(super) at: usize,
    /// How often the deployment there failed.
    pub(super) failures: u32,
    /// How many calls failed, wherever.
    pub(super) failed: u32,
    pub(super) state: State,
    pub(super) attempts: Vec<Attempt>,
    pub(super) attempts_made: u32,
    /// The attempt whose content the caller sees.
    pub(super) winner: Option<u32>,
    pub(super) earlier: Vec<(Arc<str>, InferenceError)>,
    pub(super) wake: Option<Timestamp>,
    /// Whether it stands in the line of its deployment.
    pub(super) is_in_line: bool,
    /// The budget whose settlements it waits for.
    pub(super) saving_for: Option<BudgetKey>,
    pub(super) usd: Usd,
    pub(super) tokens: Tokens,
    pub(super) warnings: Vec<String>,
    pub(super) arrived: Timestamp,
    /// When it last began to wait: patience counts from here.
    pub(super) since: Timestamp,
    pub(super) key: Option<KeyHold>,
    random: u64,
}

/// What a flight has taken from its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyHold {
    /// Tells the key from a later one of the same name.
    pub(super) number: u64,
    /// Absent where the key had no limit of tokens.
    pub(super) tokens: Option<u64>,
}

/// A deployment that may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) deployment: usize,
    /// The share of a member; of no account for those that stand in.
    pub(super) weight: u32,
    /// After which failures of those before.
    pub(super) on: Classes,
    /// Was asked and must not be asked again.
    pub(super) is_spent: bool,
}

/// A set of classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classes(u8);

impl Classes {
    pub(super) const ALL: Self = Self(u8::MAX);

    pub(super) fn of(classes: &[FailureClass]) -> Self {
        Self(classes.iter().fold(0, |set, class| set | bit(*class)))
    }

    fn has(self, class: FailureClass) -> bool {
        self.0 & bit(class) != 0
    }
}

const fn bit(class: FailureClass) -> u8 {
    match class {
        FailureClass::Limited => 1,
        FailureClass::Failed => 2,
        FailureClass::ContextLength => 4,
        FailureClass::ContentFiltered => 8,
        FailureClass::Access => 16,
        FailureClass::Budget => 32,
    }
}

/// What a flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A place at the deployment.
    Queued,
    /// A limit of the deployment to pass; it holds its place, as everybody there waits for the same.
    Held,
    /// Money; it holds no place.
    Saving,
    /// The time until the next try; it holds no place.
    Resting,
    /// An answer.
    Calling,
}

/// A call on its way. It holds a place at its deployment, under its own id.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    /// Where in the chain.
    pub(super) link: usize,
    pub(super) deployment: usize,
    pub(super) permits: Permits,
    pub(super) reservation: Option<ReservationId>,
    /// What it costs, as it was known when the call was made.
    pub(super) pricing: Pricing,
    pub(super) reserved_usd: Usd,
    pub(super) reserved_at: Timestamp,
    /// Absent where the deployment had no limit of tokens.
    pub(super) reserved_tokens: Option<u64>,
    /// The number of the call in the ledger.
    pub(super) call: u64,
}

/// Leave of the three breakers.
#[derive(Debug)]
pub(super) struct Permits {
    /// Whose.
    pub(super) endpoint: usize,
    pub(super) failure: Permit,
    pub(super) overload: Permit,
    pub(super) access: Permit,
}

impl Flight {
    pub(super) fn new(now: Timestamp, ask: Ask) -> Self {
        Self {
            random: ask.random,
            ask,
            chain: Vec::new(),
            at: 0,
            failures: 0,
            failed: 0,
            state: State::Resting,
            attempts: Vec::new(),
            attempts_made: 0,
            winner: None,
            earlier: Vec::new(),
            wake: None,
            is_in_line: false,
            saving_for: None,
            usd: Usd::ZERO,
            tokens: Tokens::default(),
            warnings: Vec::new(),
            arrived: now,
            since: now,
            key: None,
        }
    }

    /// The deployment that it is at.
    pub(super) fn deployment(&self) -> usize {
        self.chain.get(self.at).map_or(0, |link| link.deployment)
    }

    /// The next in the chain that may help after a failure.
    pub(super) fn next_link(&self, class: Option<FailureClass>) -> Option<usize> {
        let class = class?;
        let mut rest = self.chain.iter().enumerate().skip(self.at + 1);
        let (at, _) = rest.find(|(_, link)| link.on.has(class) && !link.is_spent)?;
        Some(at)
    }

    /// Which of the earlier failures led to a deployment that cannot be asked for this.
    pub(super) fn reason(&self, error: &InferenceError) -> Option<usize> {
        let mut earlier = self.earlier.iter();
        match is_refused_unsent(error) {
            true => earlier.rposition(|(_, earlier)| !is_refused_unsent(earlier)),
            false => None,
        }
    }

    /// The place for its next call, wherever it is made.
    pub(super) fn seat(&self, flight: FlightId) -> AttemptId {
        AttemptId {
            flight,
            number: self.attempts_made,
        }
    }

    /// Its place in a line: as in the queues, each step below high priority counts as having come later.
    pub(super) fn rank(&self, id: FlightId) -> Rank {
        let handicap = match self.ask.priority {
            Priority::High => Duration::ZERO,
            Priority::Normal => HANDICAP,
            Priority::Low => HANDICAP * 2,
        };
        (self.arrived.after(handicap), id)
    }

    /// Whether the caller's time is over.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.ask.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// A moment, or the deadline where that is earlier.
    pub(super) fn in_time(&self, moment: Timestamp) -> Timestamp {
        self.ask
            .deadline
            .map_or(moment, |deadline| deadline.min(moment))
    }

    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The next random number (SplitMix64: Steele, Lea, Flood, 2014).
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn random_u32(&mut self) -> u32 {
        u32::try_from(self.random() >> 32).unwrap_or(u32::MAX)
    }
}
