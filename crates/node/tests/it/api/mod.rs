//! The HTTP API over real listeners.

mod access;
mod bodies;
mod client;
mod models;
mod place;
mod routes;
mod stream;
mod turns;
