//! How many jobs run at once where commands run jobs of their own, or make started us: each command holds a
//! token for itself, and the jobs of a command take theirs from a lane of its own.
//!
//! A lane is a jobserver that holds no more tokens than its command may use. A thread keeps one in it that is
//! not used, as long as the command has not got all that it may have and nobody waits, and takes back what lies
//! there unused. So a command gets no more than its share, which one pipe for all could not see to; and
//! whatever becomes of it, what it was lent is known and comes back.

use super::jobserver::{Jobserver, Place, give, own, parse, pipe, place, take};
use super::stop::Stop;
use jobserver::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, ioctl_fionread};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait before looking again.
const TICK: Duration = Duration::from_millis(10);

/// The tokens of a run.
#[derive(Debug)]
pub(crate) struct Tokens<'r> {
    source: Source<'r>,
    inner: Mutex<Inner>,
    freed: Condvar,
}

/// Where tokens come from.
#[derive(Debug)]
enum Source<'r> {
    /// Nobody counts: the schedule alone says how many commands run at once.
    Nowhere,
    /// There are as many as jobs.
    Own,
    /// All but one come from make.
    Make(&'r Jobserver),
}

#[derive(Debug)]
struct Inner {
    /// Of our own.
    free: u32,
    /// How many commands wait.
    waiting: u32,
    lanes: HashMap<u32, Share>,
}

/// What a lane was lent.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    lent: u32,
    /// Whether nothing of it is left, and it may have more.
    is_hungry: bool,
}

/// A token that somebody holds.
#[derive(Debug)]
enum Token {
    Own,
    Make(u8),
    /// Make does not answer any more, so nobody counts.
    Unasked,
}

/// The tokens that a command holds; given back where this goes out of scope.
#[derive(Debug)]
pub(crate) struct Held<'t> {
    tokens: &'t Tokens<'t>,
    held: Vec<Token>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.held
            .drain(..)
            .for_each(|token| self.tokens.give(token));
    }
}

impl<'r> Tokens<'r> {
    /// `jobs`: how many there are; `is_shared`: whether commands take some of them for jobs of their own.
    pub(crate) fn new(jobs: u32, is_shared: bool, make: Option<&'r Jobserver>) -> Self {
        let (source, free) = match (make, is_shared) {
            (Some(make), _) => (Source::Make(make), 1),
            (None, true) => (Source::Own, jobs),
            (None, false) => (Source::Nowhere, 0),
        };
        Self {
            source,
            inner: Mutex::new(Inner {
                free,
                waiting: 0,
                lanes: HashMap::new(),
            }),
            freed: Condvar::new(),
        }
    }

    /// Takes what a command needs that counts as this many jobs; nothing where the run is stopped before there
    /// is enough. Of make, which may have fewer, it takes one.
    pub(crate) fn take(&self, jobs: u32, stop: &Stop) -> Option<Held<'_>> {
        let wanted = match self.source {
            Source::Nowhere => 0,
            Source::Own => jobs,
            Source::Make(_) => 1,
        };
        let mut taken = Held {
            tokens: self,
            held: Vec::new(),
        };
        let mut inner = self.inner();
        inner.waiting += 1;
        let is_enough = loop {
            // What is free now may be so because everything ends.
            if stop.is_asked() {
                break false;
            }
            while taken.held.len() < wanted as usize
                && let Some(token) = self.try_take(&mut inner)
            {
                taken.held.push(token);
            }
            if taken.held.len() >= wanted as usize {
                break true;
            }
            // Of what others give back to make nobody hears.
            let woken = self.freed.wait_timeout(inner, TICK);
            inner = woken.unwrap_or_else(PoisonError::into_inner).0;
        };
        inner.waiting -= 1;
        drop(inner);
        is_enough.then_some(taken)
    }

    fn try_take(&self, inner: &mut Inner) -> Option<Token> {
        if inner.free > 0 {
            inner.free -= 1;
            return Some(Token::Own);
        }
        let Source::Make(make) = self.source else {
            return None;
        };
        match make.take() {
            Ok(token) => token.map(Token::Make),
            Err(errno) => {
                make.fail(errno);
                Some(Token::Unasked)
            }
        }
    }

    fn give(&self, token: Token) {
        match (token, &self.source) {
            (Token::Own, _) => self.inner().free += 1,
            (Token::Make(token), Source::Make(make)) => make.give(token),
            (Token::Make(_) | Token::Unasked, _) => {}
        }
        self.freed.notify_all();
    }

    /// Does something while a lane is kept supplied; `most`: how many jobs it may have besides its command.
    pub(crate) fn supplying<T>(
        &self,
        number: u32,
        lane: &Lane,
        most: u32,
        body: impl FnOnce() -> T,
    ) -> T {
        std::thread::scope(|scope| {
            let (running, over) = channel::<()>();
            scope.spawn(move || self.supply(number, lane, most, &over));
            let answer = body();
            drop(running);
            lane.wake();
            answer
        })
    }

    fn supply(&self, number: u32, lane: &Lane, most: u32, over: &Receiver<()>) {
        let mut lent = Vec::new();
        loop {
            let is_wanted_elsewhere = self.balance(number, lane, most, &mut lent);
            if is_wanted_elsewhere {
                // Whoever waits has the same right to what is given back here as the command.
                lane.wait(TICK);
            }
            let pause = if is_wanted_elsewhere {
                Duration::ZERO
            } else {
                TICK
            };
            if over.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        self.inner().lanes.remove(&number);
        lent.into_iter().for_each(|token| self.give(token));
    }

    /// Lends a lane what it needs, or takes back what it does not; whether others need it more.
    fn balance(&self, number: u32, lane: &Lane, most: u32, lent: &mut Vec<Token>) -> bool {
        let idle = lane.idle();
        let mut inner = self.inner();
        let mine = u32::try_from(lent.len()).unwrap_or(u32::MAX);
        let mut others = inner.lanes.iter().filter(|(other, _)| **other != number);
        let is_elsewhere = mine > 0
            && (inner.waiting > 0
                || others.any(|(_, share)| share.is_hungry && share.lent + 1 < mine));
        let is_hungry = idle == 0 && mine < most;
        if is_hungry
            && inner.waiting == 0
            && let Some(token) = self.try_take(&mut inner)
        {
            lane.put();
            lent.push(token);
        }
        let share = Share {
            lent: u32::try_from(lent.len()).unwrap_or(u32::MAX),
            is_hungry,
        };
        inner.lanes.insert(number, share);
        drop(inner);
        let spare = if is_elsewhere { 0 } else { 1 };
        for _ in spare..idle {
            if !lane.take_back() {
                break;
            }
            lent.pop().into_iter().for_each(|token| self.give(token));
            if is_elsewhere {
                break;
            }
        }
        is_elsewhere
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A jobserver for the jobs of one command.
#[derive(Debug)]
pub(crate) struct Lane {
    client: Client,
    read: OwnedFd,
    write: OwnedFd,
}

impl Lane {
    /// One with this many tokens.
    pub(crate) fn new(tokens: u32) -> io::Result<Self> {
        let client = Client::new(tokens as usize)?;
        let mut asked = Command::new("");
        client.configure_make(&mut asked);
        let values = asked.get_envs().filter_map(|(_, value)| value?.to_str());
        let ends = values.filter_map(|flags| match parse(place(flags)?)? {
            Place::Pipe(read, write) => Some((read, write)),
            Place::Fifo(_) | Place::None => None,
        });
        let (read, write) = ends.last().ok_or(Errno::BADF)?;
        let (read, write) = (own(read), own(write));
        Ok(Self {
            read: pipe(&read, OFlags::RDONLY)?,
            write: pipe(&write, OFlags::WRONLY)?,
            client,
        })
    }

    /// Lets a command use it.
    pub(super) fn open_to(&self, command: &mut Command) {
        self.client.configure_make(command);
    }

    /// How many tokens nobody uses.
    fn idle(&self) -> u64 {
        ioctl_fionread(&self.read).unwrap_or(0)
    }

    fn put(&self) {
        // It never holds more than a pipe does.
        let _fits = give(&self.write, b'+');
    }

    fn take_back(&self) -> bool {
        matches!(take(&self.read), Ok(Some(_)))
    }

    /// Waits for a token that nobody uses.
    fn wait(&self, pause: Duration) {
        let timeout = Timespec::try_from(pause).ok();
        let _woken = poll(
            &mut [PollFd::new(&self.read, PollFlags::IN)],
            timeout.as_ref(),
        );
    }

    /// Ends a wait.
    fn wake(&self) {
        self.put();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn wait_until(mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_lane_gets_no_more_than_its_share_and_what_is_never_given_back_is_not_lost() {
        let tokens = Tokens::new(4, true, None);
        let stop = Stop::new().unwrap();
        let held = tokens.take(1, &stop).unwrap();
        let lane = Lane::new(0).unwrap();
        tokens.supplying(0, &lane, 2, || {
            wait_until(|| lane.take_back());
            wait_until(|| lane.take_back());
            // It has all that it may have, so another gets the rest at once.
            let rest = tokens.take(1, &stop).unwrap();
            assert_eq!((lane.idle(), tokens.inner().free), (0, 0));
            drop(rest);
        });
        drop(held);
        assert_eq!(tokens.inner().free, 4);
    }

    #[test]
    fn what_a_lane_does_not_use_is_there_for_who_waits() {
        let tokens = Tokens::new(3, true, None);
        let stop = Stop::new().unwrap();
        let lane = Lane::new(0).unwrap();
        tokens.supplying(0, &lane, 2, || {
            wait_until(|| lane.take_back());
            wait_until(|| lane.idle() == 1);
            // One is used, one lies there: both are wanted, and the first is given back.
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| tokens.take(3, &stop).is_some());
                wait_until(|| tokens.inner().waiting == 1 && lane.idle() == 0);
                lane.put();
                assert!(waits.join().unwrap());
            });
        });
        assert_eq!(tokens.inner().free, 3);
    }

    #[test]
    fn who_waits_in_vain_hears_that_the_run_ends() {
        let tokens = Tokens::new(1, true, None);
        let stop = Stop::new().unwrap();
        let _held = tokens.take(1, &stop).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| tokens.take(1, &stop).is_none());
            wait_until(|| tokens.inner().waiting == 1);
            stop.ask();
            assert!(waits.join().unwrap());
        });
    }
}
