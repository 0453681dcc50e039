//! Random schedules against the promises of each part, and against simpler models of it.

mod breaker;
mod budget;
mod queue;
mod rate;
mod retry;
mod retry_budget;
