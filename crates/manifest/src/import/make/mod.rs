//! x
use super::draft::Draft;
use super::notes::Notes;
use super::{ImportError, Workspace};
/// The names that the file may have.
pub(super) const FILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];
pub(super) fn draft(_workspace: &Workspace, _notes: &mut Notes) -> Result<Draft, ImportError> {
    Ok(Draft::default())
}
