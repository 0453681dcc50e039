//! The workspace as state: an agent works on a private copy-on-write view of a folder, and each step
//! commits what changed as a tree of blobs, so that a crash can be rolled back to the last step.
//!
//! The overlay exists inside a run's own mount namespace, and for the node's own eyes behind a descriptor
//! ([`merged`]), never both at once. From outside a view is the directory of what changed (`upper`), in the kernel's
//! overlay format (Documentation/filesystems/overlayfs.rst): whiteouts are character devices 0/0, and
//! `user.overlay.opaque` marks folders that hide what is below them.

mod apply;
mod base;
mod bring;
mod build;
mod change;
mod check;
mod copy;
mod diff;
pub(crate) mod disk;
mod error;
pub mod merged;
pub(crate) mod name;
mod scan;
mod source;
mod tree;
mod view;

pub use apply::{Applied, apply};
pub use check::missing;
pub use diff::{Change, ChangeKind, Diff, diff};
pub use error::{Conflict, WorkspaceError};
pub use source::BlobSource;
pub use view::{Commit, View, ViewParams, remove_abandoned, set_abandoned_aside, views_root};
