//! Which manifest is the workspace's, seen from a folder in it.

use mainstay_manifest::{FILE_NAME, check};
use mainstay_tasks::{Bytes, Pattern};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The manifest of the workspace that a manifest belongs to: the nearest one above it whose `projects`
/// mean its folder, or else itself.
#[must_use]
pub fn root_manifest(nearest: &Path) -> PathBuf {
    let folder = nearest.parent().unwrap_or(Path::new("/"));
    let above = folder.ancestors().skip(1);
    let mut roots = above.map(|above| above.join(FILE_NAME)).filter(|manifest| {
        let Some(root) = manifest.parent() else {
            return false;
        };
        folder
            .strip_prefix(root)
            .is_ok_and(|project| has_project(manifest, project))
    });
    roots.next().unwrap_or_else(|| nearest.to_owned())
}

fn has_project(manifest: &Path, project: &Path) -> bool {
    let Ok(bytes) = super::read_manifest(manifest) else {
        return false;
    };
    // A root that is not sound is told of once it is used.
    let Some(whole) = check(FILE_NAME, &bytes).manifest else {
        return false;
    };
    let path = project.as_os_str().as_bytes();
    let patterns = whole.projects.iter();
    let mut patterns = patterns.filter_map(|p| Pattern::parse(&Bytes::default(), &p.value).ok());
    patterns.any(|pattern| match pattern.literal() {
        Some(literal) => literal.0 == path,
        None => pattern.is_match(path),
    })
}
