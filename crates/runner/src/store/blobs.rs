//! Content under its digest.

use super::{Parcel, Store, settle};
use crate::disk::temporary;
use mainstay_contract::Digest;
use mainstay_tasks::Content;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens, ioctl_ficlone};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// What is read and written at once.
const PIECE: usize = 256 << 10;
/// A blob stays as it is: whoever gets a link to it cannot write into it by accident.
const MODE: u32 = 0o444;

/// Why a blob cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// It is not there.
    #[error("lost")]
    Lost,
    /// It is not what its name says.
    #[error("damaged")]
    Damaged,
    /// The cache could not be read.
    #[error("the cache cannot be read: {0}")]
    Cache(#[source] io::Error),
    /// The place that it was wanted at could not be written.
    #[error("{0}")]
    Target(#[source] io::Error),
}

impl Store {
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.place("blobs", &digest.to_string())
    }

    /// Adds bytes, to the parcel or as a blob. Call it under [`Store::adding`].
    pub(crate) fn put(&self, bytes: Vec<u8>, parcel: &Parcel) -> io::Result<Content> {
        let content = Content {
            digest: Digest(*blake3::hash(&bytes).as_bytes()),
            bytes: bytes.len() as u64,
        };
        let Some(bytes) = parcel.take(content.digest, bytes) else {
            return Ok(content);
        };
        let path = self.blob(&content.digest);
        if self.is_kept(&path, content.bytes) {
            return Ok(content);
        }
        let mut file = self.temporary()?;
        file.write_all(&bytes)?;
        file.keep(&path)?;
        Ok(content)
    }

    /// Adds what a file holds, in one reading; where it has holes, so has the blob.
    pub(crate) fn put_file(
        &self,
        from: &mut File,
        is_sparse: bool,
        parcel: &Parcel,
    ) -> io::Result<Content> {
        let length = from.metadata()?.len();
        if length <= PIECE as u64 {
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
            from.read_to_end(&mut bytes)?;
            return self.put(bytes, parcel);
        }
        let mut file = self.temporary()?;
        let content = if !is_sparse && self.clone_file(from, &file.file) {
            hashed(&mut file.file)?
        } else {
            copy(from, &mut file.file, is_sparse).map_err(io_error)?
        };
        let path = self.blob(&content.digest);
        if !self.is_kept(&path, content.bytes) {
            file.keep(&path)?;
        }
        Ok(content)
    }

    /// A place for bytes that come little by little.
    pub(crate) fn spool(&self) -> Spool<'_> {
        Spool {
            store: self,
            start: Vec::new(),
            file: None,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        }
    }

    /// Whether a blob seems to be there; its bytes are not looked at.
    pub(crate) fn has(&self, content: &Content) -> bool {
        content.bytes == 0
            || fs::metadata(self.blob(&content.digest))
                .is_ok_and(|found| found.len() == content.bytes)
    }

    /// Writes a blob into an empty file, and makes sure that it was the right one. Where it was not,
    /// it is thrown away.
    pub(crate) fn write_to(&self, content: &Content, to: &mut File) -> Result<(), BlobError> {
        if content.bytes == 0 {
            return Ok(());
        }
        let mut from = self.open_blob(content)?;
        let cloned = content.bytes > PIECE as u64 && self.clone_file(&from, to);
        let found = if cloned {
            hashed(&mut from).map_err(BlobError::Cache)?
        } else {
            let is_sparse = from
                .metadata()
                .is_ok_and(|found| found.blocks() * 512 < content.bytes);
            copy(&mut from, to, is_sparse)?
        };
        self.judge(content, &found)
    }

    /// Hands a blob over piece by piece. Whether it was the right one shows at the end.
    pub(crate) fn read_pieces(
        &self,
        content: &Content,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), BlobError> {
        if content.bytes == 0 {
            return Ok(());
        }
        let mut from = self.open_blob(content)?;
        let found = read_through(&mut from, &mut |piece| take(piece))?;
        self.judge(content, &found)
    }

    /// Makes a hard link to a blob, whose bytes are checked first.
    pub(crate) fn link_to(&self, content: &Content, to: &Path) -> Result<(), BlobError> {
        let mut from = self.open_blob(content)?;
        let found = hashed(&mut from).map_err(BlobError::Cache)?;
        self.judge(content, &found)?;
        fs::hard_link(self.blob(&content.digest), to).map_err(BlobError::Target)
    }

    /// Throws a blob away.
    pub(crate) fn discard(&self, content: &Content) {
        let _gone = fs::remove_file(self.blob(&content.digest));
    }

    fn judge(&self, wanted: &Content, found: &Content) -> Result<(), BlobError> {
        if wanted == found {
            return Ok(());
        }
        self.discard(wanted);
        Err(BlobError::Damaged)
    }

    fn open_blob(&self, content: &Content) -> Result<File, BlobError> {
        match File::open(self.blob(&content.digest)) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Lost),
            Err(error) => Err(BlobError::Cache(error)),
        }
    }

    /// Whether a blob is there already, and will stay: its use is noted, so that the collection, which
    /// looks at it under the lock, passes it over.
    fn is_kept(&self, path: &Path, bytes: u64) -> bool {
        let Ok(file) = File::open(path) else {
            return false;
        };
        file.metadata().is_ok_and(|found| found.len() == bytes) && mark_used(&file).is_ok()
    }

    fn clone_file(&self, from: &File, to: &File) -> bool {
        if !self.can_clone.load(Ordering::Relaxed) {
            return false;
        }
        let is_cloned = ioctl_ficlone(to, from).is_ok();
        if !is_cloned {
            self.can_clone.store(false, Ordering::Relaxed);
        }
        is_cloned
    }

    fn temporary(&self) -> io::Result<Temporary> {
        Temporary::new(&self.folder.join("tmp"))
    }
}

impl Temporary {
    fn new(folder: &Path) -> io::Result<Self> {
        let path = temporary(folder);
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Temporary {
            file,
            path,
            is_kept: false,
        })
    }
}

/// Notes that a blob was used now, by its access time: the modification time belongs to whoever has
/// a hard link to it.
fn mark_used(file: &File) -> io::Result<()> {
    let at = |nanos| Timespec {
        tv_sec: 0,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: at(UTIME_NOW),
        last_modification: at(UTIME_OMIT),
    };
    Ok(futimens(file, &times)?)
}

/// A file that goes away unless it is kept.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
    is_kept: bool,
}

impl Temporary {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn keep(mut self, path: &Path) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(MODE))?;
        mark_used(&self.file)?;
        settle(&self.path, path)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Bytes that come little by little: few stay in memory, many go to a file.
#[derive(Debug)]
pub(crate) struct Spool<'s> {
    store: &'s Store,
    start: Vec<u8>,
    file: Option<Temporary>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Spool<'_> {
    /// Takes more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        if self.file.is_none() && self.start.len() + bytes.len() <= PIECE {
            self.start.extend(bytes);
            return Ok(());
        }
        if self.file.is_none() {
            // What a command says is heard even where the cache is broken.
            let elsewhere = |_| Temporary::new(&std::env::temp_dir());
            let mut file = self.store.temporary().or_else(elsewhere)?;
            file.write_all(&self.start)?;
            self.start = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Adds what came, to the parcel or as a blob. Call it under [`Store::adding`].
    pub(crate) fn keep(self, parcel: &Parcel) -> io::Result<Content> {
        match self.file {
            None => self.store.put(self.start, parcel),
            Some(_) => self.keep_blob(),
        }
    }

    /// Adds what came as a blob, where it is this. Call it under [`Store::adding`].
    pub(crate) fn keep_as(self, content: &Content) -> io::Result<bool> {
        if self.content() != *content {
            return Ok(false);
        }
        self.keep_blob().map(|_| true)
    }

    fn keep_blob(self) -> io::Result<Content> {
        let content = self.content();
        let path = self.store.blob(&content.digest);
        if self.store.is_kept(&path, content.bytes) {
            return Ok(content);
        }
        let file = match self.file {
            Some(file) => file,
            None => {
                let mut file = self.store.temporary()?;
                file.write_all(&self.start)?;
                file
            }
        };
        file.keep(&path)?;
        Ok(content)
    }

    /// What came so far.
    fn content(&self) -> Content {
        Content {
            digest: Digest(*self.hasher.finalize().as_bytes()),
            bytes: self.bytes,
        }
    }

    /// Hands over what came so far, from a certain byte on.
    pub(crate) fn replay(
        &mut self,
        from: u64,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            return take(self.start.get(from..).unwrap_or_default());
        };
        file.file.seek(SeekFrom::Start(from))?;
        let mut buffer = vec![0; PIECE];
        loop {
            match file.file.read(&mut buffer)? {
                0 => return Ok(()),
                count => take(&buffer[..count])?,
            }
        }
    }

    /// How many bytes came.
    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }
}

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file to its end, hands it over piece by piece, and says what it was.
fn read_through(
    from: &mut File,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Content, BlobError> {
    let mut hasher = blake3::Hasher::new();
    let length = from.metadata().map_err(BlobError::Cache)?.len();
    let mut buffer = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE) + 1)];
    let mut bytes = 0;
    loop {
        let count = from.read(&mut buffer).map_err(BlobError::Cache)?;
        if count == 0 {
            let digest = Digest(*hasher.finalize().as_bytes());
            return Ok(Content { digest, bytes });
        }
        bytes += count as u64;
        hasher.update(&buffer[..count]);
        take(&buffer[..count]).map_err(BlobError::Target)?;
    }
}

fn hashed(file: &mut File) -> io::Result<Content> {
    file.seek(SeekFrom::Start(0))?;
    read_through(file, &mut |_| Ok(())).map_err(io_error)
}

fn io_error(error: BlobError) -> io::Error {
    match error {
        BlobError::Cache(error) | BlobError::Target(error) => error,
        BlobError::Lost | BlobError::Damaged => io::ErrorKind::InvalidData.into(),
    }
}

/// Copies a file and hashes it on the way; `is_sparse`: runs of zeros become holes.
fn copy(from: &mut File, to: &mut File, is_sparse: bool) -> Result<Content, BlobError> {
    let mut is_hole = false;
    let content = read_through(from, &mut |piece| {
        is_hole = is_sparse && piece.iter().all(|&byte| byte == 0);
        if is_hole {
            let ahead = i64::try_from(piece.len()).unwrap_or(0);
            to.seek(SeekFrom::Current(ahead)).map(drop)
        } else {
            to.write_all(piece)
        }
    })?;
    if is_hole {
        to.set_len(content.bytes).map_err(BlobError::Target)?;
    }
    Ok(content)
}
