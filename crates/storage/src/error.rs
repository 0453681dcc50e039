//! What SQLite and the file system say, in the journal's terms.

use mainstay_sessions::StoreError;
use rusqlite::ErrorCode;
use std::io;
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

/// Finds out why SQLite could not do it, by trying the same without SQLite.
fn examine(error: &rusqlite::Error, path: &Path) -> StoreError {
    let failed = |found: io::Error| io_error(&found, path);
    let probe = path.with_extension("probe");
    let tried = std::fs::write(&probe, [0u8; 8192]);
    let _never_made = std::fs::remove_file(&probe);
    match tried {
        Err(found) if found.kind() != io::ErrorKind::NotFound => failed(found),
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
}
