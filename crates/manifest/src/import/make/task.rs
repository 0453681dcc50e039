//! One target as a task.

use super::evidence::Evidence;
use super::expand::{Locals, Scope};
use super::functions::stem;
use super::plan::{Node, Plan, Recipe};
use super::recipe::{self, Shell};
use super::rule::{Makefile, TargetVariable};
use crate::import::draft::{Run, Task, always_passed, extend_new, push_new};
use crate::import::glob;
use crate::import::name::{Names, is_variable};
use crate::import::notes::Notes;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of the function `shell`.
pub(super) const PROGRAM: &str =
    "runs in each task that uses it; what it prints is no part of a key";

/// Writes targets down.
pub(super) struct Drafter<'m> {
    makefile: &'m Makefile<'m>,
    plan: &'m Plan<'m>,
    names: &'m Names,
    /// What speaks for it that targets are files.
    evidence: BTreeMap<&'m str, Evidence>,
}

impl<'m> Drafter<'m> {
    pub(super) fn new(makefile: &'m Makefile<'m>, plan: &'m Plan<'m>, names: &'m Names) -> Self {
        let mut drafter = Self {
            makefile,
            plan,
            names,
            evidence: BTreeMap::new(),
        };
        let files = plan.nodes.iter().filter(|node| !node.is_phony);
        for node in files.filter(|node| !node.recipes.is_empty() && !plan.is_folder(node)) {
            let run = drafter.run(node, &mut Notes::default());
            let evidence = Evidence::of(node, &run);
            drafter.evidence.insert(&node.target, evidence);
        }
        // All of it is met again where it is written down.
        makefile.variables.met();
        drafter
    }

    /// Whether make runs what needs this target whenever it is asked to.
    fn is_never_there(&self, needed: &Node) -> bool {
        let evidence = self.evidence.get(needed.target.as_str());
        self.plan.is_never_there(needed) || evidence == Some(&Evidence::None)
    }

    /// The task of a target.
    pub(super) fn task(&self, node: &Node, notes: &mut Notes) -> Task {
        let mut task = Task {
            name: self.names.get(&node.target),
            ..Task::default()
        };
        if node.is_phony && task.name != node.target {
            let why = format!("the task is called `{}`", task.name);
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
        self.needs(node, &mut task, notes);
        self.recipe(node, &mut task, notes);
        self.makes(node, &mut task, notes);
        if matches!(task.run, Run::Nothing) {
            task.env.clear();
        } else {
            task.pass_env.extend(always_passed());
        }
        task.pass_env.retain(|name| !task.env.contains(name));
        if task.is_uncached && node.is_phony {
            task.inputs = None;
        }
        task
    }

    fn needs(&self, node: &Node, task: &mut Task, notes: &mut Notes) {
        let mut inputs = Vec::new();
        let is_own = |name: &String| *name == node.target || node.siblings.contains(name);
        for name in node.prerequisites.iter().filter(|&name| !is_own(name)) {
            let needed = self.plan.node(name);
            if needed.is_some_and(|needed| self.is_never_there(needed)) {
                self.always_runs(node, name, task, notes);
                continue;
            }
            if needed.is_some_and(|needed| self.plan.is_folder(needed)) {
                continue;
            }
            let Some(path) = inside(name) else {
                let why = "left out of `inputs`: it is no file of the workspace";
                notes.add(&node.file, node.line, name.as_str(), why);
                continue;
            };
            if needed.is_none() && !self.plan.is_file(name) {
                let why = "an input although there is neither such a file nor a rule for it";
                notes.add(&node.file, node.line, name.as_str(), why);
            }
            inputs.push(glob::escaped(&path));
        }
        for name in &node.order_only {
            if self.plan.node(name).is_none() && !self.plan.is_there(name) {
                let why = "left out: there is neither such a file nor a rule for it";
                notes.add(&node.file, node.line, name.as_str(), why);
            }
        }
        let needed = node.prerequisites.iter().chain(&node.order_only);
        let needed = needed.filter_map(|name| self.plan.node(name));
        let needed = needed.filter(|needed| needed.target != node.target);
        extend_new(
            &mut task.after,
            needed.map(|needed| self.names.get(&needed.target)),
        );
        self.headers(&mut inputs, notes);
        let all = task.inputs.get_or_insert_default();
        extend_new(all, inputs);
    }

    /// A target that needs what is never there is made whenever make looks at it.
    fn always_runs(&self, node: &Node, name: &str, task: &mut Task, notes: &mut Notes) {
        task.is_uncached = true;
        if !node.is_phony && !node.recipes.is_empty() {
            let why = format!(
                "never cached: it needs `{name}`, which is no file, so make always runs it"
            );
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
    }

    /// What the compiler would find out, taken as broadly as it may be.
    fn headers(&self, inputs: &mut Vec<String>, notes: &mut Notes) {
        const SOURCES: [&str; 4] = [".c", ".cc", ".cpp", ".cxx"];
        let is_source = |input: &String| SOURCES.iter().any(|suffix| input.ends_with(suffix));
        let Some(line) = self.makefile.found_dependencies else {
            return;
        };
        if inputs.iter().any(is_source) {
            push_new(inputs, "**/*.{h,hh,hpp}");
        }
        let why = "not read: every header is an input of what is compiled";
        notes.add(
            &self.makefile.file,
            line,
            "dependencies found by the compiler",
            why,
        );
    }

    fn makes(&self, node: &Node, task: &mut Task, notes: &mut Notes) {
        let is_nothing = matches!(task.run, Run::Nothing);
        if node.is_phony || is_nothing || self.plan.is_folder(node) {
            task.is_uncached = true;
            return;
        }
        if let Some(why) = node.uncached {
            task.is_uncached = true;
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
        let evidence = self.evidence.get(node.target.as_str());
        if let Some(why) = evidence.and_then(Evidence::note) {
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
        if self.is_never_there(node) {
            task.is_uncached = true;
            return;
        }
        for target in std::iter::once(&node.target).chain(&node.siblings) {
            match inside(target) {
                Some(path) => push_new(&mut task.outputs, glob::escaped(&path)),
                None => {
                    task.is_uncached = true;
                    let why =
                        "no output, and the task is not cached: it is no file of the workspace";
                    notes.add(&node.file, node.line, target.as_str(), why);
                }
            }
        }
        if node.lines().any(|line| runs_make(line)) {
            task.is_uncached = true;
        }
    }

    /// What a target runs.
    fn run(&self, node: &Node, notes: &mut Notes) -> Run {
        let mut lines = Vec::new();
        for recipe in &node.recipes {
            let locals = self.locals(node, recipe, notes);
            let expand =
                |text: &String| self.makefile.variables.expand(text, Scope::recipe(&locals));
            lines.extend(recipe.lines.iter().map(expand));
        }
        let locals = self.first_locals(node, notes);
        // Whatever is in it, a folder that needs nothing is made only where it is not there.
        let is_once = node.prerequisites.is_empty() && !node.is_phony && self.plan.is_folder(node);
        let unless = is_once.then_some(node.target.as_str());
        recipe::run(&lines, &self.shell(Scope::recipe(&locals)), unless)
    }

    fn first_locals(&self, node: &Node, notes: &mut Notes) -> Locals {
        let first = node.recipes.first().cloned().unwrap_or_default();
        self.locals(node, &first, notes)
    }

    fn recipe(&self, node: &Node, task: &mut Task, notes: &mut Notes) {
        task.run = self.run(node, notes);
        let locals = self.first_locals(node, &mut Notes::default());
        let met = self.makefile.variables.met();
        for program in met.programs {
            notes.add(&node.file, node.line, program, PROGRAM);
        }
        for reference in met.unsupported {
            let why = "taken as empty: this import does not evaluate it";
            notes.add(&node.file, node.line, reference, why);
        }
        task.env.extend(met.undefined);
        for (name, &line) in &self.makefile.exported {
            if !self.makefile.variables.is_defined(name) {
                task.env
                    .extend(Some(name.clone()).filter(|name| is_variable(name)));
                continue;
            }
            let value = self
                .makefile
                .variables
                .expand(&format!("$({name})"), Scope::text(&locals));
            if value.contains("$(") || value.contains('\n') || !is_variable(name) {
                let why = "not exported: its value is known only when it runs";
                notes.add(&self.makefile.file, line, name.as_str(), why);
            } else {
                task.env.insert(format!("{name}={value}"));
            }
        }
        self.makefile.variables.met();
        self.tell_recipe(node, notes);
    }

    /// Notes what a recipe means to make only.
    fn tell_recipe(&self, node: &Node, notes: &mut Notes) {
        let written: Vec<&str> = node.lines().map(String::as_str).collect();
        let written = written.join("\n");
        if runs_make(&written) {
            let why = "it runs make again: the tasks of that makefile are not carried over";
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
        let written = written.replace("$$", "");
        if written.contains("$?") || written.contains("$(?") || written.contains("${?") {
            let why = "`$?` holds every prerequisite: which are newer is not told";
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
        if !node.siblings.is_empty() {
            let why = format!("one task makes it with {}", node.siblings.join(", "));
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
        if node.recipes.len() > 1 && self.makefile.is_one_shell {
            let why = "one shell reads its recipes after each other";
            notes.add(&node.file, node.line, node.target.as_str(), why);
        }
    }

    fn shell(&self, scope: Scope<'_>) -> Shell {
        let variables = &self.makefile.variables;
        let or = |name: &str, default: &str| match variables.is_defined(name) {
            true => variables.expand(&format!("$({name})"), scope),
            false => default.to_owned(),
        };
        let mut words = or("SHELL", "/bin/sh")
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        if words.is_empty() {
            words.push("/bin/sh".to_owned());
        }
        let program = words.remove(0);
        words.extend(
            or(".SHELLFLAGS", "-c")
                .split_whitespace()
                .map(str::to_owned),
        );
        Shell {
            program,
            flags: words,
            is_one: self.makefile.is_one_shell,
        }
    }

    /// The automatic variables, and those that have a value of their own for the target.
    fn locals(&self, node: &Node, recipe: &Recipe, notes: &mut Notes) -> Locals {
        let prerequisites = recipe.own.as_ref().unwrap_or(&node.prerequisites);
        let unique = prerequisites.join(" ");
        let first = prerequisites.first().cloned().unwrap_or_default();
        let mut locals = Locals::new();
        for (name, value) in [
            ("@", node.target.clone()),
            ("<", first),
            ("^", unique.clone()),
            ("+", unique.clone()),
            ("?", unique),
            ("*", recipe.stem.clone()),
            ("|", node.order_only.join(" ")),
            ("%", String::new()),
        ] {
            locals.insert(name.to_owned(), value);
        }
        for variable in &self.makefile.target_variables {
            if stem(&variable.target, &node.target).is_some() {
                let value = self.target_value(variable, &locals);
                locals.insert(variable.name.clone(), value);
                self.tell_target_variable(variable, node, notes);
            }
        }
        locals
    }

    fn target_value(&self, variable: &TargetVariable, locals: &Locals) -> String {
        let variables = &self.makefile.variables;
        let own = variables.expand(&variable.text, Scope::recipe(locals));
        let is_known = locals.contains_key(&variable.name) || variables.is_defined(&variable.name);
        let old = || variables.expand(&format!("$({})", variable.name), Scope::recipe(locals));
        match variable.operator.as_str() {
            "+=" if is_known => format!("{} {own}", old()),
            "?=" if is_known => old(),
            "!=" => format!("$({own})"),
            _ => own,
        }
    }

    fn tell_target_variable(&self, variable: &TargetVariable, node: &Node, notes: &mut Notes) {
        let needed: BTreeSet<&String> = node.prerequisites.iter().chain(&node.order_only).collect();
        if needed
            .into_iter()
            .any(|name| self.plan.node(name).is_some())
        {
            let what = format!("{}: {}", variable.target, variable.name);
            let why =
                "holds for this target only: make hands it to what the target waits for as well";
            notes.add(&variable.file, variable.line, what, why);
        }
    }
}

/// The path of a file of the workspace, in its shortest form.
fn inside(name: &str) -> Option<String> {
    glob::normal(name).filter(|path| !path.is_empty() && !name.starts_with('/'))
}

fn runs_make(text: &str) -> bool {
    text.contains("$(MAKE)") || text.contains("${MAKE}")
}
