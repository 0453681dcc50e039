//! One request of a caller.

use super::{FailureClass, Spender};
use crate::{InferenceError, Tokens};
use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::{Permit, Priority, ReservationId};
use std::sync::Arc;

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
    /// Whether failures are repeated here; not where the caller does so itself.
    pub is_retried: bool,
    /// Any number, different for each: for waits and shares.
    pub random: u64,
}

/// A flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ask: Ask,
    pub(super) chain: Vec<Link>,
    /// Where in the chain it is.
    pub(super) at: usize,
    /// How often the deployment there failed.
    pub(super) failures: u32,
    pub(super) state: State,
    pub(super) attempts: Vec<Attempt>,
    pub(super) attempts_made: u32,
    /// The attempt whose content the caller sees.
    pub(super) winner: Option<u32>,
    pub(super) earlier: Vec<(Arc<str>, InferenceError)>,
    pub(super) wake: Option<Timestamp>,
    pub(super) usd: Usd,
    pub(super) tokens: Tokens,
    pub(super) warnings: Vec<String>,
    pub(super) arrived: Timestamp,
    pub(super) key_tokens: u64,
    random: u64,
}

/// A deployment that may answer.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) deployment: usize,
    /// After which failures of those before; any for members of one model.
    pub(super) on: Option<Vec<FailureClass>>,
}

impl Link {
    pub(super) fn helps(&self, class: Option<FailureClass>) -> bool {
        match (&self.on, class) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(on), Some(class)) => on.contains(&class),
        }
    }
}

/// What a flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A place at the deployment.
    Queued,
    /// A limit to pass; it holds its place.
    Held,
    /// The time until the next try; it holds no place.
    Resting,
    /// An answer.
    Calling,
}

/// A call on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) deployment: usize,
    pub(super) permits: Permits,
    pub(super) reservation: Option<ReservationId>,
    pub(super) reserved_at: Timestamp,
    pub(super) reserved_tokens: u64,
    /// The number of the call in the ledger.
    pub(super) call: u64,
    pub(super) is_hedge: bool,
}

/// Leave of the three breakers.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) failure: Permit,
    pub(super) overload: Permit,
    pub(super) access: Permit,
}

impl Flight {
    pub(super) fn new(now: Timestamp, ask: Ask, chain: Vec<Link>) -> Self {
        Self {
            random: ask.random,
            ask,
            chain,
            at: 0,
            failures: 0,
            state: State::Resting,
            attempts: Vec::new(),
            attempts_made: 0,
            winner: None,
            earlier: Vec::new(),
            wake: None,
            usd: Usd::ZERO,
            tokens: Tokens::default(),
            warnings: Vec::new(),
            arrived: now,
            key_tokens: 0,
        }
    }

    /// The deployment that it is at.
    pub(super) fn deployment(&self) -> usize {
        self.chain.get(self.at).map_or(0, |link| link.deployment)
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
