//! The file of the ledger: JSON lines, the first of which may be the fold of all before.

use super::fold::{Fold, Folded};
use mainstay_contract::{Code, Coded, ErrorReport};
use mainstay_inference::LedgerEntry;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read or written.
    #[error("the ledger of spending {} cannot be used: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line that is not the last cannot be read.
    #[error("line {line} of the ledger of spending {} cannot be read: {error}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

impl Coded for LedgerError {
    fn code(&self) -> Code {
        match self {
            Self::Io { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::StoreDiskFull,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Code::StoreReadOnly
                }
                _ => Code::StoreIoFailed,
            },
            Self::Damaged { .. } => Code::StoreCorrupt,
        }
    }

    fn report(&self) -> ErrorReport {
        let report = ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::Io { .. } => report,
            Self::Damaged { .. } => report.hint(
                "mend the line, or move the file away: what was spent before is then forgotten",
            ),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Folded { folded: Folded },
    Entry(LedgerEntry),
}

/// How the line with the sums begins.
const FOLDED: &[u8] = b"{\"folded\"";

#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    file: File,
    size: u64,
    /// Lines that are not written yet.
    held: Vec<u8>,
}

impl LedgerFile {
    pub(super) fn open(path: &Path) -> Result<(Self, Fold), LedgerError> {
        let failed = |error| LedgerError::Io {
            path: path.to_owned(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed)?;
        let mut fold = Fold::default();
        let mut reader = BufReader::new(&file);
        let (mut text, mut number, mut whole) = (Vec::new(), 0, 0u64);
        loop {
            text.clear();
            let read = reader.read_until(b'\n', &mut text).map_err(failed)?;
            // Without its end a line was being written when the process died.
            if read == 0 || text.last() != Some(&b'\n') {
                // The sums are written beside the file and moved there whole: a part of them was cut by somebody.
                if text.starts_with(FOLDED) {
                    let error = serde_json::from_slice::<Line>(&text).err();
                    return Err(LedgerError::Damaged {
                        path: path.to_owned(),
                        line: number + 1,
                        error: error.unwrap_or_else(|| serde::de::Error::custom("it has no end")),
                    });
                }
                if read > 0 {
                    let path = path.display();
                    tracing::warn!(%path, bytes = read, "the ledger of spending ended within a line, which is dropped");
                }
                break;
            }
            number += 1;
            let line = serde_json::from_slice(&text).map_err(|error| LedgerError::Damaged {
                path: path.to_owned(),
                line: number,
                error,
            })?;
            match line {
                Line::Folded { folded } => fold = Fold::from(folded),
                Line::Entry(entry) => fold.add(&entry),
            }
            whole += read as u64;
        }
        drop(reader);
        file.set_len(whole).map_err(failed)?;
        let ledger = Self {
            path: path.to_owned(),
            file,
            size: whole,
            held: Vec::new(),
        };
        Ok((ledger, fold))
    }

    /// Puts an entry behind those that are held.
    pub(super) fn hold(&mut self, entry: &LedgerEntry) -> io::Result<()> {
        let before = self.held.len();
        let written = serde_json::to_writer(&mut self.held, entry);
        if let Err(error) = written {
            self.held.truncate(before);
            return Err(error.into());
        }
        self.held.push(b'\n');
        Ok(())
    }

    /// Appends what is held by one write, so that it is whole or was never there.
    pub(super) fn append(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        match self.file.write(&self.held) {
            Ok(written) if written == self.held.len() => {
                self.held.clear();
                self.size += written as u64;
                Ok(())
            }
            // What could not be written stays, for the next try.
            Ok(_) => {
                self.file.set_len(self.size)?;
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) const fn held(&self) -> usize {
        self.held.len()
    }

    /// Writes the fold in place of everything, beside the file first.
    pub(super) fn replace(&mut self, fold: &Fold) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        let folded = fold.folded();
        serde_json::to_writer(&mut file, &Line::Folded { folded })?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        if let Some(folder) = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.size = self.file.metadata()?.len();
        // It is part of the fold.
        self.held.clear();
        Ok(())
    }

    /// Whether somebody removed it: then what is written goes nowhere.
    pub(super) fn is_gone(&self) -> bool {
        let found = self.file.metadata();
        found.is_ok_and(|found| std::os::unix::fs::MetadataExt::nlink(&found) == 0)
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn handle(&self) -> Option<File> {
        self.file.try_clone().ok()
    }
}
