//! Many patterns at once, followed name by name on a walk, so that a walk goes only where something can
//! be found.

use super::{Pattern, Segment};

/// Patterns that add and patterns that take away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatternSet {
    included: Vec<Vec<Segment>>,
    excluded: Vec<Vec<Segment>>,
}

/// How far the patterns are matched by the names of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    included: Positions,
    excluded: Positions,
}

/// Positions in lists of names: which list, and how many of its names are matched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Positions {
    open: Vec<(u32, u32)>,
    /// A list ended with a name: what stands here is meant with everything below it.
    is_whole: bool,
    /// A list ended with `**`: what stands here is meant, folders too.
    is_any: bool,
    /// A list ended with a wildcard: what stands here is meant where it is no folder.
    is_file: bool,
}

/// What can be found in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names<'a> {
    /// Only these names: there is no need to list it.
    Only(Vec<&'a [u8]>),
    /// It has to be listed.
    All,
}

impl PatternSet {
    /// All of these together.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            let list = match pattern.is_exclusion {
                true => &mut set.excluded,
                false => &mut set.included,
            };
            list.extend(pattern.alternatives);
        }
        set
    }

    /// Takes away what these patterns mean.
    pub fn exclude<'p>(&mut self, patterns: impl IntoIterator<Item = &'p Pattern>) {
        for pattern in patterns {
            self.excluded.extend(pattern.alternatives.iter().cloned());
        }
    }

    /// Other patterns, with the same ones taken away.
    #[must_use]
    pub fn instead(&self, patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut set = Self::new(patterns);
        set.excluded.extend(self.excluded.iter().cloned());
        set
    }

    /// The workspace's root.
    #[must_use]
    pub fn start(&self) -> State {
        State {
            included: start(&self.included),
            excluded: start(&self.excluded),
        }
    }

    /// One name further down.
    #[must_use]
    pub fn step(&self, state: &State, name: &[u8]) -> State {
        let excluded = step(&self.excluded, &state.excluded, name);
        if excluded.is_whole {
            return State {
                included: Positions::default(),
                excluded,
            };
        }
        State {
            included: step(&self.included, &state.included, name),
            excluded,
        }
    }

    /// What can be found in the folder of a state.
    #[must_use]
    pub fn names(&self, state: &State) -> Names<'_> {
        if state.included.is_whole {
            return Names::All;
        }
        let next = state.included.open.iter().map(|&(list, at)| {
            let segments = &self.included[list as usize];
            segments.get(at as usize).and_then(Segment::literal)
        });
        match next.collect::<Option<Vec<&[u8]>>>() {
            Some(mut names) => {
                names.sort_unstable();
                names.dedup();
                Names::Only(names)
            }
            None => Names::All,
        }
    }

    /// Whether a path to a file or link is meant.
    #[must_use]
    pub fn is_match(&self, path: &[u8]) -> bool {
        let mut state = self.start();
        for name in path.split(|&byte| byte == b'/').filter(|n| !n.is_empty()) {
            state = self.step(&state, name);
        }
        state.has_file()
    }
}

impl State {
    /// Whether a file or link here is meant.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.included.has_file() && !self.excluded.has_file()
    }

    /// Whether a folder here is itself meant.
    #[must_use]
    pub fn has_folder(&self) -> bool {
        let is_meant = |positions: &Positions| positions.is_whole || positions.is_any;
        is_meant(&self.included) && !is_meant(&self.excluded)
    }

    /// Whether everything below is meant, because a name without wildcard ended here or above.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.included.is_whole
    }

    /// Whether nothing below can be meant.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let everything_excluded = self.excluded.is_whole;
        everything_excluded || (!self.included.is_whole && self.included.open.is_empty())
    }
}

impl Positions {
    fn has_file(&self) -> bool {
        self.is_whole || self.is_any || self.is_file
    }

    /// Adds a position, and the one behind a `**` that stands there for no name at all.
    fn add(&mut self, lists: &[Vec<Segment>], list: u32, at: u32) {
        let segments = &lists[list as usize];
        match segments.get(at as usize) {
            None => match at
                .checked_sub(1)
                .and_then(|last| segments.get(last as usize))
            {
                Some(Segment::Any) => self.is_any = true,
                Some(Segment::Glob(_)) => self.is_file = true,
                Some(Segment::Name(_)) | None => self.is_whole = true,
            },
            Some(segment) => {
                if !self.open.contains(&(list, at)) {
                    self.open.push((list, at));
                }
                if *segment == Segment::Any {
                    self.add(lists, list, at + 1);
                }
            }
        }
    }
}

fn start(lists: &[Vec<Segment>]) -> Positions {
    let mut positions = Positions::default();
    for list in 0..u32::try_from(lists.len()).unwrap_or(u32::MAX) {
        positions.add(lists, list, 0);
    }
    positions
}

fn step(lists: &[Vec<Segment>], from: &Positions, name: &[u8]) -> Positions {
    let mut to = Positions {
        is_whole: from.is_whole,
        ..Positions::default()
    };
    for &(list, at) in &from.open {
        match &lists[list as usize][at as usize] {
            Segment::Any => to.add(lists, list, at),
            segment if segment.is_match(name) => to.add(lists, list, at + 1),
            _ => {}
        }
    }
    to
}
