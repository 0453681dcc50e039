//! What a worker was told and has not done yet.

use crate::protocol::{Order, RequestId};
use crate::request::GenerateRequest;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What to work on.
#[derive(Debug, PartialEq)]
pub(super) enum Job {
    Generate(Box<GenerateRequest>),
    Embed(Vec<String>),
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Work(RequestId, Job),
    /// A request that nobody wants any more was never begun.
    Cancelled(RequestId),
    Heartbeat(u64),
    Shutdown,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<(RequestId, Job)>,
    cancelled: Vec<RequestId>,
    heartbeat: Option<u64>,
    is_shutdown: bool,
    present: Option<RequestId>,
}

#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Inbox {
    pub(super) fn put(&self, order: Order) {
        let mut waiting = self.lock();
        match order {
            Order::Generate { id, request } => {
                waiting.jobs.push_back((id, Job::Generate(request)));
            }
            Order::Embed { id, inputs } => waiting.jobs.push_back((id, Job::Embed(inputs))),
            Order::Cancel { id } => {
                let is_known =
                    waiting.present == Some(id) || waiting.jobs.iter().any(|(job, _)| *job == id);
                // One that is done already has told its end.
                if is_known {
                    waiting.cancelled.push(id);
                }
            }
            Order::Heartbeat { sequence } => waiting.heartbeat = Some(sequence),
            Order::Shutdown => waiting.is_shutdown = true,
            // A second model is never asked for by our own node.
            Order::Load(_) => {}
        }
        self.arrived.notify_all();
    }

    /// Waits for the next thing to do.
    pub(super) fn next(&self) -> Next {
        let mut waiting = self.lock();
        loop {
            waiting.present = None;
            if let Some(sequence) = waiting.heartbeat.take() {
                return Next::Heartbeat(sequence);
            }
            let unwanted = waiting
                .jobs
                .iter()
                .position(|(id, _)| waiting.cancelled.contains(id));
            if let Some((id, _)) = unwanted.and_then(|index| waiting.jobs.remove(index)) {
                waiting.cancelled.retain(|other| *other != id);
                return Next::Cancelled(id);
            }
            waiting.cancelled.clear();
            if waiting.is_shutdown {
                return Next::Shutdown;
            }
            if let Some((id, job)) = waiting.jobs.pop_front() {
                waiting.present = Some(id);
                return Next::Work(id, job);
            }
            waiting = self
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The heartbeat that is waited for.
    pub(super) fn heartbeat(&self) -> Option<u64> {
        self.lock().heartbeat.take()
    }

    /// Whether nobody wants the present request any more.
    pub(super) fn is_cancelled(&self, id: RequestId) -> bool {
        self.lock().cancelled.contains(&id)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(id: RequestId) -> Order {
        let inputs = vec![id.to_string()];
        Order::Embed { id, inputs }
    }

    #[test]
    fn requests_keep_their_order_and_unwanted_ones_are_never_begun() {
        let inbox = Inbox::default();
        for id in [1, 2, 3] {
            inbox.put(embed(id));
        }
        inbox.put(Order::Cancel { id: 2 });
        inbox.put(Order::Heartbeat { sequence: 9 });
        assert_eq!(inbox.next(), Next::Heartbeat(9));
        assert_eq!(inbox.next(), Next::Cancelled(2));
        assert!(matches!(inbox.next(), Next::Work(1, _)));
        assert!(!inbox.is_cancelled(1));
        inbox.put(Order::Cancel { id: 1 });
        assert!(inbox.is_cancelled(1));
        assert!(matches!(inbox.next(), Next::Work(3, _)));
        inbox.put(Order::Cancel { id: 1 });
        inbox.put(Order::Shutdown);
        assert_eq!(inbox.next(), Next::Shutdown);
    }
}
