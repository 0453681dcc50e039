//! The node over real stores, real listeners and scripted models.
#![cfg(test)]

mod api;
