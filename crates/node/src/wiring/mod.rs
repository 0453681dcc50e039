//! Where faces meet: one file per pair.

mod sessions_sandbox;

pub(crate) use sessions_sandbox::sandbox_spec;
