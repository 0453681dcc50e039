//! The key that TCP callers show, and where it is kept.

use super::ServeError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Random bytes of a new key.
const BYTES: usize = 32;
/// A key with fewer characters is no key of ours.
const LENGTH_MIN: usize = 32;

/// The key of a node. Kept as its digest, so that neither memory nor timing gives it away easily.
#[derive(Clone)]
pub struct Key {
    digest: blake3::Hash,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A key with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            digest: blake3::hash(text.as_bytes()),
        }
    }

    /// Whether this text is the key. Takes the same time whatever the text.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        // Equality of `blake3::Hash` is constant-time.
        self.digest == blake3::hash(text.as_bytes())
    }

    /// Reads the key from a file, which is made with a fresh key where it is missing.
    ///
    /// # Errors
    /// [`ServeError::Key`] where the file cannot be read or made, is open to others, or holds no key.
    pub(super) fn load(path: &Path) -> Result<Self, ServeError> {
        let failed = |why: String| ServeError::Key {
            path: path.to_owned(),
            why,
        };
        if !path.exists() {
            make(path).map_err(|error| failed(error.to_string()))?;
        }
        let metadata = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(failed(
                "others can read it; run `chmod 600` on it, or remove it".to_owned(),
            ));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let text = text.trim();
        if text.len() < LENGTH_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = format!("it holds no key: at least {LENGTH_MIN} printable characters");
            return Err(failed(format!("{rule}; remove it and a new one is made")));
        }
        Ok(Self::new(text))
    }
}

/// Makes the file whole or not at all; one that appeared meanwhile is left alone.
fn make(path: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = write(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    let removed = fs::remove_file(&draft);
    written.and(removed)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn write(draft: &Path) -> io::Result<()> {
    let mut random = [0; BYTES];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source
        .fill(&mut random)
        .map_err(|_| io::Error::other("the system has no random numbers"))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(draft)?;
    writeln!(file, "mk_{digits}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = Key::load(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 3 + 2 * BYTES);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(key.is(text.trim()) && !key.is("") && !key.is(&text));
        assert!(Key::load(&path).unwrap().is(text.trim()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let other = dir.path().join("other");
        Key::load(&other).unwrap();
        assert_ne!(fs::read_to_string(other).unwrap(), text);
    }

    #[test]
    fn files_that_are_open_or_hold_no_key_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (text, mode) in [
            ("", 0o600),
            ("short\n", 0o600),
            ("k".repeat(64).as_str(), 0o640),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(Key::load(&path).is_err(), "{text:?} {mode:o}");
        }
        assert!(Key::load(&dir.path().join("no/such/key")).is_err());
    }
}
