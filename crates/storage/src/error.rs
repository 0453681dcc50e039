//! What SQLite and the file system say, in the journal's terms.

use mainstay_sessions::StoreError;
use rusqlite::ErrorCode;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a failure of SQLite means.
pub(crate) fn sqlite(error: &rusqlite::Error, path: &Path) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StoreError::Corrupt {
            what: format!("{}: {error}", path.display()),
        };
    };
    match failure.code {
        ErrorCode::DiskFull => StoreError::DiskFull {
            path: path.to_owned(),
        },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly {
            path: path.to_owned(),
        },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt {
            what: format!("{}: {error}", path.display()),
        },
        // A full disk also shows as a failed write of the log; the file system knows better.
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => examine(error, path),
        _ => StoreError::Io {
            what: format!("{}: {error}", path.display()),
        },
    }
}

/// Finds out why SQLite could not do it, by trying the same without SQLite: a write of a few pages, as
/// far into a file as the database and its log reach.
fn examine(error: &rusqlite::Error, path: &Path) -> StoreError {
    let log = format!("{}-wal", path.display());
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let reach = length(path).max(length(Path::new(&log)));
    let probe = path.with_extension("probe");
    let tried = std::fs::File::create(&probe)
        .and_then(|file| file.write_all_at(&[0; 8192], reach).map(|()| file))
        .and_then(|file| file.sync_all());
    let _never_made = std::fs::remove_file(&probe);
    match tried {
        Err(found) if found.kind() != io::ErrorKind::NotFound => io_error(&found, path),
        _ => StoreError::Io {
            what: format!("{}: {error}", path.display()),
        },
    }
}

/// What a failure of the file system means.
pub(crate) fn io_error(error: &io::Error, path: &Path) -> StoreError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => StoreError::DiskFull {
            path: path.to_owned(),
        },
        Kind::ReadOnlyFilesystem | Kind::PermissionDenied => StoreError::ReadOnly {
            path: path.to_owned(),
        },
        _ => StoreError::Io {
            what: format!("{}: {error}", path.display()),
        },
    }
}

/// The writer is gone, so that nothing more can be written.
pub(crate) fn writer_ended() -> StoreError {
    StoreError::Io {
        what: "the thread that writes the journal has ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_keep_their_meaning() {
        let path = Path::new("/x");
        let of = |errno| io_error(&io::Error::from_raw_os_error(errno), path);
        for errno in [28, 122, 27] {
            assert!(matches!(of(errno), StoreError::DiskFull { .. }), "{errno}");
        }
        for errno in [30, 13, 1] {
            assert!(matches!(of(errno), StoreError::ReadOnly { .. }), "{errno}");
        }
        assert!(matches!(of(5), StoreError::Io { .. }));
    }

    #[test]
    fn what_sqlite_says_keeps_its_meaning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let of = |code| {
            let failure = rusqlite::ffi::Error::new(code);
            sqlite(&rusqlite::Error::SqliteFailure(failure, None), &path)
        };
        use rusqlite::ffi;
        let is = |code, wanted: fn(&StoreError) -> bool| {
            let found = of(code);
            assert!(wanted(&found), "{code}: {found:?}");
        };
        is(ffi::SQLITE_FULL, |e| {
            matches!(e, StoreError::DiskFull { .. })
        });
        is(ffi::SQLITE_READONLY, |e| {
            matches!(e, StoreError::ReadOnly { .. })
        });
        is(ffi::SQLITE_PERM, |e| {
            matches!(e, StoreError::ReadOnly { .. })
        });
        is(ffi::SQLITE_CORRUPT, |e| {
            matches!(e, StoreError::Corrupt { .. })
        });
        is(ffi::SQLITE_NOTADB, |e| {
            matches!(e, StoreError::Corrupt { .. })
        });
        is(ffi::SQLITE_IOERR_FSYNC, |e| {
            matches!(e, StoreError::Io { .. })
        });
        is(ffi::SQLITE_BUSY, |e| matches!(e, StoreError::Io { .. }));
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "the probe stayed: {left:?}");
    }
}
