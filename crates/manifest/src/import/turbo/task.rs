//! One task of one package.

use super::definition::{Definition, Field, Word};
use super::graph::{Graph, Key};
use super::settings::Settings;
use crate::import::draft::{Run, Task, always_passed, push_new};
use crate::import::name::is_variable;
use crate::import::notes::Notes;
use crate::import::{glob, json};
use std::collections::BTreeSet;

/// Writes the tasks of one package down.
pub(super) struct Drafter<'a> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) settings: &'a Settings,
    pub(super) index: usize,
}

const DEFAULT: &str = "$TURBO_DEFAULT$";
/// What stands before a path from the workspace's root.
pub(super) const ROOT: &str = "$TURBO_ROOT$/";

/// What frameworks read from the environment, which turbo finds out by itself.
const FRAMEWORKS: [(&str, &str); 7] = [
    ("next", "NEXT_PUBLIC_*"),
    ("vite", "VITE_*"),
    ("react-scripts", "REACT_APP_*"),
    ("astro", "PUBLIC_*"),
    ("nuxt", "NUXT_*"),
    ("gatsby", "GATSBY_*"),
    ("@sveltejs/kit", "PUBLIC_*"),
];

impl<'a> Drafter<'a> {
    /// The task of a script.
    pub(super) fn task(&self, key: Key<'a>, notes: &mut Notes) -> Task {
        let packages = self.graph.packages;
        let mut task = Task {
            name: packages.tasks.get(key.1),
            run: Run::Command(packages.manager.command(key.1)),
            after: self.graph.after(key, notes),
            ..Task::default()
        };
        let Some(definition) = self.graph.definition(key) else {
            return task;
        };
        if task.name != key.1 {
            let why = format!("the task is called `{}`", task.name);
            notes.add(&definition.file, definition.line, key.1, why);
        }
        task.is_uncached = definition.says("cache", "false");
        task.is_persistent = definition.says("persistent", "true");
        self.outputs(definition, &mut task, notes);
        self.environment(definition, &mut task, notes);
        if !task.is_uncached || definition.fields.contains_key("inputs") {
            task.inputs = Some(self.inputs(key, definition, &task, notes));
        }
        if !task.is_uncached {
            self.tell_frameworks(notes);
        }
        for (name, field) in &definition.fields {
            tell_field(name, field, notes);
        }
        task
    }

    fn folder(&self, index: usize) -> &str {
        &self.graph.packages.list[index].folder
    }

    fn outputs(&self, definition: &Definition, task: &mut Task, notes: &mut Notes) {
        for text in definition.texts("outputs") {
            if task.is_persistent {
                let why = "left out: a task that stays up has no outputs";
                tell(definition, "outputs", text, why, notes);
                continue;
            }
            match self
                .path(text)
                .filter(|path| !path.trim_start_matches('!').starts_with('/') && path != "**")
            {
                Some(path) => push_new(&mut task.outputs, glob::optional(&path)),
                None => {
                    // Without all of its outputs, a result cannot be restored.
                    task.is_uncached = true;
                    let why = "left out, and the task is not cached: an output is a part of the \
                               project's own folder";
                    tell(definition, "outputs", text, why, notes);
                }
            }
        }
    }

    fn inputs(
        &self,
        key: Key<'a>,
        definition: &Definition,
        task: &Task,
        notes: &mut Notes,
    ) -> Vec<String> {
        let upstream = self.graph.upstream(key);
        let mut from_others = Vec::new();
        for &other in &upstream.tasks {
            for output in self.outputs_of(other) {
                push_new(&mut from_others, self.seen(other.0, &output));
            }
        }
        let mut inputs = Vec::new();
        let written = definition.texts("inputs");
        if written.is_empty() || written.contains(&DEFAULT) {
            inputs.extend(self.files_of(self.index));
            inputs.retain(|input| {
                !from_others
                    .iter()
                    .any(|other| input.strip_prefix('!') == Some(other))
            });
        } else {
            inputs.push("package.json".to_owned());
        }
        let written = written.into_iter().chain(definition.texts("dotEnv"));
        for text in written.filter(|&text| text != DEFAULT) {
            match self.path(text) {
                Some(path) if inputs.contains(&path) => {}
                Some(path) => push_new(&mut inputs, glob::optional(&path)),
                None => {
                    let why = "left out: it is no pattern in the workspace";
                    tell(definition, "inputs", text, why, notes);
                }
            }
        }
        inputs.extend(from_others.iter().map(|other| glob::optional(other)));
        for &other in upstream.sources.iter().filter(|_| !task.is_uncached) {
            for pattern in self.files_of(other) {
                push_new(&mut inputs, self.seen(other, &pattern));
            }
        }
        self.settings
            .inputs
            .iter()
            .for_each(|input| push_new(&mut inputs, input.clone()));
        inputs
    }

    /// The files of a package: all but what is made there.
    fn files_of(&self, index: usize) -> Vec<String> {
        let any_depth = if index == 0 { "**/" } else { "" };
        let mut patterns = vec!["**".to_owned()];
        for folder in ["node_modules", ".turbo"] {
            patterns.push(format!("!{any_depth}{folder}/**"));
        }
        let makers = if index == 0 {
            0..self.graph.packages.list.len()
        } else {
            index..index + 1
        };
        for maker in makers {
            for key in self.graph.tasks(maker) {
                let outputs = self.outputs_of(key);
                for output in outputs.iter().filter(|output| !output.starts_with('!')) {
                    let folder = if index == 0 { self.folder(maker) } else { "" };
                    push_new(&mut patterns, format!("!{}", glob::join(folder, output)));
                }
            }
        }
        patterns
    }

    fn outputs_of(&self, key: Key<'a>) -> Vec<String> {
        let other = Drafter {
            index: key.0,
            ..*self
        };
        let texts = self
            .graph
            .definition(key)
            .map(|definition| definition.texts("outputs"));
        let paths = texts
            .unwrap_or_default()
            .into_iter()
            .filter_map(|text| other.path(text));
        paths
            .filter(|path| !path.trim_start_matches('!').starts_with('/') && path != "**")
            .collect()
    }

    /// A pattern of another package as this one writes it.
    fn seen(&self, other: usize, pattern: &str) -> String {
        if other == self.index {
            return pattern.to_owned();
        }
        let (mark, path) = marked(pattern);
        format!("{mark}/{}", glob::join(self.folder(other), path))
    }

    /// A path or pattern as a manifest writes it.
    fn path(&self, text: &str) -> Option<String> {
        let (mark, path) = marked(text);
        let folder = self.folder(self.index);
        let path = match path.strip_prefix(ROOT) {
            Some(path) => glob::normal(path)?,
            None => glob::normal(&glob::join(folder, path))?,
        };
        let own = match path.strip_prefix(folder) {
            Some(own) if folder.is_empty() || own.is_empty() => Some(own),
            Some(own) => own.strip_prefix('/'),
            None => None,
        };
        Some(match own {
            Some(own) => format!("{mark}{}", glob::pattern(own)?),
            None => format!("{mark}/{}", glob::pattern(&path)?),
        })
    }

    fn environment(&self, definition: &Definition, task: &mut Task, notes: &mut Notes) {
        let field = |name: &str| {
            definition
                .fields
                .get(name)
                .map(Field::words)
                .unwrap_or_default()
        };
        let legacy = field("dependsOn").into_iter().filter_map(|word| {
            let text = word.text.strip_prefix('$')?.to_owned();
            Some(Word { text, ..word })
        });
        let env = self
            .settings
            .env
            .iter()
            .cloned()
            .chain(legacy)
            .chain(field("env"));
        task.env = variables(&env.collect::<Vec<_>>(), notes);
        let passed = self
            .settings
            .pass_env
            .iter()
            .cloned()
            .chain(field("passThroughEnv"));
        task.pass_env = variables(&passed.collect::<Vec<_>>(), notes);
        task.pass_env.extend(always_passed());
        task.pass_env.retain(|name| !task.env.contains(name));
    }

    fn tell_frameworks(&self, notes: &mut Notes) {
        let package = &self.graph.packages.list[self.index];
        for (framework, variables) in FRAMEWORKS {
            if package.dependencies.contains(framework) {
                let why = format!(
                    "turbo lets `{variables}` through and watches it for {framework}; name those \
                     variables under `env`"
                );
                notes.add(&package.file, None, framework, why);
            }
        }
    }
}

/// The names in a list of variables. What a list of names cannot say is noted.
fn variables(words: &[Word], notes: &mut Notes) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for Word { file, line, text } in words {
        if let Some(excluded) = text.strip_prefix('!') {
            if !names.remove(excluded) {
                let why = "not carried over: only named variables are let through anyway";
                notes.add(file, *line, text.as_str(), why);
            }
        } else if !is_variable(text) {
            let why = "not carried over: name each variable";
            notes.add(file, *line, text.as_str(), why);
        } else {
            names.insert(text.clone());
        }
    }
    names
}

fn marked(text: &str) -> (&'static str, &str) {
    text.strip_prefix('!')
        .map_or(("", text), |path| ("!", path))
}

fn tell(definition: &Definition, field: &str, text: &str, why: &str, notes: &mut Notes) {
    if let Some(field) = definition.fields.get(field) {
        notes.add(&field.file, field.line, text, why);
    }
}

/// Notes a field that a manifest has no word for.
fn tell_field(name: &str, field: &Field, notes: &mut Notes) {
    let is_boolean = json::is_word(&field.node, "true") || json::is_word(&field.node, "false");
    let is_list = !json::is_mixed(&field.node);
    let is_null = json::is_word(&field.node, "null");
    let why = match name {
        "dependsOn" | "inputs" | "outputs" | "env" | "passThroughEnv" | "dotEnv"
            if is_list || is_null =>
        {
            return;
        }
        "cache" | "persistent" | "extends" if is_boolean => return,
        "dependsOn" | "inputs" | "outputs" | "env" | "passThroughEnv" | "dotEnv" => {
            "not carried over in full: a list of texts belongs there"
        }
        "cache" | "persistent" => "not carried over: it is neither true nor false",
        "interactive" | "interruptible" if json::is_word(&field.node, "false") => return,
        "outputLogs" | "outputMode" => {
            "not carried over: how much of the output is shown is no property of a task"
        }
        "interactive" => "not carried over: a task is not given the terminal",
        "interruptible" => "not carried over: tasks are not started again while they run",
        "with" => "not carried over: name both tasks where one is started",
        "description" => "not carried over: write it as a comment",
        _ => "not carried over: this key is not understood",
    };
    notes.add(&field.file, field.line, name, why);
}
