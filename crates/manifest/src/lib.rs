//! `mainstay.yaml`: what an operator declares, read with the place of every word.
//!
//! One [`check`] reports every finding at once, each with line, column, field path, the names that
//! were perhaps meant, and a hint. Nothing is ignored: an unknown key is refused, and so is one that
//! a later version will understand. One declarative description ([`sections`]) says which keys there
//! are, what they hold and what they default to; decoding and the JSON Schema both come from it.
//!
//! The way of a file: bytes → text ([`source`]) → tree with places ([`yaml`]) → values by description
//! ([`decode`]) → [`Manifest`], with what only the whole can tell ([`build`]). The crate does no IO:
//! finding and reading the file is the node's work.

mod build;
mod decode;
mod finding;
mod format;
pub mod import;
mod manifest;
mod model;
mod near;
mod provider;
mod refusal;
mod rule;
mod schema;
mod sections;
mod shape;
mod source;
mod task;
mod template;
mod url;
mod value;
mod yaml;

pub use finding::{Checked, Finding, InvalidManifest, Problem};
pub use manifest::{
    Agent, Effect, Http, HttpSecret, Manifest, Network, Probe, Sandbox, SecretRef, SecretSource,
    Shell, TaskTool, Tool,
};
pub use model::{
    Budget, BudgetAction, FailureClass, Fallback, HeaderValue, HealthCheck, IfPriceUnknown, Key,
    KeyLimits, Limits, Model, Price, ResponseCache, Timeouts,
};
pub use near::near;
pub use provider::{Device, PoolMember, Provider};
pub use rule::{AllowRule, Method, StatusRange};
pub use schema::schema;
pub use task::{
    Cache, Concurrency, Placed, Program, Project, Ready, RemoteCache, Restore, Spot, Task, Variable,
};
pub use template::{Starter, starter};
pub use url::{Scheme, is_host_name};

/// The file name that commands look for.
pub const FILE_NAME: &str = "mainstay.yaml";

/// Checks a manifest. `name` is how findings call the file; `bytes` is its content.
///
/// The manifest is there exactly when nothing was found. However hostile the bytes are, the time is
/// bounded: more than [`BYTES_MAX`] are refused unread.
#[must_use]
pub fn check(name: &str, bytes: &[u8]) -> Checked<Manifest> {
    let mut findings = finding::Findings::new(name);
    let manifest = source::text(bytes, &mut findings)
        .and_then(|text| yaml::parse(&text, &mut findings))
        .and_then(|root| decode::manifest(&root, &mut findings))
        .and_then(|root| build::manifest(&root, &mut findings));
    findings.finish(manifest)
}

/// Checks the manifest of a project below the workspace's root, as [`check`] does.
#[must_use]
pub fn check_project(name: &str, bytes: &[u8]) -> Checked<Project> {
    let mut findings = finding::Findings::new(name);
    let project = source::text(bytes, &mut findings)
        .and_then(|text| yaml::parse(&text, &mut findings))
        .and_then(|root| decode::project(&root, &mut findings))
        .and_then(|root| build::project(&root, &mut findings));
    findings.finish(project)
}

/// A finding about a field of a manifest that is valid in itself: what the field names cannot be used. It stands where
/// the value is written, or around it where it is not.
#[must_use]
pub fn unusable(name: &str, bytes: &[u8], field: &[&str], message: &str) -> Finding {
    let mut unheard = finding::Findings::new(name);
    let root = source::text(bytes, &mut unheard).and_then(|text| yaml::parse(&text, &mut unheard));
    let mut place = finding::Place::START;
    let mut node = root.as_ref();
    for key in field {
        node = node.and_then(|node| node.entry(key));
        place = place.key(key, node.map_or(place.at, |node| node.at));
    }
    Finding {
        file: name.to_owned(),
        ..place.finding(Problem::Unusable, message)
    }
}

/// The most bytes a manifest may have.
pub const BYTES_MAX: usize = 16 << 20;
