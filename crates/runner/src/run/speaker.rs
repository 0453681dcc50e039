//! Who speaks: one task at a time, so that the outputs of tasks that run together do not mix. The first
//! that says something has the floor until it is over, live; what others say meanwhile is kept and follows
//! in one piece.

use super::record::{Event, Listener, TaskRecord};
use crate::store::{BlobError, Contents, Spool};
use mainstay_tasks::{Content, Stream, TaskId};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a task said on one stream.
#[derive(Debug)]
pub(super) enum Said<'s> {
    /// It is not in the cache, or not yet.
    Spool(Box<Spool<'s>>),
    /// It is.
    Kept(Content, Contents<'s>),
    /// Nothing.
    Nothing,
}

/// What a task said, and how much of it was passed on already.
#[derive(Debug)]
pub(super) struct Speech<'s> {
    pub(super) stdout: Said<'s>,
    pub(super) stderr: Said<'s>,
    pub(super) passed: [u64; 2],
    pub(super) is_replay: bool,
}

/// Gives the floor.
pub(super) struct Speaker<'r, 's> {
    listener: &'r dyn Listener,
    /// Whether everybody may speak at once, because the listener keeps them apart.
    is_open: bool,
    inner: Mutex<Inner<'s>>,
}

#[derive(Default)]
struct Inner<'s> {
    speaking: Option<u32>,
    waiting: VecDeque<(TaskRecord, Speech<'s>)>,
}

impl<'r, 's> Speaker<'r, 's> {
    pub(super) fn new(listener: &'r dyn Listener, is_open: bool) -> Self {
        Self {
            listener,
            is_open,
            inner: Mutex::default(),
        }
    }

    /// Tells what is no output.
    pub(super) fn tell(&self, event: &Event<'_>) {
        self.listener.on(event);
    }

    /// Whether a task may speak now.
    pub(super) fn has_floor(&self, task: u32) -> bool {
        let mut inner = self.inner();
        self.is_open || *inner.speaking.get_or_insert(task) == task
    }

    /// Passes on what a task says now, live.
    pub(super) fn say(&self, task: &TaskId, stream: Stream, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.listener.on(&Event::Output {
                task,
                stream,
                bytes,
                is_replay: false,
            });
        }
    }

    /// A task is over: the rest of its output follows now, or when the floor is free.
    pub(super) fn finish(&self, number: u32, record: TaskRecord, speech: Speech<'s>) {
        let mut inner = self.inner();
        let is_mute = speech.is_mute();
        let is_free = self.is_open || is_mute || inner.speaking.is_none_or(|own| own == number);
        if !is_free {
            inner.waiting.push_back((record, speech));
            return;
        }
        self.deliver(&record, speech);
        if inner.speaking == Some(number) {
            inner.speaking = None;
            for (record, speech) in std::mem::take(&mut inner.waiting) {
                self.deliver(&record, speech);
            }
        }
    }

    fn deliver(&self, record: &TaskRecord, speech: Speech<'s>) {
        let [passed_out, passed_err] = speech.passed;
        let sides = [
            (Stream::Stdout, speech.stdout, passed_out),
            (Stream::Stderr, speech.stderr, passed_err),
        ];
        for (stream, said, passed) in sides {
            let mut seen = 0;
            let mut take = |bytes: &[u8]| {
                let skip = usize::try_from(passed.saturating_sub(seen)).unwrap_or(usize::MAX);
                seen += bytes.len() as u64;
                let rest = bytes.get(skip..).unwrap_or_default();
                if !rest.is_empty() {
                    self.listener.on(&Event::Output {
                        task: &record.task,
                        stream,
                        bytes: rest,
                        is_replay: speech.is_replay,
                    });
                }
                Ok(())
            };
            let delivered = match said {
                Said::Spool(mut spool) => spool.replay(0, &mut take).map_err(BlobError::Cache),
                Said::Kept(content, contents) if content.bytes > passed => {
                    contents.read_pieces(&content, &mut take)
                }
                Said::Kept(..) | Said::Nothing => Ok(()),
            };
            if let Err(error) = delivered {
                tracing::error!(task = %record.task, %error, "part of the output was lost");
            }
        }
        self.listener.on(&Event::Ended(record));
    }

    fn inner(&self) -> MutexGuard<'_, Inner<'s>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'s> Speech<'s> {
    /// Of a task that said nothing.
    pub(super) fn none() -> Self {
        Self {
            stdout: Said::Nothing,
            stderr: Said::Nothing,
            passed: [0, 0],
            is_replay: true,
        }
    }

    /// From the cache.
    pub(super) fn kept(stdout: Content, stderr: Content, contents: &Contents<'s>) -> Self {
        Self {
            stdout: Said::Kept(stdout, contents.clone()),
            stderr: Said::Kept(stderr, contents.clone()),
            passed: [0, 0],
            is_replay: true,
        }
    }

    fn is_mute(&self) -> bool {
        let bytes = |said: &Said<'_>| match said {
            Said::Spool(spool) => spool.len(),
            Said::Kept(content, _) => content.bytes,
            Said::Nothing => 0,
        };
        bytes(&self.stdout) == self.passed[0] && bytes(&self.stderr) == self.passed[1]
    }
}
