//! The gate, driven by hand and by chance with a clock that is handed on.

mod accounts;
mod breakers;
mod budgets;
mod changes;
mod fallback;
mod given;
mod hedging;
mod keys;
mod promises;
mod queues;
mod rates;
mod retries;
mod simulation;
mod upstream;
mod world;
