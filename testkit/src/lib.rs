//! Test support: the seeded simulation of sessions, and the journal's fake and contract.

pub mod journal;
pub mod journal_contract;
pub mod journal_steps;
pub mod simulation;
