//! Test support: the seeded simulation of sessions, the journal's fake and contract, and a provider of
//! models that does as its models are called.

pub mod journal;
pub mod journal_contract;
pub mod journal_steps;
pub mod simulation;
pub mod upstream;
