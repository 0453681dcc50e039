//! What was spent, kept over every end of the process.
//!
//! A line for each reservation and each settlement. A reservation is written before the call that it pays for. A
//! settlement is written together with the next reservation, or right behind the last answer where no call is
//! under way any more, and within a second in any case: until then its reservation counts. One that is dearer
//! than its reservation does not wait. A line that the process wrote survives its death; that it survives a loss
//! of power is made sure once a second. A reservation without a settlement counts as spent: nobody knows better.

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
use std::io;
use std::path::Path;

/// From this size on the file is folded, in bytes.
const FOLD_AT: u64 = 16 << 20;
/// Settlements of so many bytes wait for nothing.
const HELD_MAX: usize = 64 << 10;

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

    /// Writes a reservation down, and holds a settlement until the next or until [`flush`](Self::flush). What
    /// cannot be written is tried again with the next.
    ///
    /// # Errors
    /// What the system says. What depends on the entry must not be done then.
    pub(crate) fn write(&mut self, entry: &LedgerEntry) -> io::Result<()> {
        let is_covered = self.fold.covers(entry);
        self.fold.add(entry);
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let held = file.hold(entry);
        let may_wait = is_covered && file.held() < HELD_MAX;
        let mut written = Ok(());
        if held.is_err() || !may_wait {
            written = held.and_then(|()| file.append());
            self.note(written.as_ref().err());
        }
        if self.file.as_ref().is_some_and(|file| file.size() > FOLD_AT) {
            self.compact();
        }
        written
    }

    /// Whether something is held that no reservation will take along soon: nothing is under way any more.
    pub(crate) fn is_due(&self) -> bool {
        let held = self.file.as_ref().map_or(0, LedgerFile::held);
        held > 0 && !self.fold.has_open()
    }

    /// Writes what waits for the next entry.
    pub(crate) fn flush(&mut self) {
        let Some(file) = &mut self.file else { return };
        if file.is_gone() {
            tracing::warn!("the ledger of spending was removed; it is written anew");
            self.compact();
            return;
        }
        let written = file.append();
        self.note(written.err().as_ref());
    }

    fn note(&mut self, error: Option<&io::Error>) {
        if let Some(error) = error.filter(|_| !self.is_broken) {
            tracing::error!(%error, "spending cannot be written down: no call that costs something is made");
        }
        self.is_broken = error.is_some();
    }

    fn compact(&mut self) {
        self.fold.coarsen();
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

impl Drop for Ledger {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_contract::Usd;
    use mainstay_inference::{Spender, Tokens};
    use std::sync::Arc;

    fn reserved(call: u64) -> LedgerEntry {
        LedgerEntry::Reserved {
            call,
            at: Timestamp(0),
            spender: Spender::default(),
            deployment: Arc::from("m"),
            usd: Usd::from_nanos(100),
        }
    }

    fn settled(call: u64) -> LedgerEntry {
        settled_for(call, 30)
    }

    fn settled_for(call: u64, nanos: u64) -> LedgerEntry {
        settled_at(Timestamp(0), call, nanos)
    }

    fn settled_at(at: Timestamp, call: u64, nanos: u64) -> LedgerEntry {
        LedgerEntry::Settled {
            call,
            at,
            spender: Spender::default(),
            deployment: Arc::from("m"),
            usd: Usd::from_nanos(nanos),
            tokens: Tokens::default(),
            is_answered: true,
        }
    }

    /// What the next process counts when this one is killed now.
    fn after_a_kill(path: &Path) -> u64 {
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).unwrap();
        let ledger = Ledger::open(&copy).unwrap();
        let key = BudgetKey::Deployment(Arc::from("m"));
        let spent = ledger.spent(&key, BudgetPeriod::Total, Timestamp(0));
        spent.amount.nanos()
    }

    #[test]
    fn a_settlement_waits_for_the_next_write_and_never_makes_money_available() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spending.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.write(&reserved(1)).unwrap();
        assert_eq!(after_a_kill(&path), 100);
        assert!(!ledger.is_due());
        ledger.write(&settled(1)).unwrap();
        assert!(ledger.is_due(), "nothing is under way");
        assert_eq!(after_a_kill(&path), 100);
        ledger.flush();
        assert!(!ledger.is_due());
        assert_eq!(after_a_kill(&path), 30);
        ledger.write(&reserved(2)).unwrap();
        ledger.write(&reserved(3)).unwrap();
        ledger.write(&settled(2)).unwrap();
        assert!(!ledger.is_due());
        assert_eq!(
            after_a_kill(&path),
            230,
            "it waits, and its reservation counts"
        );
        ledger.write(&reserved(4)).unwrap();
        assert_eq!(after_a_kill(&path), 260, "it went with the reservation");
        ledger.write(&settled(3)).unwrap();
        ledger.flush();
        assert_eq!(after_a_kill(&path), 190);
        ledger.write(&settled(4)).unwrap();
        ledger.flush();
        assert_eq!(after_a_kill(&path), 120);
        ledger.write(&reserved(5)).unwrap();
        ledger.write(&reserved(6)).unwrap();
        ledger.write(&settled(5)).unwrap();
        drop(ledger);
        assert_eq!(
            after_a_kill(&path),
            250,
            "an end in good order loses nothing"
        );
    }

    #[test]
    fn a_settlement_that_is_dearer_than_its_reservation_waits_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spending.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        for call in 1..=3 {
            ledger.write(&reserved(call)).unwrap();
        }
        ledger.write(&settled_for(1, 100)).unwrap();
        assert_eq!(after_a_kill(&path), 300, "it waits, and costs no more");
        ledger.write(&settled_for(2, 101)).unwrap();
        assert_eq!(after_a_kill(&path), 301);
        ledger.write(&settled_for(9, 7)).unwrap();
        assert_eq!(after_a_kill(&path), 308, "nothing was reserved for it");
    }

    #[test]
    fn a_ledger_that_somebody_removes_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spending.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.write(&reserved(1)).unwrap();
        std::fs::remove_file(&path).unwrap();
        ledger.write(&settled(1)).unwrap();
        ledger.flush();
        assert_eq!(after_a_kill(&path), 30);
        ledger.write(&reserved(2)).unwrap();
        assert_eq!(after_a_kill(&path), 130);
    }

    #[test]
    fn days_that_are_over_are_kept_as_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spending.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        let hours = 24 * 40 + 5;
        for hour in 0..hours {
            let entry = settled_at(Timestamp(hour * 3_600_000), hour, 30);
            ledger.write(&entry).unwrap();
        }
        let now = Timestamp((hours - 1) * 3_600_000);
        let key = BudgetKey::Deployment(Arc::from("m"));
        let sums = |ledger: &Ledger| {
            [
                BudgetPeriod::Hour,
                BudgetPeriod::Day,
                BudgetPeriod::Month,
                BudgetPeriod::Total,
            ]
            .map(|period| ledger.spent(&key, period, now).amount.nanos())
        };
        let before = (sums(&ledger), ledger.usage());
        drop(ledger);
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!((sums(&ledger), ledger.usage()), before);
        assert!(std::fs::metadata(&path).unwrap().len() < 45 * 300);
    }

    #[test]
    fn sessions_are_known_for_ninety_days_after_their_last_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spending.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        let spend = |ledger: &mut Ledger, day: u64, session: &str| {
            let mut entry = settled_at(Timestamp(day * 24 * 3_600_000), day, 30);
            if let LedgerEntry::Settled { spender, .. } = &mut entry {
                spender.sessions = vec![Arc::from(session)];
            }
            ledger.write(&entry).unwrap();
        };
        let spent = |ledger: &Ledger| {
            ["at rest", "at work"].map(|session| {
                let key = BudgetKey::Session(Arc::from(session));
                let spent = ledger.spent(&key, BudgetPeriod::Total, Timestamp(0));
                spent.amount.nanos()
            })
        };
        spend(&mut ledger, 0, "at rest");
        spend(&mut ledger, 0, "at work");
        spend(&mut ledger, 89, "at work");
        drop(ledger);
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(spent(&ledger), [30, 60]);
        spend(&mut ledger, 90, "at work");
        drop(ledger);
        assert_eq!(spent(&Ledger::open(&path).unwrap()), [0, 90]);
        // Older ledgers have sums without a time.
        let text = std::fs::read_to_string(&path).unwrap();
        let sum = text.split("\"at work\":").nth(1).unwrap();
        let sum = &sum[..=sum.find('}').unwrap()];
        let older = text.replace(sum, "\"0.00000009\"");
        std::fs::write(&path, older).unwrap();
        assert_eq!(spent(&Ledger::open(&path).unwrap()), [0, 90]);
    }

    #[test]
    fn sums_that_were_cut_are_told_and_a_cut_entry_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spending.jsonl");
        Ledger::open(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"kind\":\"res"].concat()).unwrap();
        assert!(Ledger::open(&path).is_ok());
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let refused = Ledger::open(&path).unwrap_err();
        assert!(
            matches!(refused, LedgerError::Damaged { line: 1, .. }),
            "{refused}"
        );
    }
}
