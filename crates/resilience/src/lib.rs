//! How failures and limits are survived: retry and backoff, rates, breakers, queues and budgets.
//! Pure: time and randomness are handed in.

mod breaker;
mod clock;
mod queue;
mod rate;
mod retry;

pub use breaker::{Breaker, BreakerConfig, BreakerState, Outcome, Permit, Refused};
pub use queue::{AdmissionQueue, Entered, Priority, QueueConfig};
pub use rate::{Rate, RateLimit, Wait};
pub use retry::RetryPolicy;
