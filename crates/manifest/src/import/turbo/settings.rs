//! What `turbo.json` says about all tasks.

use super::definition::{Word, words};
use super::task::ROOT;
use crate::import::draft::ALWAYS_PASSED;
use crate::import::notes::Notes;
use crate::import::packages::Packages;
use crate::import::{glob, json};
use crate::yaml::Node;

/// The most jobs that a manifest takes.
const JOBS_MAX: u64 = 65_535;

/// Settings of the whole workspace.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Patterns from the root that are inputs of every task.
    pub(super) inputs: Vec<String>,
    pub(super) env: Vec<Word>,
    pub(super) pass_env: Vec<Word>,
    pub(super) jobs: Option<u64>,
}

impl Settings {
    /// Reads the root's file.
    pub(super) fn read(file: &str, root: &Node, packages: &Packages, notes: &mut Notes) -> Self {
        let mut settings = Self::default();
        for (key, node) in json::entries(root) {
            let line = key.at.line;
            match key.text.as_str() {
                "$schema" | "tasks" => {}
                "pipeline" => notes.add(file, line, "pipeline", LOOSE),
                "envMode" if json::text(node) == Some("loose") => {
                    notes.add(file, line, "envMode", LOOSE);
                }
                "envMode" => {}
                "globalDependencies" | "globalDotEnv" => settings.global(file, node, notes),
                "globalEnv" => settings.env.extend(words(file, node)),
                "globalPassThroughEnv" => settings.pass_env.extend(words(file, node)),
                "concurrency" => settings.concurrency(file, node, notes),
                other => notes.add(file, line, other, reason(other)),
            }
        }
        if let Some(lockfile) = packages.lockfile {
            settings.inputs.push(format!("/{lockfile}"));
            let why = "an input of every cached task: turbo looks only at what it says about the \
                       packages that the task's own package depends on";
            notes.add(lockfile, None, "dependencies", why);
        }
        let passed = ALWAYS_PASSED.join(", ");
        let why = format!(
            "of the variables that turbo always hands to tasks, {passed} are handed on here; name \
             others under `pass_env`"
        );
        notes.add(file, None, "environment", why);
        settings
    }

    fn global(&mut self, file: &str, node: &Node, notes: &mut Notes) {
        for word in words(file, node) {
            let (mark, path) = match word.text.strip_prefix('!') {
                Some(path) => ("!", path),
                None => ("", word.text.as_str()),
            };
            let path = path.strip_prefix(ROOT).unwrap_or(path);
            if let Some(name) = path.strip_prefix('$') {
                let text = name.to_owned();
                self.env.push(Word { text, ..word });
                continue;
            }
            match glob::normal(path).and_then(|path| glob::pattern(&path)) {
                Some(path) => self.inputs.push(glob::optional(&format!("{mark}/{path}"))),
                None => {
                    let why = "left out: it is no pattern in the workspace";
                    notes.add(file, word.line, path, why);
                }
            }
        }
    }

    fn concurrency(&mut self, file: &str, node: &Node, notes: &mut Notes) {
        let text = json::text(node).unwrap_or_default();
        self.jobs = text
            .parse()
            .ok()
            .filter(|jobs| (1..=JOBS_MAX).contains(jobs));
        if self.jobs.is_none() {
            let why = "not carried over: say how many tasks may run at once, such as `concurrency: \
                       {jobs: 8}`";
            notes.add(file, node.at.line, format!("concurrency: {text}"), why);
        }
    }
}

/// Notes what a package's own file says about more than its tasks.
pub(super) fn tell_package(file: &str, node: &Node, notes: &mut Notes) {
    for (key, value) in json::entries(node) {
        match key.text.as_str() {
            "$schema" | "tasks" | "pipeline" => {}
            "extends" => {
                for parent in words(file, value)
                    .iter()
                    .filter(|parent| parent.text != "//")
                {
                    let why = "not carried over: only what the root defines is inherited";
                    notes.add(file, parent.line, parent.text.as_str(), why);
                }
            }
            other => notes.add(file, key.at.line, other, reason(other)),
        }
    }
}

const LOOSE: &str = "turbo hands every variable to a task that does not name its own; here a task is \
                     given those that it names: add others under `pass_env`, or under `env` where the \
                     result depends on them";

fn reason(key: &str) -> &'static str {
    match key {
        "remoteCache" | "signature" => {
            "not carried over: where results are shared is no part of a project"
        }
        "boundaries" | "tags" => {
            "not carried over: there are no rules for which project may use which"
        }
        "ui"
        | "daemon"
        | "noUpdateNotifier"
        | "telemetry"
        | "cacheDir"
        | "cacheMaxAge"
        | "cacheMaxSize"
        | "futureFlags"
        | "dangerouslyDisablePackageManagerCheck"
        | "experimentalSpaces" => "not carried over: it is about turbo itself",
        _ => "not carried over: this key is not understood",
    }
}
