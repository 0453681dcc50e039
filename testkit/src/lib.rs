//! Test support: the seeded simulation of sessions.

pub mod simulation;
