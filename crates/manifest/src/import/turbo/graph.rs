//! Which tasks there are, and what each waits for.

use super::definition::{Definition, Definitions, split};
use crate::import::draft::push_new;
use crate::import::notes::Notes;
use crate::import::packages::Packages;
use std::collections::{BTreeMap, BTreeSet};

/// A task of a package, by the package's index. It need not have a script.
pub(super) type Key<'a> = (usize, &'a str);

/// All tasks, those without script included.
pub(super) struct Graph<'a> {
    pub(super) packages: &'a Packages,
    nodes: BTreeMap<Key<'a>, Definition>,
    names: BTreeSet<&'a str>,
}

/// What a task waits for, however far away.
#[derive(Debug, Default)]
pub(super) struct Upstream<'a> {
    /// Tasks that run something.
    pub(super) tasks: BTreeSet<Key<'a>>,
    /// Packages whose files stand for a script that they do not have.
    pub(super) sources: BTreeSet<usize>,
}

impl<'a> Graph<'a> {
    /// The graph of all packages.
    pub(super) fn new(packages: &'a Packages, definitions: &'a Definitions) -> Self {
        let mut nodes = BTreeMap::new();
        for index in 0..packages.list.len() {
            for name in definitions.names(index) {
                if let Some(definition) = definitions.resolve(packages, index, name) {
                    nodes.insert((index, name), definition);
                }
            }
        }
        let names = nodes.keys().map(|&(_, name)| name).collect();
        Self {
            packages,
            nodes,
            names,
        }
    }

    /// The tasks of a package that run something.
    pub(super) fn tasks(&self, index: usize) -> Vec<Key<'a>> {
        let all = self.nodes.range((index, "")..(index + 1, ""));
        all.map(|(&key, _)| key)
            .filter(|&key| self.is_task(key))
            .collect()
    }

    /// The definition of a task.
    pub(super) fn definition(&self, key: Key<'a>) -> Option<&Definition> {
        self.nodes.get(&key)
    }

    /// What a task is called in another project, or in its own.
    fn reference(&self, key: Key<'a>, from: usize) -> String {
        let task = self.packages.tasks.get(key.1);
        if key.0 == from {
            task
        } else {
            format!("{}:{task}", self.packages.list[key.0].project)
        }
    }

    fn is_task(&self, key: Key<'a>) -> bool {
        self.packages.list[key.0].script(key.1).is_some()
    }

    fn node(&self, index: usize, name: &str) -> Option<Key<'a>> {
        let key = (index, self.names.get(name).copied()?);
        self.nodes.contains_key(&key).then_some(key)
    }

    fn package(&self, name: &str) -> Option<usize> {
        if name == "//" {
            return Some(0);
        }
        self.packages
            .list
            .iter()
            .position(|package| package.name == name)
    }

    /// The nodes that one word of `dependsOn` names.
    fn named(&self, from: usize, word: &str) -> Vec<Key<'a>> {
        let keys: Vec<(usize, &str)> = match (word.strip_prefix('^'), split(word)) {
            (Some(name), _) => self.packages.list[from]
                .uses
                .iter()
                .map(|&used| (used, name))
                .collect(),
            (None, (Some(owner), name)) => self
                .package(owner)
                .map(|index| (index, name))
                .into_iter()
                .collect(),
            (None, (None, name)) => vec![(from, name)],
        };
        keys.into_iter()
            .filter_map(|(index, name)| self.node(index, name))
            .collect()
    }

    fn next(&self, key: Key<'a>) -> Vec<Key<'a>> {
        let words = self
            .definition(key)
            .map(|definition| definition.texts("dependsOn"));
        let words = words.unwrap_or_default().into_iter();
        words
            .filter(|word| !word.starts_with('$'))
            .flat_map(|word| self.named(key.0, word))
            .collect()
    }

    /// The tasks nearest behind nodes, through those that run nothing.
    fn nearest(&self, from: Key<'a>, start: Vec<Key<'a>>) -> Vec<Key<'a>> {
        let (mut found, mut seen, mut waiting) = (Vec::new(), BTreeSet::new(), start);
        while let Some(key) = waiting.pop() {
            if key == from || !seen.insert(key) {
                continue;
            }
            if self.is_task(key) {
                found.push(key);
            } else {
                waiting.extend(self.next(key));
            }
        }
        found.sort_unstable();
        found
    }

    /// What a task waits for, as a manifest says it.
    pub(super) fn after(&self, key: Key<'a>, notes: &mut Notes) -> Vec<String> {
        let mut after = Vec::new();
        let Some(definition) = self.definition(key) else {
            return after;
        };
        let words = definition.texts("dependsOn");
        let words: Vec<&str> = words
            .into_iter()
            .filter(|word| !word.starts_with('$'))
            .collect();
        let is_direct = |word: &str, node: Key<'a>| word.starts_with('^') && self.is_task(node);
        let direct: BTreeSet<Key<'a>> = words
            .iter()
            .flat_map(|word| {
                self.named(key.0, word)
                    .into_iter()
                    .map(move |node| (word, node))
            })
            .filter_map(|(word, node)| is_direct(word, node).then_some(node))
            .collect();
        for word in words {
            let named = self.named(key.0, word);
            if named.is_empty() && !(word.starts_with('^') && self.is_known(word)) {
                let field = &definition.fields["dependsOn"];
                let why = "left out of `after`: there is no such task";
                notes.add(&field.file, field.line, word, why);
            }
            let (own, beyond): (Vec<_>, Vec<_>) =
                named.into_iter().partition(|&node| is_direct(word, node));
            if let Some(&(_, name)) = own.first() {
                push_new(&mut after, format!("^{}", self.packages.tasks.get(name)));
            }
            for task in self
                .nearest(key, beyond)
                .into_iter()
                .filter(|task| !direct.contains(task))
            {
                push_new(&mut after, self.reference(task, key.0));
            }
        }
        after
    }

    fn is_known(&self, word: &str) -> bool {
        self.names.contains(word.trim_start_matches('^'))
    }

    /// Everything that a task waits for.
    pub(super) fn upstream(&self, key: Key<'a>) -> Upstream<'a> {
        let (mut upstream, mut seen) = (Upstream::default(), BTreeSet::new());
        // With each node the package whose task needs it: what runs nothing there adds no files, since
        // they are that task's own and reach others by its outputs.
        let mut waiting: Vec<_> = self
            .next(key)
            .into_iter()
            .map(|node| (key.0, node))
            .collect();
        while let Some((needing, node)) = waiting.pop() {
            if node == key || !seen.insert((needing, node)) {
                continue;
            }
            let is_task = self.is_task(node);
            if is_task {
                upstream.tasks.insert(node);
            } else if node.0 != needing {
                upstream.sources.insert(node.0);
            }
            let needing = if is_task { node.0 } else { needing };
            waiting.extend(self.next(node).into_iter().map(|node| (needing, node)));
        }
        upstream.sources.remove(&key.0);
        upstream
    }
}
