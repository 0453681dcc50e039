//! The node over real stores, real listeners and scripted models.

mod api;
