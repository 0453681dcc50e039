//! What to do next: which task to look at, which to run, which never.
//!
//! A task is first looked at: its key is built and the cache is asked. Only one that has to run takes its
//! share of the jobs, its mutexes and its tags; one that has to wait for them sits in a queue and costs
//! nothing. Among those that could begin, the one with the longest way behind it comes first.

use crate::Graph;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// What a task needs while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Its share of the jobs; at least one is taken, and never more than there are.
    pub weight: u32,
    /// What it holds alone.
    pub mutex: Vec<String>,
    /// What it holds together with others.
    pub mutex_shared: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// How much may run at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub jobs: u32,
    /// Of each tag.
    pub tags: BTreeMap<String, u32>,
    /// Whether the rest goes on where a task fails.
    pub keeps_going: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Build its key and ask the cache; then say [`Schedule::looked`].
    Look(u32),
    /// Run it; then say [`Schedule::ended`].
    Run(u32),
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its outputs are there.
    Succeeded,
    /// They are not.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not part of this run.
    Absent,
    /// Waits for this many others.
    Waiting(u32),
    Looking,
    Queued,
    Running,
    Over(Ending),
    /// Never began, because of this task.
    Skipped(u32),
}

/// What can be taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Jobs,
    Mutex(String),
    Tag(String),
}

/// A run of some tasks of a graph.
#[derive(Debug, Clone)]
pub struct Schedule<'g> {
    graph: &'g Graph,
    needs: Vec<Needs>,
    limits: Limits,
    stages: Vec<Stage>,
    /// Ready to be looked at: the longest way behind it first, then the order of the graph.
    ready: BinaryHeap<(u32, Reverse<u32>, u32)>,
    /// Ready to run, each where the first thing is missing.
    queues: BTreeMap<Resource, VecDeque<u32>>,
    /// Acquired and not yet handed out.
    startable: VecDeque<u32>,
    jobs_free: u32,
    /// Holders of mutexes: the number of tasks, and whether one has it alone.
    held: BTreeMap<String, (u32, bool)>,
    tagged: BTreeMap<String, u32>,
    heights: Vec<u32>,
    places: Vec<u32>,
    open: usize,
    is_stopped: bool,
}

impl<'g> Schedule<'g> {
    /// A run of `tasks`, which has to hold all that they wait for; `needs` has one entry for each task
    /// of the graph.
    #[must_use]
    pub fn new(graph: &'g Graph, tasks: &[u32], needs: Vec<Needs>, limits: Limits) -> Self {
        let mut stages = vec![Stage::Absent; graph.len()];
        for &task in tasks {
            stages[task as usize] = Stage::Waiting(0);
        }
        let mut heights = vec![0; graph.len()];
        let mut places = vec![0; graph.len()];
        for (place, &task) in (0..).zip(graph.order()) {
            places[task as usize] = place;
        }
        for &task in graph.order().iter().rev() {
            let behind = graph.successors(task).iter();
            let present = behind.filter(|&&next| stages[next as usize] != Stage::Absent);
            let highest = present.map(|&next| heights[next as usize] + 1).max();
            heights[task as usize] = highest.unwrap_or(0);
        }
        let mut schedule = Self {
            graph,
            needs,
            jobs_free: limits.jobs.max(1),
            limits,
            stages,
            ready: BinaryHeap::new(),
            queues: BTreeMap::new(),
            startable: VecDeque::new(),
            held: BTreeMap::new(),
            tagged: BTreeMap::new(),
            heights,
            places,
            open: tasks.len(),
            is_stopped: false,
        };
        for &task in tasks {
            let before = graph.before(task).iter();
            let present = before.filter(|&&b| schedule.stages[b as usize] != Stage::Absent);
            let missing = u32::try_from(present.count()).unwrap_or(u32::MAX);
            schedule.stages[task as usize] = Stage::Waiting(missing);
            if missing == 0 {
                schedule.make_ready(task);
            }
        }
        schedule
    }

    /// What to do next; nothing where everything else waits for what is under way.
    pub fn poll(&mut self) -> Option<Step> {
        if self.is_stopped {
            return None;
        }
        if let Some(task) = self.startable.pop_front() {
            self.stages[task as usize] = Stage::Running;
            return Some(Step::Run(task));
        }
        let (_, _, task) = self.ready.pop()?;
        self.stages[task as usize] = Stage::Looking;
        Some(Step::Look(task))
    }

    /// The cache had no answer: the task has to run, now or as soon as it can. `true` where it may at
    /// once; otherwise [`Schedule::poll`] will name it.
    pub fn looked(&mut self, task: u32) -> bool {
        self.stages[task as usize] = Stage::Queued;
        if self.is_stopped {
            return false;
        }
        match self.acquire(task) {
            Ok(()) => {
                self.stages[task as usize] = Stage::Running;
                true
            }
            Err(missing) => {
                self.queues.entry(missing).or_default().push_back(task);
                false
            }
        }
    }

    /// A task is over, with or without a run. Returns the tasks that are skipped for it.
    pub fn ended(&mut self, task: u32, ending: Ending) -> Vec<u32> {
        if self.stages[task as usize] == Stage::Running {
            self.release(task);
        }
        self.stages[task as usize] = Stage::Over(ending);
        self.open -= 1;
        let mut skipped = Vec::new();
        if ending == Ending::Failed {
            self.skip_behind(task, &mut skipped);
            if !self.limits.keeps_going {
                self.is_stopped = true;
            }
        }
        self.promote(task);
        for &task in &skipped {
            self.promote(task);
        }
        skipped
    }

    /// Begins nothing more.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Whether nothing is left to begin or to wait for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open == 0 || (self.is_stopped && !self.is_busy())
    }

    /// What never began and was not skipped either, once it is over.
    pub fn left(&self) -> impl Iterator<Item = u32> {
        let is_left = |stage: &Stage| matches!(stage, Stage::Waiting(_) | Stage::Queued);
        (0..)
            .zip(&self.stages)
            .filter_map(move |(task, stage)| is_left(stage).then_some(task))
    }

    fn is_busy(&self) -> bool {
        let is_busy = |stage: &Stage| matches!(stage, Stage::Looking | Stage::Running);
        self.stages.iter().any(is_busy)
    }

    fn make_ready(&mut self, task: u32) {
        let place = Reverse(self.places[task as usize]);
        self.ready.push((self.heights[task as usize], place, task));
    }

    /// One thing less to wait for, for all behind a task.
    fn promote(&mut self, task: u32) {
        for &next in self.graph.successors(task) {
            if let Stage::Waiting(missing) = &mut self.stages[next as usize] {
                *missing -= 1;
                if *missing == 0 {
                    self.make_ready(next);
                }
            }
        }
    }

    /// All that needs a task to succeed, directly or not.
    fn skip_behind(&mut self, cause: u32, skipped: &mut Vec<u32>) {
        let mut rest = vec![cause];
        while let Some(task) = rest.pop() {
            for &next in self.graph.successors(task) {
                let needs_it = self.graph.after(next).contains(&task);
                if needs_it && matches!(self.stages[next as usize], Stage::Waiting(_)) {
                    self.stages[next as usize] = Stage::Skipped(cause);
                    self.open -= 1;
                    skipped.push(next);
                    rest.push(next);
                }
            }
        }
    }

    fn weight(&self, task: u32) -> u32 {
        self.needs[task as usize]
            .weight
            .clamp(1, self.limits.jobs.max(1))
    }

    /// Takes all that a task needs, or nothing and says what is missing.
    fn acquire(&mut self, task: u32) -> Result<(), Resource> {
        let needs = &self.needs[task as usize];
        let weight = self.weight(task);
        for name in &needs.mutex {
            if self.held.contains_key(name) {
                return Err(Resource::Mutex(name.clone()));
            }
        }
        for name in &needs.mutex_shared {
            if self.held.get(name).is_some_and(|&(_, is_alone)| is_alone) {
                return Err(Resource::Mutex(name.clone()));
            }
        }
        for tag in &needs.tags {
            let used = self.tagged.get(tag).copied().unwrap_or(0);
            if self.limits.tags.get(tag).is_some_and(|&most| used >= most) {
                return Err(Resource::Tag(tag.clone()));
            }
        }
        if weight > self.jobs_free {
            return Err(Resource::Jobs);
        }
        self.jobs_free -= weight;
        for name in &needs.mutex {
            self.held.insert(name.clone(), (1, true));
        }
        for name in &needs.mutex_shared {
            self.held.entry(name.clone()).or_insert((0, false)).0 += 1;
        }
        for tag in &needs.tags {
            *self.tagged.entry(tag.clone()).or_insert(0) += 1;
        }
        Ok(())
    }

    /// Gives back what a task held, and takes it for those that wait for it.
    fn release(&mut self, task: u32) {
        let needs = self.needs[task as usize].clone();
        self.jobs_free += self.weight(task);
        let mut freed = vec![Resource::Jobs];
        for name in needs.mutex.into_iter().chain(needs.mutex_shared) {
            if let Some((holders, _)) = self.held.get_mut(&name) {
                *holders -= 1;
                if *holders == 0 {
                    self.held.remove(&name);
                }
            }
            freed.push(Resource::Mutex(name));
        }
        for tag in needs.tags {
            if let Some(count) = self.tagged.get_mut(&tag) {
                *count -= 1;
            }
            freed.push(Resource::Tag(tag));
        }
        // Whoever waits for something rarer than a job goes first: it waits longest.
        for resource in freed.into_iter().rev() {
            self.serve(&resource);
        }
    }

    fn serve(&mut self, resource: &Resource) {
        while let Some(&task) = self.queues.get(resource).and_then(VecDeque::front) {
            let missing = self.acquire(task).err();
            if missing.as_ref() == Some(resource) {
                return;
            }
            if let Some(queue) = self.queues.get_mut(resource) {
                queue.pop_front();
            }
            match missing {
                None => self.startable.push_back(task),
                Some(other) => self.queues.entry(other).or_default().push_back(task),
            }
        }
    }
}

#[cfg(test)]
mod tests;
