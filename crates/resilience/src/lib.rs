//! How failures and limits are survived: retry and backoff, rates, breakers, queues and budgets.
//! Pure: time and randomness are handed in.

mod breaker;
mod budget;
mod budget_tree;
mod clock;
mod period;
mod queue;
mod rate;
mod retry;
mod retry_after;
mod retry_budget;
mod window;

pub use breaker::{Breaker, BreakerConfig, BreakerState, Outcome, Permit, Refused};
pub use budget::{Budget, Exceeded, Hold, Spent};
pub use budget_tree::{BudgetExceeded, BudgetTree, ReservationId};
pub use period::BudgetPeriod;
pub use queue::{AdmissionQueue, Entered, Priority, QueueConfig};
pub use rate::{Rate, RateLimit, Wait};
pub use retry::RetryPolicy;
pub use retry_after::{reset_duration, retry_after};
pub use retry_budget::{RetryBudget, RetryBudgetConfig};
