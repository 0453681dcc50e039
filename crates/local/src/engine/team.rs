//! Threads that compute one thing together, and how they wait for each other.
//!
//! All run the same program. What one computes for the others goes into [`Shared`] numbers, which everybody may
//! read after the next [`Team::meet`]. Waiting spins for a moment: there are hundreds of meetings for every token.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// How often a waiting thread looks before it lets others run: some microseconds. Where the system has put two of
/// a team on one core, each waits so long for nothing at every meeting, hundreds of times a token.
const SPINS_MAX: u32 = 128;

#[derive(Debug)]
pub(super) struct Team {
    pub(super) size: usize,
    arrived: AtomicUsize,
    meetings: AtomicUsize,
    /// The next piece of each stage.
    taken: Vec<AtomicUsize>,
}

impl Team {
    /// A team for a program with so many stages of shared work.
    pub(super) fn new(size: usize, stages: usize) -> Self {
        Self {
            size,
            arrived: AtomicUsize::new(0),
            meetings: AtomicUsize::new(0),
            taken: (0..stages).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Gets ready for the next run of the program.
    pub(super) fn rewind(&mut self) {
        for taken in &mut self.taken {
            *taken.get_mut() = 0;
        }
    }

    /// Waits until all are here. Everything that any of them shared before is then seen by all.
    pub(super) fn meet(&self) {
        if self.size == 1 {
            return;
        }
        let meeting = self.meetings.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            self.arrived.store(0, Ordering::Relaxed);
            self.meetings
                .store(meeting.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.meetings.load(Ordering::Acquire) == meeting {
            if spins < SPINS_MAX {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Takes pieces of a stage's work until there are none. Who is faster takes more.
    pub(super) fn share(&self, stage: usize, pieces: usize, mut work: impl FnMut(usize)) {
        loop {
            let piece = self.taken[stage].fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return;
            }
            work(piece);
        }
    }
}

/// Numbers that several threads write, each its own, and all read after the next meeting.
#[derive(Debug, Default)]
pub(super) struct Shared(Vec<AtomicU32>);

impl Shared {
    /// Makes room for so many numbers.
    pub(super) fn make_room(&mut self, count: usize) {
        if self.0.len() < count {
            self.0.resize_with(count, AtomicU32::default);
        }
    }

    /// Writes numbers from a place on.
    #[inline(always)]
    pub(super) fn put_all(&self, at: usize, numbers: &[f32]) {
        for (cell, number) in self.0[at..].iter().zip(numbers) {
            cell.store(number.to_bits(), Ordering::Relaxed);
        }
    }

    /// Copies numbers out.
    #[inline(always)]
    pub(super) fn copy(&self, at: usize, out: &mut [f32]) {
        for (out, cell) in out.iter_mut().zip(&self.0[at..]) {
            *out = f32::from_bits(cell.load(Ordering::Relaxed));
        }
    }

    /// Adds numbers to a row.
    #[inline(always)]
    pub(super) fn add_to(&self, at: usize, out: &mut [f32]) {
        for (out, cell) in out.iter_mut().zip(&self.0[at..]) {
            *out += f32::from_bits(cell.load(Ordering::Relaxed));
        }
    }
}
