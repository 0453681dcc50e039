//! A workspace of JavaScript packages: who they are, what they can run, and which uses which.

use super::draft::push_new;
use super::name::{Names, free, mapped};
use super::notes::Notes;
use super::{ImportError, Workspace, glob, json};
use crate::yaml::Node;
use std::collections::{BTreeMap, BTreeSet};

/// The files that say it.
pub(super) const FILES: [&str; 2] = [ROOT, PNPM];

const ROOT: &str = "package.json";
const PNPM: &str = "pnpm-workspace.yaml";
const DEPENDENCIES: [&str; 4] = [
    "dependencies",
    "devDependencies",
    "peerDependencies",
    "optionalDependencies",
];

/// All packages of a workspace.
#[derive(Debug)]
pub(super) struct Packages {
    pub(super) manager: Manager,
    /// What pins the packages from outside, where there is such a file.
    pub(super) lockfile: Option<&'static str>,
    /// Where projects are, as a manifest says it.
    pub(super) projects: Vec<String>,
    /// The root's first.
    pub(super) list: Vec<Package>,
    /// What scripts are called as tasks.
    pub(super) tasks: Names,
}

/// One package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) folder: String,
    /// Its `package.json`.
    pub(super) file: String,
    pub(super) name: String,
    /// What it is called as a project.
    pub(super) project: String,
    pub(super) scripts: Vec<Script>,
    /// Everything that it depends on, from inside and outside.
    pub(super) dependencies: BTreeSet<String>,
    /// The packages of the workspace that it depends on.
    pub(super) uses: Vec<usize>,
}

/// A line of a package's scripts.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) line: u32,
}

/// Who runs scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Npm,
    /// With its major version, where that is known.
    Pnpm(Option<u32>),
    YarnClassic,
    Yarn,
    Bun,
}

impl Manager {
    /// The command that runs a script.
    pub(super) fn command(self, script: &str) -> Vec<String> {
        ["run", script]
            .iter()
            .fold(vec![self.program().to_owned()], |mut words, word| {
                words.push((*word).to_owned());
                words
            })
    }

    /// Its program.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm(_) => "pnpm",
            Self::YarnClassic | Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }

    /// Whether it runs `prebuild` and `postbuild` around `build`.
    pub(super) fn runs_hooks(self) -> bool {
        match self {
            Self::Npm | Self::YarnClassic | Self::Bun => true,
            Self::Pnpm(version) => version.is_none_or(|version| !(6..9).contains(&version)),
            Self::Yarn => false,
        }
    }

    fn of(root: &Node, workspace: &Workspace) -> Self {
        let has = |file: &str| workspace.files.contains(file);
        let declared = json::get(root, "packageManager").and_then(json::text);
        let (name, version) = declared
            .and_then(|text| text.split_once('@'))
            .unwrap_or((declared.unwrap_or_default(), ""));
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        match name {
            "npm" => Self::Npm,
            "pnpm" => Self::Pnpm(major),
            "yarn" if major == Some(1) => Self::YarnClassic,
            "yarn" => Self::Yarn,
            "bun" => Self::Bun,
            _ if has("pnpm-lock.yaml") || has(PNPM) => Self::Pnpm(None),
            _ if has("yarn.lock") && has(".yarnrc.yml") => Self::Yarn,
            _ if has("yarn.lock") => Self::YarnClassic,
            _ if has("bun.lock") || has("bun.lockb") => Self::Bun,
            _ => Self::Npm,
        }
    }

    fn lockfile(self, workspace: &Workspace) -> Option<&'static str> {
        let names: &[&'static str] = match self {
            Self::Npm => &["package-lock.json", "npm-shrinkwrap.json"],
            Self::Pnpm(_) => &["pnpm-lock.yaml"],
            Self::YarnClassic | Self::Yarn => &["yarn.lock"],
            Self::Bun => &["bun.lock", "bun.lockb"],
        };
        names
            .iter()
            .copied()
            .find(|&name| workspace.files.contains(name))
    }
}

impl Packages {
    /// Reads every package of the workspace.
    pub(super) fn read(workspace: &Workspace, notes: &mut Notes) -> Result<Self, ImportError> {
        let text = workspace
            .texts
            .get(ROOT)
            .ok_or(ImportError::Missing { file: ROOT })?;
        let root = json::parse(ROOT, text, notes)?;
        let manager = Manager::of(&root, workspace);
        let patterns = patterns(&root, workspace, notes)?;
        let mut list = vec![Package::read("", &root, &workspace.name, notes)];
        for (file, text) in &workspace.texts {
            let Some(folder) = file.strip_suffix("/package.json") else {
                continue;
            };
            if is_member(folder, &patterns) {
                let node = json::parse(file, text, notes)?;
                list.push(Package::read(folder, &node, folder, notes));
            }
        }
        name_projects(&mut list);
        connect(&mut list);
        let scripts = list.iter().flat_map(|package| &package.scripts);
        Ok(Self {
            manager,
            lockfile: manager.lockfile(workspace),
            projects: projects(&patterns, &list),
            tasks: Names::new(scripts.map(|script| script.name.as_str())),
            list,
        })
    }

    /// The projects that a package depends on.
    pub(super) fn used_projects(&self, package: &Package) -> Vec<String> {
        package
            .uses
            .iter()
            .map(|&index| self.list[index].project.clone())
            .collect()
    }
}

impl Package {
    fn read(folder: &str, node: &Node, nameless: &str, notes: &mut Notes) -> Self {
        let file = glob::join(folder, ROOT);
        let mut scripts = Vec::new();
        for (key, value) in json::map(&file, node, "scripts", notes) {
            let (name, line) = (key.text.clone(), key.at.line);
            if name.trim().is_empty() || name.contains('\0') {
                let why = "not carried over: no command line can name it";
                notes.add(&file, line, format!("{name:?}"), why);
            } else if json::is_string(value) {
                scripts.push(Script { name, line });
            } else {
                notes.add(&file, line, name, "not carried over: a script is a text");
            }
        }
        let groups = DEPENDENCIES.iter();
        let groups = groups.flat_map(|group| json::map(&file, node, group, notes));
        let dependencies = groups.map(|(key, _)| key.text.clone()).collect();
        let named = json::get(node, "name").filter(|name| json::is_string(name));
        let name = named.and_then(json::text).filter(|name| !name.is_empty());
        let name = name.unwrap_or(nameless);
        Self {
            folder: folder.to_owned(),
            file,
            name: name.to_owned(),
            project: String::new(),
            scripts,
            dependencies,
            uses: Vec::new(),
        }
    }

    /// Its script of this name.
    pub(super) fn script(&self, name: &str) -> Option<&Script> {
        self.scripts.iter().find(|script| script.name == name)
    }
}

/// Where the workspace says that packages are.
fn patterns(
    root: &Node,
    workspace: &Workspace,
    notes: &mut Notes,
) -> Result<Vec<String>, ImportError> {
    let pnpm = workspace
        .texts
        .get(PNPM)
        .filter(|text| !text.trim().is_empty());
    let pnpm = pnpm
        .map(|text| json::parse_yaml(PNPM, text, notes))
        .transpose()?;
    let (file, key) = match &pnpm {
        Some(_) => (PNPM, "packages"),
        None => (ROOT, "workspaces"),
    };
    let listed = json::get(pnpm.as_ref().unwrap_or(root), key);
    // In a package.json, the list may stand in an object.
    let listed = listed.map(|node| json::get(node, "packages").unwrap_or(node));
    if let Some(node) = listed.filter(|&node| json::is_mixed(node)) {
        let why = "not carried over in full: a list of texts belongs there";
        notes.add(file, node.at.line, key, why);
    }
    let patterns = listed.map(json::texts).unwrap_or_default();
    Ok(patterns.into_iter().map(trimmed).collect())
}

fn trimmed(pattern: &str) -> String {
    let (mark, path) = match pattern.strip_prefix('!') {
        Some(path) => ("!", path),
        None => ("", pattern),
    };
    let path = path.trim_start_matches("./").trim_end_matches('/');
    format!("{mark}{path}")
}

fn is_member(folder: &str, patterns: &[String]) -> bool {
    let is_match = |pattern: &str| glob::matcher(pattern).is_some_and(|glob| glob.is_match(folder));
    let is_excluded = |pattern: &String| pattern.strip_prefix('!').is_some_and(is_match);
    patterns.iter().any(|pattern| is_match(pattern)) && !patterns.iter().any(is_excluded)
}

/// The patterns themselves where they are simple, so that new packages are found; else the folders.
fn projects(patterns: &[String], list: &[Package]) -> Vec<String> {
    let is_name = |name: &str| match name {
        "" | "." | ".." => false,
        name => !name.contains("**") && !name.contains(['!', '{', '[', '?', '\\']),
    };
    let is_there = |folder: &str| list.iter().any(|package| package.folder == folder);
    let is_simple = |pattern: &String| {
        pattern.split('/').all(is_name) && (pattern.contains('*') || is_there(pattern))
    };
    let mut projects = vec![".".to_owned()];
    let folders: Vec<String> = list[1..]
        .iter()
        .map(|package| glob::escaped(&package.folder))
        .collect();
    let found = if patterns.iter().all(is_simple) {
        patterns
    } else {
        &folders
    };
    found
        .iter()
        .for_each(|item| push_new(&mut projects, item.clone()));
    projects
}

/// A project is called like its package without the scope, where that is enough to tell it.
fn name_projects(list: &mut [Package]) {
    fn short(name: &str) -> &str {
        name.rsplit('/').next().unwrap_or(name)
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for package in list.iter() {
        *counts.entry(short(&package.name).to_owned()).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    for package in list {
        let brief = short(&package.name);
        let is_unique = counts.get(brief) == Some(&1);
        let wanted = if is_unique {
            brief
        } else {
            package.name.as_str()
        };
        package.project = free(&mapped(wanted), &taken);
        taken.insert(package.project.clone());
    }
}

fn connect(list: &mut [Package]) {
    let indices: BTreeMap<String, usize> = list
        .iter()
        .enumerate()
        .map(|(index, package)| (package.name.clone(), index))
        .collect();
    for (index, package) in list.iter_mut().enumerate() {
        let found = package
            .dependencies
            .iter()
            .filter_map(|name| indices.get(name).copied());
        package.uses = found.filter(|&used| used != index).collect();
    }
}
