//! What `turbo.json` files define, and which definition holds for a package.

use crate::import::json;
use crate::import::notes::Notes;
use crate::import::packages::Packages;
use crate::yaml::{Content, Node};
use std::collections::BTreeMap;

/// A field of a definition and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) node: Node,
    /// How many of a list's items come from another file, and which: they are its first.
    inherited: Option<(usize, String)>,
}

/// A text and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) text: String,
}

impl Field {
    fn new(file: &str, line: u32, node: &Node) -> Self {
        Self {
            file: file.to_owned(),
            line,
            node: node.clone(),
            inherited: None,
        }
    }

    /// The texts of a list, with their places.
    pub(super) fn words(&self) -> Vec<Word> {
        let file = |index| match &self.inherited {
            Some((count, file)) if index < *count => file.clone(),
            _ => self.file.clone(),
        };
        let items = json::items(&self.node).iter().enumerate();
        let word = |(index, item): (usize, &Node)| {
            let text = json::text(item)?.to_owned();
            Some(Word {
                file: file(index),
                line: item.at.line,
                text,
            })
        };
        items.filter_map(word).collect()
    }

    /// Puts inherited items where a list asks for them.
    fn extend(&mut self, inherited: &Self) {
        let Content::List(items) = &mut self.node.content else {
            return;
        };
        let is_mark = |item: &Node| json::text(item) == Some(INHERITED);
        if items.iter().any(is_mark) {
            items.retain(|item| !is_mark(item));
            let others = json::items(&inherited.node);
            items.splice(0..0, others.iter().cloned());
            self.inherited = Some((others.len(), inherited.file.clone()));
        }
    }
}

/// The texts of a list outside of definitions.
pub(super) fn words(file: &str, node: &Node) -> Vec<Word> {
    Field::new(file, node.at.line, node).words()
}

/// A task as it is defined for one package.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) fields: BTreeMap<String, Field>,
}

/// All definitions, as written.
#[derive(Debug)]
pub(super) struct Definitions {
    root: BTreeMap<String, Definition>,
    packages: BTreeMap<usize, BTreeMap<String, Definition>>,
}

/// The mark that stands for what is inherited.
const INHERITED: &str = "$TURBO_EXTENDS$";

impl Definitions {
    /// Those of the root's file.
    pub(super) fn of_root(file: &str, root: &Node, notes: &mut Notes) -> Self {
        Self {
            root: read(file, root, notes),
            packages: BTreeMap::new(),
        }
    }

    /// Adds those of a package's own file.
    pub(super) fn add_package(&mut self, index: usize, file: &str, node: &Node, notes: &mut Notes) {
        self.packages.insert(index, read(file, node, notes));
    }

    /// The names of tasks that may exist in a package.
    pub(super) fn names(&self, index: usize) -> Vec<&str> {
        let own = self
            .packages
            .get(&index)
            .into_iter()
            .flat_map(BTreeMap::keys);
        let all = self.root.keys().chain(own);
        let mut names: Vec<&str> = all.map(|key| split(key).1).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What holds for a task of a package: its own fields over those of the root.
    pub(super) fn resolve(
        &self,
        packages: &Packages,
        index: usize,
        name: &str,
    ) -> Option<Definition> {
        let package = &packages.list[index];
        let is_generic = index > 0 || packages.list.len() == 1;
        let owners = if index == 0 {
            ["//", &package.name]
        } else {
            [package.name.as_str(); 2]
        };
        let special = owners
            .iter()
            .find_map(|owner| self.root.get(&format!("{owner}#{name}")));
        let inherited = special.or_else(|| self.root.get(name).filter(|_| is_generic));
        let own = self.packages.get(&index).and_then(|own| own.get(name));
        match (inherited, own) {
            (Some(inherited), Some(own)) if !own.is_alone() => Some(own.over(inherited)),
            (_, Some(own)) => Some(own.clone()),
            (inherited, None) => inherited.cloned(),
        }
    }

    /// Notes definitions that no package makes a task of.
    pub(super) fn tell_unused(&self, packages: &Packages, notes: &mut Notes) {
        for (key, definition) in &self.root {
            let (owner, name) = split(key);
            let is_known = |owner: &str| {
                owner == "//" || packages.list.iter().any(|package| package.name == owner)
            };
            let is_owner = |package: &str, index: usize| match owner {
                None => true,
                Some("//") => index == 0,
                Some(owner) => owner == package,
            };
            let mut owners = packages.list.iter().enumerate();
            let has_script = owners.any(|(index, package)| {
                is_owner(&package.name, index) && package.script(name).is_some()
            });
            let why = match owner {
                Some(owner) if !is_known(owner) => {
                    format!("left out: no package is called `{owner}`")
                }
                _ if has_script => continue,
                _ => {
                    "left out as turbo does: no package has such a script; what waits for it waits \
                      for what it waits for"
                        .to_owned()
                }
            };
            notes.add(&definition.file, definition.line, key.as_str(), why);
        }
    }
}

impl Definition {
    /// The texts of a field that is a list.
    pub(super) fn texts(&self, field: &str) -> Vec<&str> {
        self.fields
            .get(field)
            .map(|field| json::texts(&field.node))
            .unwrap_or_default()
    }

    /// Whether a field says `true` or `false`, as asked.
    pub(super) fn says(&self, field: &str, word: &str) -> bool {
        self.fields
            .get(field)
            .is_some_and(|field| json::is_word(&field.node, word))
    }

    fn is_alone(&self) -> bool {
        self.says("extends", "false")
    }

    fn over(&self, inherited: &Self) -> Self {
        let mut merged = inherited.clone();
        (merged.file, merged.line) = (self.file.clone(), self.line);
        for (name, field) in &self.fields {
            let mut field = field.clone();
            if let Some(old) = inherited.fields.get(name) {
                field.extend(old);
            }
            merged.fields.insert(name.clone(), field);
        }
        merged
    }
}

/// `package#task` in its parts.
pub(super) fn split(key: &str) -> (Option<&str>, &str) {
    match key.rsplit_once('#') {
        Some((owner, name)) => (Some(owner), name),
        None => (None, key),
    }
}

fn read(file: &str, root: &Node, notes: &mut Notes) -> BTreeMap<String, Definition> {
    let entries = match json::get(root, "tasks") {
        Some(_) => json::map(file, root, "tasks", notes),
        None => json::map(file, root, "pipeline", notes),
    };
    for (key, node) in entries {
        if !matches!(node.content, Content::Map(_)) {
            let why = "taken as empty: an object belongs there";
            notes.add(file, key.at.line, key.text.as_str(), why);
        }
    }
    let definition = |node: &Node, line| {
        let fields = json::entries(node).iter();
        let fields =
            fields.map(|(key, node)| (key.text.clone(), Field::new(file, key.at.line, node)));
        Definition {
            file: file.to_owned(),
            line,
            fields: fields.collect(),
        }
    };
    let entries = entries.iter();
    entries
        .map(|(key, node)| (key.text.clone(), definition(node, key.at.line)))
        .collect()
}
