//! An end for work that cannot be stopped from within.

use crate::error::LocalError;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A thread that waits beside the work, and acts where a piece of it takes too long.
pub(super) struct Watch {
    /// When the present piece is overdue; nothing where none is worked on.
    due: mpsc::Sender<Option<Instant>>,
}

impl Watch {
    /// Starts to watch. What is done about overdue work is done on another thread, while the work goes on.
    ///
    /// # Errors
    /// [`LocalError::Internal`] where no thread can be started.
    pub(super) fn start(when_overdue: Box<dyn FnOnce() + Send>) -> Result<Self, LocalError> {
        let (due, dues) = mpsc::channel();
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let started = thread.spawn(move || {
            if is_ever_overdue(&dues) {
                when_overdue();
            }
        });
        started.map_err(LocalError::internal)?;
        Ok(Self { due })
    }

    /// Works, for so long at most.
    pub(super) fn within<T>(&self, limit: Duration, work: impl FnOnce() -> T) -> T {
        // A watch that ended has acted.
        let _acted = self.due.send(Instant::now().checked_add(limit));
        let done = work();
        let _acted = self.due.send(None);
        done
    }
}

/// Waits until a piece of work is overdue, or all of it is done.
fn is_ever_overdue(dues: &mpsc::Receiver<Option<Instant>>) -> bool {
    let mut due = None;
    loop {
        let next = match due {
            None => dues.recv().map_err(mpsc::RecvTimeoutError::from),
            Some(due) => {
                dues.recv_timeout(Instant::saturating_duration_since(&due, Instant::now()))
            }
        };
        match next {
            Ok(next) => due = next,
            Err(mpsc::RecvTimeoutError::Timeout) => return true,
            Err(mpsc::RecvTimeoutError::Disconnected) => return false,
        }
    }
}
