//! The journal on SQLite: its contract, its faults, and what a kill leaves.
#![cfg(test)]

mod contract;
mod crash;
mod damage;
mod faults;
mod filter;
mod formats;
mod group;
mod store;
