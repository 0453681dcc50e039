//! What the gate says to one flight, in order. Most flights get two letters, so there is no channel with blocks
//! behind it: ten thousand streams that wait hold ten thousand of these.

use futures_util::task::AtomicWaker;
use mainstay_inference::{AttemptId, Ending};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// What a flow is told.
#[derive(Debug)]
pub(crate) enum Directive {
    Call {
        attempt: AttemptId,
        deployment: Arc<str>,
        failures: u32,
        warnings: Vec<String>,
    },
    Cancel(AttemptId),
    Finish(Ending),
}

#[derive(Debug, Default)]
struct Mailbox {
    letters: Mutex<Letters>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Letters {
    unread: VecDeque<Directive>,
    is_closed: bool,
}

/// The gate's end. Dropping it closes the box.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Mailbox>);

/// The flight's end.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Mailbox>);

/// A box for one flight.
pub(crate) fn mail() -> (Sender, Receiver) {
    let mail = Arc::new(Mailbox::default());
    (Sender(Arc::clone(&mail)), Receiver(mail))
}

impl Mailbox {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    pub(crate) fn send(&self, directive: Directive) {
        self.0.letters().unread.push_back(directive);
        self.0.reader.wake();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.letters().is_closed = true;
        self.0.reader.wake();
    }
}

impl Receiver {
    /// The next letter; nothing once the gate has closed the box and all are read.
    pub(crate) async fn recv(&mut self) -> Option<Directive> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Directive>> {
        if let Poll::Ready(read) = self.read() {
            return Poll::Ready(read);
        }
        self.0.reader.register(context.waker());
        // A letter may have come before the waker was in place.
        self.read()
    }

    fn read(&self) -> Poll<Option<Directive>> {
        let mut letters = self.0.letters();
        match letters.unread.pop_front() {
            None if !letters.is_closed => Poll::Pending,
            read => Poll::Ready(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_inference::GateConfig;

    #[tokio::test]
    async fn letters_come_in_order_and_end_with_the_sender() {
        let mut gate =
            mainstay_inference::Gate::new(mainstay_contract::Timestamp(0), GateConfig::default());
        let flight = gate.next_id();
        let cancel = |number| Directive::Cancel(mainstay_inference::AttemptId { flight, number });
        let (sender, mut receiver) = mail();
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(Directive::Cancel(attempt)) = receiver.recv().await {
                read.push(attempt.number);
            }
            read
        });
        for number in 0..100 {
            sender.send(cancel(number));
            tokio::task::yield_now().await;
        }
        drop(sender);
        let read = reading.await.unwrap();
        assert_eq!(read, (0..100).collect::<Vec<u32>>());
    }
}
