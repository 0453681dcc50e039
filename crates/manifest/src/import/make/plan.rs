//! Which targets there are, explicit ones and those that patterns make, and what each needs.

use super::functions::stem;
use super::rule::{Makefile, Rule, built_in};
use crate::import::draft::extend_new;
use crate::import::notes::Notes;
use std::collections::{BTreeMap, BTreeSet};

/// How many patterns may follow each other up to a file that is there.
const CHAIN_MAX: usize = 3;

/// What trying a pattern counts for, in bytes expanded.
const PATTERN_COST: usize = 32;

/// What becomes of the recipe of a target that has another.
const REPLACED: &str = "its earlier recipe is left out: this one replaces it";

const UNKNOWN: &str = "never cached: not all that it needs is known";

/// All targets, in the order in which the makefile names them.
#[derive(Debug)]
pub(super) struct Plan<'m> {
    pub(super) nodes: Vec<Node>,
    indices: BTreeMap<String, usize>,
    makefile: &'m Makefile<'m>,
    patterns: Vec<Rule>,
    used: BTreeSet<usize>,
    files: &'m BTreeSet<String>,
}

/// A target.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) target: String,
    /// What the same run makes.
    pub(super) siblings: Vec<String>,
    pub(super) file: String,
    pub(super) line: Option<u32>,
    pub(super) prerequisites: Vec<String>,
    pub(super) order_only: Vec<String>,
    /// One, or one for each rule with a double colon.
    pub(super) recipes: Vec<Recipe>,
    pub(super) is_phony: bool,
    /// Why it cannot be cached, where its rules say so.
    pub(super) uncached: Option<&'static str>,
}

/// What makes a target.
#[derive(Debug, Clone, Default)]
pub(super) struct Recipe {
    /// As written.
    pub(super) lines: Vec<String>,
    /// What `%` stood for.
    pub(super) stem: String,
    /// The prerequisites of its own rule, where those of others are none of its business.
    pub(super) own: Option<Vec<String>>,
}

impl Node {
    /// The lines of all recipes, as written.
    pub(super) fn lines(&self) -> impl Iterator<Item = &String> {
        self.recipes.iter().flat_map(|recipe| &recipe.lines)
    }
}

impl<'m> Plan<'m> {
    /// Collects targets and applies patterns to what they need.
    pub(super) fn new(
        makefile: &'m Makefile<'m>,
        files: &'m BTreeSet<String>,
        notes: &mut Notes,
    ) -> Self {
        let mut patterns = makefile.patterns.clone();
        patterns.extend(built_in());
        let (nodes, indices, used) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let mut plan = Self {
            nodes,
            indices,
            makefile,
            patterns,
            used,
            files,
        };
        for rule in &makefile.rules {
            plan.explicit(rule, notes);
        }
        plan.apply_patterns(notes);
        for node in &mut plan.nodes {
            for words in [&mut node.prerequisites, &mut node.order_only] {
                let all = std::mem::take(words);
                extend_new(words, all);
            }
        }
        plan.tell(notes);
        plan
    }

    /// The target that makes a file, or stands for a phony name.
    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.indices.get(name).map(|&index| &self.nodes[index])
    }

    /// Whether the workspace has the file already.
    pub(super) fn is_file(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    /// Whether the workspace has such a file or folder already.
    pub(super) fn is_there(&self, name: &str) -> bool {
        let below = format!("{}/", name.trim_end_matches('/'));
        let mut next = self.files.range(below.clone()..).take(1);
        self.is_file(name) || next.any(|file| file.starts_with(&below))
    }

    /// Whether a target is a folder: others lie in it, or its recipe makes folders only.
    pub(super) fn is_folder(&self, node: &Node) -> bool {
        let below = format!("{}/", node.target.trim_end_matches('/'));
        let mut next = self.indices.range(below.clone()..).take(2);
        let has_others = next.any(|(name, _)| name.starts_with(&below) && *name != below);
        let is_mkdir = |line: &String| {
            line.trim_start_matches(['@', '-', '+', ' '])
                .starts_with("mkdir")
        };
        has_others || !node.recipes.is_empty() && node.lines().all(is_mkdir)
    }

    /// Whether a target is never found where make looks for it, so that what needs it is always made.
    pub(super) fn is_never_there(&self, node: &Node) -> bool {
        node.is_phony || (node.recipes.is_empty() && !self.is_file(&node.target))
    }

    fn explicit(&mut self, rule: &Rule, notes: &mut Notes) {
        if rule.is_grouped
            && let Some((first, siblings)) = rule.targets.split_first()
        {
            self.add(rule, first, notes);
            self.join(first, siblings, notes);
            return;
        }
        for target in &rule.targets {
            self.add(rule, target, notes);
        }
    }

    /// Lets one run make other targets as well. What stood for one of them alone waits for it from now on.
    fn join(&mut self, target: &str, siblings: &[String], notes: &mut Notes) {
        let Some(&index) = self.indices.get(target) else {
            return;
        };
        for sibling in siblings {
            let old = self.indices.insert(sibling.clone(), index);
            if old == Some(index) {
                continue;
            }
            self.nodes[index].siblings.push(sibling.clone());
            let Some(old) = old else { continue };
            let alone = &mut self.nodes[old];
            if !alone.recipes.is_empty() {
                notes.add(&alone.file, alone.line, sibling, REPLACED);
            }
            alone.recipes.clear();
            let needed = std::mem::replace(&mut alone.prerequisites, vec![target.to_owned()]);
            self.nodes[index].prerequisites.extend(needed);
        }
    }

    fn add(&mut self, rule: &Rule, target: &str, notes: &mut Notes) {
        let found = rule
            .pattern
            .as_ref()
            .map(|pattern| stem(pattern, target).unwrap_or_default());
        let filled = |words: &[String]| -> Vec<String> {
            let fill = |word: &String| {
                found.map_or_else(|| word.clone(), |stem| word.replacen('%', stem, 1))
            };
            words.iter().map(fill).collect()
        };
        let needed = rule.prerequisites.iter().chain(&rule.order_only);
        self.makefile
            .variables
            .spend(needed.map(|word| word.len() + size_of::<String>()).sum());
        if self.makefile.variables.is_spent() {
            return;
        }
        let next = self.nodes.len();
        let index = *self.indices.entry(target.to_owned()).or_insert(next);
        if index == next {
            self.nodes.push(Node {
                target: target.to_owned(),
                file: rule.file.clone(),
                line: rule.line,
                is_phony: self.makefile.phony.contains(target),
                ..Node::default()
            });
        }
        let node = &mut self.nodes[index];
        if rule.is_unknown {
            node.uncached = Some(UNKNOWN);
        }
        let prerequisites = filled(&rule.prerequisites);
        node.order_only.extend(filled(&rule.order_only));
        if rule.recipe.is_empty() {
            return node.prerequisites.extend(prerequisites);
        }
        if !node.recipes.is_empty() {
            let why = if rule.is_double {
                "its recipes run one after the other, whenever one of them would"
            } else {
                REPLACED
            };
            notes.add(&rule.file, rule.line, target, why);
        }
        if rule.is_double && prerequisites.is_empty() {
            node.uncached =
                Some("never cached: a rule with two colons that needs nothing always runs");
        }
        let recipe = Recipe {
            lines: rule.recipe.clone(),
            stem: found.unwrap_or_default().to_owned(),
            own: rule.is_double.then(|| prerequisites.clone()),
        };
        if rule.is_double {
            node.prerequisites.extend(prerequisites);
            node.recipes.push(recipe);
        } else {
            // The rule with the recipe comes first, for `$<`.
            node.prerequisites.splice(0..0, prerequisites);
            node.recipes = vec![recipe];
            (node.file, node.line) = (rule.file.clone(), rule.line);
        }
    }

    fn apply_patterns(&mut self, notes: &mut Notes) {
        let mut at = 0;
        while at < self.nodes.len() && !self.makefile.variables.is_spent() {
            let node = &self.nodes[at];
            if node.recipes.is_empty()
                && !node.is_phony
                && self.indices.get(&node.target) == Some(&at)
                && let Some((pattern, made)) = self.implicit(&node.target, CHAIN_MAX)
            {
                self.use_pattern(pattern, notes);
                let node = &mut self.nodes[at];
                node.prerequisites.splice(0..0, made.prerequisites);
                node.order_only.extend(made.order_only);
                node.recipes = made.recipes;
                node.uncached = node.uncached.or(made.uncached);
                self.join(&made.target, &made.siblings, notes);
            }
            let node = &self.nodes[at];
            let needed = node.prerequisites.iter().chain(&node.order_only);
            let missing = needed.filter(|name| !self.is_file(name) && self.node(name).is_none());
            for name in missing.cloned().collect::<Vec<_>>() {
                // A pattern for several targets may have made it meanwhile.
                if self.node(&name).is_none()
                    && let Some((pattern, mut made)) = self.implicit(&name, CHAIN_MAX)
                {
                    self.use_pattern(pattern, notes);
                    self.indices.insert(name.clone(), self.nodes.len());
                    let siblings = std::mem::take(&mut made.siblings);
                    self.nodes.push(made);
                    self.join(&name, &siblings, notes);
                }
            }
            at += 1;
        }
    }

    fn use_pattern(&mut self, pattern: usize, notes: &mut Notes) {
        self.used.insert(pattern);
        let rule = &self.patterns[pattern];
        if rule.line.is_none() {
            let what = format!(
                "{}: {}",
                rule.targets.join(" "),
                rule.prerequisites.join(" ")
            );
            let why = "a rule of make itself: it is written out";
            notes.add(&self.makefile.file, None, what, why);
        }
    }

    /// The target that the best pattern makes: the one whose `%` stands for the least.
    fn implicit(&self, target: &str, chain: usize) -> Option<(usize, Node)> {
        let mut best: Option<(usize, usize, Node)> = None;
        for (index, rule) in self.patterns.iter().enumerate() {
            self.makefile.variables.spend(PATTERN_COST);
            if self.makefile.variables.is_spent() {
                return None;
            }
            for pattern in &rule.targets {
                let Some((folder, stem)) = matched(pattern, target) else {
                    continue;
                };
                let is_better = best
                    .as_ref()
                    .is_none_or(|&(_, length, _)| stem.len() < length);
                if !is_better || rule.recipe.is_empty() {
                    continue;
                }
                let fill = |words: &[String]| -> Vec<String> {
                    let full = |word: &String| match word.contains('%') {
                        true => format!("{folder}{}", word.replacen('%', stem, 1)),
                        false => word.clone(),
                    };
                    words.iter().map(full).collect()
                };
                let prerequisites = fill(&rule.prerequisites);
                if !prerequisites
                    .iter()
                    .all(|name| name != target && self.can_be(name, chain))
                {
                    continue;
                }
                let mut siblings = fill(&rule.targets);
                siblings.retain(|sibling| sibling != target);
                let recipe = Recipe {
                    lines: rule.recipe.clone(),
                    stem: format!("{folder}{stem}"),
                    own: None,
                };
                let node = Node {
                    target: target.to_owned(),
                    siblings,
                    file: rule.file.clone(),
                    line: rule.line,
                    prerequisites,
                    order_only: fill(&rule.order_only),
                    recipes: vec![recipe],
                    uncached: rule.is_unknown.then_some(UNKNOWN),
                    ..Node::default()
                };
                best = Some((index, stem.len(), node));
            }
        }
        best.map(|(index, _, node)| (index, node))
    }

    fn can_be(&self, name: &str, chain: usize) -> bool {
        self.is_file(name)
            || self.node(name).is_some()
            || chain > 1 && self.implicit(name, chain - 1).is_some()
    }

    fn tell(&self, notes: &mut Notes) {
        for (index, rule) in self.makefile.patterns.iter().enumerate() {
            if !self.used.contains(&index) {
                let why = "left out: nothing that the makefile names is made by it from a file that \
                           is there";
                notes.add(&rule.file, rule.line, rule.targets.join(" "), why);
            }
        }
        for name in self
            .makefile
            .phony
            .iter()
            .filter(|name| self.node(name).is_none())
        {
            let why = "left out: it is declared phony and has no rule";
            notes.add(&self.makefile.file, None, name.as_str(), why);
        }
        let is_named = self.makefile.variables.is_defined(".DEFAULT_GOAL");
        let mut nodes = self.nodes.iter().filter(|_| !is_named);
        if let Some(first) = nodes.find(|node| !node.target.starts_with('.')) {
            let why = "`make` alone makes it; a run of tasks names what it wants";
            notes.add(&first.file, first.line, first.target.as_str(), why);
        }
    }
}

/// The folder that a pattern leaves aside, and what its `%` stands for.
fn matched<'t>(pattern: &str, target: &'t str) -> Option<(&'t str, &'t str)> {
    if let Some(stem) = stem(pattern, target) {
        return Some(("", stem)).filter(|_| !stem.is_empty());
    }
    let at = target.rfind('/').filter(|_| !pattern.contains('/'))? + 1;
    let stem = stem(pattern, &target[at..]).filter(|stem| !stem.is_empty())?;
    Some((&target[..at], stem))
}
