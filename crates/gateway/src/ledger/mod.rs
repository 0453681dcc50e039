//! What was spent, kept over every end of the process.
//!
//! A line for each reservation and each settlement, written before what follows from it. A line that the
//! process wrote survives its death; that it survives a loss of power is made sure once a second. A
//! reservation without a settlement counts as spent: nobody knows better.

mod file;
mod fold;

pub use file::LedgerError;
pub use fold::UsageRow;

use file::LedgerFile;
use fold::Fold;
use mainstay_contract::Timestamp;
use mainstay_inference::{BudgetKey, LedgerEntry};
use mainstay_resilience::{BudgetPeriod, Spent};
use std::fs::File;
use std::path::Path;

/// From this size on the file is folded, in bytes.
const FOLD_AT: u64 = 16 << 20;

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    file: Option<LedgerFile>,
    fold: Fold,
    is_broken: bool,
}

impl Ledger {
    /// A ledger that is forgotten with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            file: None,
            fold: Fold::default(),
            is_broken: false,
        }
    }

    /// Opens the ledger, or makes an empty one. A line that a crash left unfinished is dropped.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let (file, fold) = LedgerFile::open(path)?;
        let mut ledger = Self {
            file: Some(file),
            fold,
            is_broken: false,
        };
        ledger.fold.close_open();
        ledger.compact();
        Ok(ledger)
    }

    /// Writes an entry down.
    pub(crate) fn write(&mut self, entry: &LedgerEntry) {
        self.fold.add(entry);
        let Some(file) = &mut self.file else { return };
        match file.append(entry) {
            Ok(()) => self.is_broken = false,
            Err(error) if !self.is_broken => {
                self.is_broken = true;
                tracing::error!(%error, "spending could not be written down: a crash would forget it");
            }
            Err(_) => {}
        }
        if self.file.as_ref().is_some_and(|file| file.size() > FOLD_AT) {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.replace(&self.fold) {
            tracing::error!(%error, "the ledger of spending could not be folded; it goes on growing");
        }
    }

    /// The number of the last call.
    pub(crate) fn last_call(&self) -> u64 {
        self.fold.last_call()
    }

    /// What a budget has spent in the window around `now`.
    pub(crate) fn spent(&self, key: &BudgetKey, period: BudgetPeriod, now: Timestamp) -> Spent {
        self.fold.spent(key, period, now)
    }

    /// What was used, by day, key, agent and deployment.
    #[must_use]
    pub fn usage(&self) -> Vec<UsageRow> {
        self.fold.usage()
    }

    /// The file, to be made safe outside of any lock.
    pub(crate) fn handle(&self) -> Option<File> {
        self.file.as_ref().and_then(LedgerFile::handle)
    }
}
