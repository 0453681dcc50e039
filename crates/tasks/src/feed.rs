//! Which task makes what another reads, seen from their patterns alone.

use crate::Pattern;
use std::collections::{BTreeSet, HashMap};

/// The patterns of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patterns<'p> {
    /// What it reads; empty where nothing was declared.
    pub inputs: &'p [Pattern],
    /// What it makes.
    pub outputs: &'p [Pattern],
}

/// What the patterns of many tasks say about each other; tasks by their place in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feeds {
    /// Who reads what another makes: the reader, then the maker.
    pub reads: BTreeSet<(u32, u32)>,
    /// Two that make the same, the later one first.
    pub overlaps: BTreeSet<(u32, u32)>,
}

/// Works out who feeds whom. Linear in the number of patterns, as long as few begin in one folder.
#[must_use]
pub fn feeds(tasks: &[Patterns<'_>]) -> Feeds {
    let index = Index::of(tasks);
    let mut feeds = Feeds::default();
    for (own, patterns) in (0..).zip(tasks) {
        for maker in index.makers(tasks, patterns.inputs) {
            if maker != own {
                feeds.reads.insert((own, maker));
            }
        }
        for other in index.makers(tasks, patterns.outputs) {
            if other < own {
                feeds.overlaps.insert((own, other));
            }
        }
    }
    feeds
}

/// The outputs by the names before their first wildcard.
#[derive(Default)]
struct Index<'t> {
    nodes: Vec<Node>,
    children: HashMap<(u32, &'t [u8]), u32>,
}

#[derive(Default)]
struct Node {
    /// Outputs whose names end here: the task, and which of its patterns.
    outputs: Vec<(u32, u32)>,
    below: Vec<u32>,
}

impl<'t> Index<'t> {
    fn of(tasks: &[Patterns<'t>]) -> Self {
        let mut index = Self {
            nodes: vec![Node::default()],
            children: HashMap::new(),
        };
        for (task, patterns) in (0..).zip(tasks) {
            for (number, pattern) in (0..).zip(patterns.outputs) {
                for prefix in pattern.prefixes().filter(|_| !pattern.is_exclusion()) {
                    let node = prefix.iter().fold(0, |node, name| index.child(node, name));
                    index.nodes[node as usize].outputs.push((task, number));
                }
            }
        }
        index
    }

    fn child(&mut self, node: u32, name: &'t [u8]) -> u32 {
        if let Some(&child) = self.children.get(&(node, name)) {
            return child;
        }
        let child = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.children.insert((node, name), child);
        self.nodes.push(Node::default());
        self.nodes[node as usize].below.push(child);
        child
    }

    /// Whose outputs some of these patterns mean.
    fn makers(&self, tasks: &[Patterns<'_>], patterns: &[Pattern]) -> BTreeSet<u32> {
        let mut makers = BTreeSet::new();
        let (excluded, included): (Vec<&Pattern>, Vec<&Pattern>) =
            patterns.iter().partition(|pattern| pattern.is_exclusion());
        for pattern in included {
            for (task, number) in self.near(pattern) {
                let made = tasks[task as usize].outputs;
                let output = &made[number as usize];
                let is_excluded = excluded.iter().any(|excluded| excluded.covers(output));
                let is_not_made = made
                    .iter()
                    .any(|other| other.is_exclusion() && other.covers(pattern));
                if !is_excluded && !is_not_made && pattern.overlaps(output) {
                    makers.insert(task);
                }
            }
        }
        makers
    }

    /// The outputs that a pattern may mean, by the names before the first wildcards.
    fn near(&self, pattern: &Pattern) -> BTreeSet<(u32, u32)> {
        let mut found = BTreeSet::new();
        for prefix in pattern.prefixes() {
            let mut node = Some(0);
            for name in &prefix {
                let Some(at) = node else { break };
                found.extend(&self.nodes[at as usize].outputs);
                node = self.children.get(&(at, *name)).copied();
            }
            let mut rest: Vec<u32> = node.into_iter().collect();
            while let Some(at) = rest.pop() {
                let node = &self.nodes[at as usize];
                found.extend(&node.outputs);
                rest.extend(&node.below);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bytes;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        let parse = |text: &&str| Pattern::parse(&Bytes::default(), text).unwrap();
        texts.iter().map(parse).collect()
    }

    type Owned = (Vec<Pattern>, Vec<Pattern>);

    fn task(inputs: &[&str], outputs: &[&str]) -> Owned {
        (patterns(inputs), patterns(outputs))
    }

    fn fed(tasks: &[Owned]) -> Feeds {
        let borrowed = tasks
            .iter()
            .map(|(inputs, outputs)| Patterns { inputs, outputs });
        feeds(&borrowed.collect::<Vec<_>>())
    }

    #[test]
    fn readers_find_their_makers() {
        let tasks = [
            task(&["src/**"], &["gen/a.rs"]),
            task(&["gen/*.rs", "!gen/b.rs"], &["dist/**", "!dist/cache/**"]),
            task(&["dist"], &["gen/b.rs"]),
            task(&["dist/cache/x"], &[]),
            task(&["*/a.*"], &["out"]),
            task(&["out/deep/x"], &[]),
        ];
        let reads = BTreeSet::from([(1, 0), (2, 1), (4, 0), (4, 1), (5, 4)]);
        let Feeds {
            reads: found,
            overlaps,
        } = fed(&tasks);
        assert_eq!((found, overlaps), (reads, BTreeSet::new()));
    }

    #[test]
    fn what_two_make_is_an_overlap() {
        let tasks = [
            task(&[], &["dist/**"]),
            task(&[], &["dist/a.js"]),
            task(&[], &["**/*.css", "!dist/**"]),
            task(&[], &["lib"]),
            task(&[], &["lib/x/y"]),
        ];
        let overlaps = fed(&tasks).overlaps;
        assert!(
            overlaps.contains(&(1, 0)) && overlaps.contains(&(4, 3)),
            "{overlaps:?}"
        );
        assert!(!overlaps.contains(&(2, 0)), "{overlaps:?}");
    }

    #[test]
    fn many_tasks_take_linear_time() {
        let tasks: Vec<Owned> = (0..50_000)
            .map(|number| {
                let before = format!("p/out/t{}.txt", number - 1);
                let own = format!("p/src/t{number}/*.txt");
                task(&[&own, &before], &[&format!("p/out/t{number}.txt")])
            })
            .collect();
        assert_eq!(fed(&tasks).reads.len(), 49_999);
    }
}
