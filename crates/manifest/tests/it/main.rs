//! Tests of the manifest from outside.
#![cfg(test)]

mod changes;
mod fuzz;
mod gallery;
mod import;
mod inference;
mod references;
mod schema;
mod support;
mod valid;
