//! Files that are replaced as a whole.

use crate::process::Process;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A name that nobody else uses, for what is not at its place yet; it tells whose it is.
pub(crate) fn name() -> String {
    // A container that is started again may give its process the same number at the same time.
    static COUNT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(crate::files::now().cast_unsigned()));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", Process::this())
}

/// Whose such a name is; nobody's where it is another.
fn owner(name: &OsStr) -> Option<Process> {
    let (owner, count) = name.to_str()?.rsplit_once('-')?;
    count.parse::<u64>().ok()?;
    owner.parse().ok()
}

/// Such a name in a folder.
pub(crate) fn temporary(folder: &Path) -> PathBuf {
    folder.join(name())
}

/// Removes what the dead left in a folder under such names.
pub(crate) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if owner(&entry.file_name()).is_some_and(|owner| !owner.lives()) {
            let _gone = match entry.file_type()?.is_dir() {
                true => remove_folder(&entry.path()),
                false => fs::remove_file(entry.path()),
            };
        }
    }
    Ok(())
}

/// Removes a folder with all that is in it, also where its owner may not write there.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder).or_else(|_| {
        open_up(folder)?;
        fs::remove_dir_all(folder)
    })
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Puts a file in place of another, so that whoever reads sees the one or the other.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}-{}", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut file| file.write_all(bytes));
    let moved = written.and_then(|()| fs::rename(&temporary, path));
    if moved.is_err() {
        let _gone = fs::remove_file(&temporary);
    }
    moved
}
