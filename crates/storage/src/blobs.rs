//! Content by its blake3 digest. Small blobs are rows of the same transaction as the records that name
//! them; large ones are files. Whatever is read is verified.

use crate::error::{io_error, sqlite};
use crate::sql;
use mainstay_contract::Digest;
use mainstay_sessions::{Blob, BlobContent, StoreError};
use rusqlite::{Connection, OptionalExtension};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
}

/// The folder of large blobs.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    root: PathBuf,
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
        Ok(Self { root })
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
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
                let file = File::open(&path).map_err(|error| io_error(&error, &path))?;
                self.write(digest, file)
            }
        }
    }

    fn write(&self, digest: Digest, from: impl Read) -> Result<Row, StoreError> {
        let place = self.place(&digest);
        if !place.exists() {
            self.write_new(&digest, from, &place)?;
        }
        Ok(Row {
            digest,
            codec: Codec::File,
            bytes: None,
        })
    }

    fn write_new(
        &self,
        digest: &Digest,
        mut from: impl Read,
        place: &Path,
    ) -> Result<(), StoreError> {
        let temporary = self.root.join("incoming").join(digest.to_string());
        let folder = place.parent().unwrap_or(&self.root);
        let written = (|| {
            let mut options = File::options();
            let file = options.create(true).truncate(true).write(true).mode(0o600);
            let file = file.open(&temporary)?;
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
            io::Result::Ok(*hasher.finalize().as_bytes())
        })();
        let found = written.map_err(|error| {
            let _partial = fs::remove_file(&temporary);
            io_error(&error, &temporary)
        })?;
        if found != digest.0 {
            let _wrong = fs::remove_file(&temporary);
            let what = format!("blob {digest} was handed over with other bytes");
            return Err(StoreError::Corrupt { what });
        }
        let moved = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| fs::rename(&temporary, place))
            .and_then(|()| File::open(folder)?.sync_all())
            .and_then(|()| File::open(&self.root)?.sync_all());
        moved.map_err(|error| io_error(&error, place))
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

    fn read(
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

    /// Removes the file of a blob that nothing names any more.
    pub(crate) fn remove(&self, digest: &Digest) {
        let _already_gone = fs::remove_file(self.place(digest));
    }
}

fn inline(digest: Digest, bytes: Vec<u8>) -> Row {
    if bytes.len() >= COMPRESS_BYTES_MIN
        && let Ok(smaller) = zstd::bulk::compress(&bytes, LEVEL)
        && smaller.len() < bytes.len()
    {
        return Row {
            digest,
            codec: Codec::Zstd,
            bytes: Some(smaller),
        };
    }
    Row {
        digest,
        codec: Codec::Raw,
        bytes: Some(bytes),
    }
}

fn check(digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
    if mainstay_sessions::digest(bytes) == *digest {
        return Ok(());
    }
    let what = format!("blob {digest} was handed over with other bytes");
    Err(StoreError::Corrupt { what })
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
