//! Content by its blake3 digest. Small blobs are rows of the same transaction as the records that name
//! them; large ones are files, durable before that transaction. Whatever is read is verified.
//!
//! A blob that is being handed over is pinned until its batch was answered: its file has no row yet,
//! and must not be taken for a leftover.

use crate::error::{io_error, sqlite};
use crate::sql;
use mainstay_contract::Digest;
use mainstay_sessions::{Blob, BlobContent, StoreError};
use rusqlite::{Connection, OptionalExtension};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Larger blobs are files.
pub(crate) const INLINE_BYTES_MAX: usize = 64 << 10;
/// Smaller ones do not get smaller.
const COMPRESS_BYTES_MIN: usize = 200;
const LEVEL: i32 = 3;

/// How a blob's bytes are kept; the numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Raw = 0,
    Zstd = 1,
    /// Not in the row: a file, compressed.
    File = 2,
}

impl Codec {
    pub(crate) fn of(number: i64) -> Option<Self> {
        [Self::Raw, Self::Zstd, Self::File]
            .into_iter()
            .find(|codec| *codec as i64 == number)
    }
}

/// A blob, ready to become a row.
pub(crate) struct Row {
    pub(crate) digest: Digest,
    pub(crate) codec: Codec,
    pub(crate) bytes: Option<Vec<u8>>,
    _pin: Option<Pin>,
}

type Pinned = Arc<Mutex<HashMap<Digest, usize>>>;

/// Keeps a file without a row from being removed.
struct Pin {
    digest: Digest,
    pinned: Pinned,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = lock(&self.pinned);
        if let Some(count) = pinned.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pinned.remove(&self.digest);
            }
        }
    }
}

fn lock(pinned: &Pinned) -> MutexGuard<'_, HashMap<Digest, usize>> {
    pinned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder of large blobs.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    root: PathBuf,
    pinned: Pinned,
    /// Names temporary files.
    count: Arc<AtomicU64>,
}

impl BlobFolder {
    pub(crate) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let temporary = root.join("incoming");
        let _nothing_there = fs::remove_dir_all(&temporary);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&temporary);
        made.map_err(|error| io_error(&error, &root))?;
        Ok(Self {
            root,
            pinned: Pinned::default(),
            count: Arc::default(),
        })
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }

    fn pin(&self, digest: Digest) -> Pin {
        *lock(&self.pinned).entry(digest).or_default() += 1;
        Pin {
            digest,
            pinned: Arc::clone(&self.pinned),
        }
    }

    /// Makes a blob durable as a file, or compresses it for its row.
    pub(crate) fn prepare(&self, blob: Blob) -> Result<Row, StoreError> {
        let digest = blob.digest;
        match blob.content {
            BlobContent::Bytes(bytes) if bytes.len() <= INLINE_BYTES_MAX => {
                check(&digest, &bytes)?;
                Ok(inline(digest, bytes))
            }
            BlobContent::Bytes(bytes) => self.write(digest, bytes.as_slice()),
            BlobContent::File(path) => {
                let failed = |error: io::Error| io_error(&error, &path);
                let file = File::open(&path).map_err(failed)?;
                let mut start = Vec::new();
                let limit = INLINE_BYTES_MAX as u64 + 1;
                let read = (&file).take(limit).read_to_end(&mut start);
                if read.map_err(failed)? <= INLINE_BYTES_MAX {
                    check(&digest, &start)?;
                    return Ok(inline(digest, start));
                }
                self.write(digest, start.as_slice().chain(file))
            }
        }
    }

    fn write(&self, digest: Digest, from: impl Read) -> Result<Row, StoreError> {
        let pin = self.pin(digest);
        let place = self.place(&digest);
        if !place.exists() {
            self.write_new(&digest, from, &place)?;
        }
        Ok(Row {
            digest,
            codec: Codec::File,
            bytes: None,
            _pin: Some(pin),
        })
    }

    fn write_new(&self, digest: &Digest, from: impl Read, place: &Path) -> Result<(), StoreError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .root
            .join("incoming")
            .join(format!("{digest}-{number}"));
        let found = compress_to(&temporary, from).map_err(|error| {
            let _partial = fs::remove_file(&temporary);
            io_error(&error, &temporary)
        })?;
        if found != digest.0 {
            let _wrong = fs::remove_file(&temporary);
            return Err(other_bytes(digest));
        }
        let folder = place.parent().unwrap_or(&self.root);
        let moved = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| fs::rename(&temporary, place))
            .and_then(|()| File::open(folder)?.sync_all())
            .and_then(|()| File::open(&self.root)?.sync_all());
        moved.map_err(|error| {
            let _unmoved = fs::remove_file(&temporary);
            io_error(&error, place)
        })
    }

    /// A blob's bytes, verified.
    pub(crate) fn get(
        &self,
        connection: &Connection,
        digest: &Digest,
        database: &Path,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        Ok(self
            .read(connection, digest, database, &mut bytes)?
            .then_some(bytes))
    }

    /// Writes a blob into a new file, verified.
    pub(crate) fn get_to_file(
        &self,
        connection: &Connection,
        digest: &Digest,
        database: &Path,
        path: &Path,
    ) -> Result<bool, StoreError> {
        let file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path);
        let mut file = file.map_err(|error| io_error(&error, path))?;
        let is_there = self.read(connection, digest, database, &mut file);
        if !matches!(is_there, Ok(true)) {
            let _incomplete = fs::remove_file(path);
        }
        is_there
    }

    /// Streams a blob, verified at its end; `false` where it is not stored.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        digest: &Digest,
        database: &Path,
        to: &mut impl Write,
    ) -> Result<bool, StoreError> {
        let row: Option<(i64, Option<Vec<u8>>)> = connection
            .prepare_cached(sql::GET_BLOB)
            .and_then(|mut get| {
                get.query_row([&digest.0[..]], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|error| sqlite(&error, database))?;
        let Some((codec, bytes)) = row else {
            return Ok(false);
        };
        let damaged = |why: &dyn std::fmt::Display| StoreError::Corrupt {
            what: format!("blob {digest}: {why}"),
        };
        let bytes = bytes.unwrap_or_default();
        match Codec::of(codec).ok_or_else(|| damaged(&"unknown form"))? {
            Codec::Raw => copy(digest, bytes.as_slice(), to),
            Codec::Zstd => {
                let decoder = zstd::Decoder::new(bytes.as_slice());
                copy(digest, decoder.map_err(|error| damaged(&error))?, to)
            }
            Codec::File => {
                let place = self.place(digest);
                let file = File::open(&place).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => damaged(&"its file is missing"),
                    _ => io_error(&error, &place),
                })?;
                let decoder = zstd::Decoder::new(file);
                copy(digest, decoder.map_err(|error| damaged(&error))?, to)
            }
        }
        .map(|()| true)
    }

    /// Removes the file of a blob without a row, unless it is about to get one.
    pub(crate) fn remove(&self, digest: &Digest) {
        let pinned = lock(&self.pinned);
        if !pinned.contains_key(digest) {
            let _already_gone = fs::remove_file(self.place(digest));
        }
    }

    /// The blobs that have files, but for those that are just being handed over.
    pub(crate) fn files(&self) -> Result<Vec<Digest>, StoreError> {
        let list = || -> io::Result<Vec<Digest>> {
            let mut found = Vec::new();
            for folder in fs::read_dir(&self.root)? {
                let folder = folder?;
                let name = folder.file_name().to_string_lossy().into_owned();
                if name.len() != 2 {
                    continue;
                }
                for file in fs::read_dir(folder.path())? {
                    let rest = file?.file_name();
                    found.extend(format!("{name}{}", rest.to_string_lossy()).parse::<Digest>());
                }
            }
            Ok(found)
        };
        let mut found = list().map_err(|error| io_error(&error, &self.root))?;
        let pinned = lock(&self.pinned);
        found.retain(|digest| !pinned.contains_key(digest));
        Ok(found)
    }

    /// The bytes that a blob's file takes.
    pub(crate) fn file_bytes(&self, digest: &Digest) -> u64 {
        fs::metadata(self.place(digest)).map_or(0, |found| found.len())
    }
}

/// Writes a compressed file and makes it durable; the digest of what was read.
fn compress_to(path: &Path, mut from: impl Read) -> io::Result<[u8; 32]> {
    let mut options = File::options();
    let file = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        encoder.write_all(&buffer[..count])?;
    }
    encoder.finish()?.sync_all()?;
    Ok(*hasher.finalize().as_bytes())
}

thread_local! {
    /// Making one costs more than most uses of it.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// The bytes, smaller; `None` where they do not get smaller.
fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        let smaller = kept.as_mut()?.compress(bytes).ok()?;
        (smaller.len() < bytes.len()).then_some(smaller)
    })
}

fn inline(digest: Digest, bytes: Vec<u8>) -> Row {
    let (codec, bytes) = match compress(&bytes) {
        Some(smaller) => (Codec::Zstd, smaller),
        None => (Codec::Raw, bytes),
    };
    Row {
        digest,
        codec,
        bytes: Some(bytes),
        _pin: None,
    }
}

fn check(digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
    if mainstay_sessions::digest(bytes) == *digest {
        return Ok(());
    }
    Err(other_bytes(digest))
}

fn other_bytes(digest: &Digest) -> StoreError {
    let what = format!("blob {digest} was handed over with other bytes");
    StoreError::Corrupt { what }
}

/// Copies a blob out while hashing it.
fn copy(digest: &Digest, mut from: impl Read, to: &mut impl Write) -> Result<(), StoreError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer);
        let count = read.map_err(|error| StoreError::Corrupt {
            what: format!("blob {digest}: {error}"),
        })?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        let written = to.write_all(&buffer[..count]);
        written.map_err(|error| io_error(&error, Path::new("the target of a blob")))?;
    }
    if hasher.finalize().as_bytes() == &digest.0 {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        what: format!("blob {digest}: its bytes are not what was stored"),
    })
}
