//! Reads a makefile from top to bottom, as make does: what a line means depends on those above it.

use super::expand::{Locals, Scope, Variables};
use super::functions::matching;
use super::lines::{Line, lines, outside, without_comment};
use super::rule::{Makefile, Rule, TargetVariable};
use super::syntax::{assignment, inline_recipe, is_special, modifiers, names, operands, suffixes};
use super::task::PROGRAM;
use crate::import::notes::Notes;
use crate::import::{Workspace, glob};

const INCLUDES_MAX: usize = 16;

/// Among prerequisites: those after it wait for those before it.
const WAIT: &str = ".WAIT";

/// Reads a makefile and what it includes.
pub(super) fn read<'w>(
    file: &str,
    text: &str,
    workspace: &'w Workspace,
    notes: &mut Notes,
) -> Makefile<'w> {
    let variables = Variables::new(&workspace.files);
    let mut reader = Reader {
        workspace,
        notes,
        makefile: Makefile::new(file, variables),
        file: file.to_owned(),
        branches: Vec::new(),
        rule: None,
        definition: None,
        recipe_prefix: None,
        has_unknown: false,
        depth: 0,
    };
    reader.text(text);
    reader.makefile
}

struct Reader<'r, 'w> {
    workspace: &'w Workspace,
    notes: &'r mut Notes,
    makefile: Makefile<'w>,
    file: String,
    branches: Vec<Branch>,
    /// The rule that recipe lines belong to.
    rule: Option<Rule>,
    definition: Option<Definition>,
    /// What recipe lines begin with, where that is no tab.
    recipe_prefix: Option<char>,
    /// Whether files were named that only running make could tell.
    has_unknown: bool,
    depth: usize,
}

/// A condition that is open.
struct Branch {
    is_active: bool,
    /// Whether one of its parts was read already.
    is_decided: bool,
}

/// A `define` that is open.
struct Definition {
    name: String,
    operator: String,
    lines: Vec<String>,
    inner: usize,
}

impl Reader<'_, '_> {
    fn text(&mut self, text: &str) {
        if text.contains('\0') {
            self.note(
                1,
                "NUL",
                "left out wherever it stands: it is no character of a makefile",
            );
        }
        for line in lines(&text.replace('\0', "")) {
            if self.makefile.variables.is_spent() {
                return;
            }
            self.line(&line);
        }
        self.close();
    }

    fn line(&mut self, line: &Line) {
        if self.definition.is_some() {
            return self.in_definition(line);
        }
        let is_active = self.branches.iter().all(|branch| branch.is_active);
        let recipe = match self.recipe_prefix {
            Some(prefix) => line.text.strip_prefix(prefix).filter(|_| !line.is_recipe),
            None => Some(line.text.as_str()).filter(|_| line.is_recipe),
        };
        if let (Some(recipe), Some(rule)) = (recipe, &mut self.rule) {
            if is_active {
                rule.recipe.push(recipe.to_owned());
            }
            return;
        }
        let text = without_comment(&line.text);
        let text = text.trim();
        let (word, rest) = text.split_once([' ', '\t', '(']).unwrap_or((text, ""));
        let rest = if text[word.len()..].starts_with('(') {
            &text[word.len()..]
        } else {
            rest
        };
        match word {
            "" => {}
            "ifeq" | "ifneq" | "ifdef" | "ifndef" => {
                let is_so = is_active && self.condition(word, rest.trim(), line.number);
                self.branches.push(Branch {
                    is_active: is_so,
                    is_decided: is_so || !is_active,
                });
            }
            "else" => self.otherwise(rest.trim(), line.number),
            "endif" => drop(self.branches.pop()),
            _ if !is_active => {}
            "define" => self.define(rest.trim()),
            "include" | "-include" | "sinclude" => self.include(word, rest, line.number),
            _ => {
                self.close();
                self.statement(text, &line.text, line.number);
            }
        }
    }

    fn note(&mut self, line: u32, what: &str, why: impl Into<String>) {
        let what = crate::finding::shorten(what);
        self.notes.add(&self.file, line, what, why);
    }

    fn expand(&self, text: &str) -> String {
        let locals = Locals::new();
        self.makefile.variables.expand(text, Scope::text(&locals))
    }

    /// Notes what an expansion could not follow.
    fn tell_met(&mut self, line: u32) {
        let met = self.makefile.variables.met();
        for program in met.programs {
            self.note(line, &program, PROGRAM);
        }
        for reference in met.unsupported {
            self.note(
                line,
                &reference,
                "taken as empty: this import does not evaluate it",
            );
        }
        for name in met.undefined {
            let why = "taken as empty: the makefile does not set it";
            self.note(line, &format!("$({name})"), why);
        }
    }

    fn condition(&mut self, word: &str, text: &str, line: u32) -> bool {
        let is_equal = match word {
            "ifdef" | "ifndef" => {
                let name = self.expand(text);
                let is_defined = self.makefile.variables.is_defined(name.trim());
                if !is_defined {
                    let why = "decided as if it were not set: what holds otherwise is left out";
                    self.note(line, &format!("{word} {text}"), why);
                }
                is_defined
            }
            _ => {
                let Some((a, b)) = operands(text) else {
                    self.note(line, text, "taken as false: not a condition");
                    return false;
                };
                let (a, b) = (self.expand(a), self.expand(b));
                let met = self.makefile.variables.met();
                let is_open = a.contains("$(") || b.contains("$(");
                if is_open || !met.undefined.is_empty() || !met.unsupported.is_empty() {
                    let result = if a == b { "equal" } else { "different" };
                    let why = format!(
                        "decided as {result}, without the environment and without running anything: \
                         what holds otherwise is left out"
                    );
                    self.note(line, &format!("{word} {text}"), why);
                }
                a == b
            }
        };
        is_equal == matches!(word, "ifeq" | "ifdef")
    }

    fn otherwise(&mut self, text: &str, line: u32) {
        let Some(branch) = self.branches.pop() else {
            return self.note(line, "else", "left out: no condition is open");
        };
        let is_outer_active = self.branches.iter().all(|branch| branch.is_active);
        let (word, rest) = text.split_at(text.find([' ', '\t', '(']).unwrap_or(text.len()));
        let is_so = !branch.is_decided
            && is_outer_active
            && (word.is_empty() || self.condition(word, rest.trim(), line));
        self.branches.push(Branch {
            is_active: is_so,
            is_decided: branch.is_decided || is_so,
        });
    }

    fn define(&mut self, text: &str) {
        self.close();
        let (name, operator) = text.split_once([' ', '\t']).unwrap_or((text, "="));
        let operator = operator.trim();
        self.definition = Some(Definition {
            name: name.trim_end_matches(['=', ':']).to_owned(),
            operator: if operator.is_empty() { "=" } else { operator }.to_owned(),
            lines: Vec::new(),
            inner: 0,
        });
    }

    fn in_definition(&mut self, line: &Line) {
        let Some(mut definition) = self.definition.take() else {
            return;
        };
        let word = line.text.split_whitespace().next().unwrap_or_default();
        if !line.is_recipe && word == "endef" && definition.inner == 0 {
            let Definition {
                name,
                operator,
                lines,
                ..
            } = &definition;
            return self
                .makefile
                .variables
                .assign(name, operator, &lines.join("\n"));
        }
        match word {
            "define" => definition.inner += 1,
            "endef" => definition.inner = definition.inner.saturating_sub(1),
            _ => {}
        }
        definition.lines.push(line.text.clone());
        self.definition = Some(definition);
    }

    fn include(&mut self, word: &str, text: &str, line: u32) {
        self.close();
        let names = self.expand(text);
        self.tell_met(line);
        let is_found_by_compiler = |name: &str| name.ends_with(".d");
        if names.trim().is_empty() && (text.contains(".d") || text.to_lowercase().contains("dep")) {
            self.makefile.found_dependencies = Some(line);
        }
        for name in self::names(&names) {
            let path = glob::normal(&name).unwrap_or_default();
            match self.workspace.texts.get(&path) {
                Some(text) if self.depth < INCLUDES_MAX => {
                    let outer = std::mem::replace(&mut self.file, path);
                    self.depth += 1;
                    self.text(text);
                    self.depth -= 1;
                    self.file = outer;
                }
                _ if is_found_by_compiler(&name) => {
                    self.makefile.found_dependencies = Some(line);
                }
                _ => {
                    let why = match self.workspace.files.contains(&path) {
                        true => "left out: only files called `*.mk` are read, to a depth of 16",
                        false => "left out: the file is not there",
                    };
                    self.note(line, &format!("{word} {name}"), why);
                }
            }
        }
    }

    fn statement(&mut self, text: &str, raw: &str, line: u32) {
        if let Some(names) = text.strip_prefix("unexport ") {
            for name in self.expand(names).split_whitespace() {
                self.makefile.exported.remove(name);
            }
            return;
        }
        if let Some(name) = text.strip_prefix("undefine ") {
            let name = self.expand(name);
            return self.makefile.variables.remove(name.trim());
        }
        let (is_exported, rest) = modifiers(text);
        if let Some((name, operator, text)) = assignment(rest) {
            let name = self.expand(name).trim().to_owned();
            return self.assign(&name, operator, text, is_exported, line);
        }
        if is_exported {
            let names = self.expand(rest);
            if names.trim().is_empty() {
                self.note(
                    line,
                    "export",
                    "not carried over: name the variables to export",
                );
            }
            for name in names.split_whitespace() {
                self.makefile.exported.insert(name.to_owned(), line);
            }
            return;
        }
        match outside(text, &[':']) {
            Some(at) => self.open(&text[..at], &text[at + 1..], raw, line),
            None => self.other(text, line),
        }
    }

    fn assign(&mut self, name: &str, operator: &str, text: &str, is_exported: bool, line: u32) {
        let variables = &mut self.makefile.variables;
        let is_weak = matches!(operator, "?=" | "+=") && variables.origin(name) != "file";
        variables.assign(name, operator, text);
        self.tell_met(line);
        if is_exported {
            self.makefile.exported.insert(name.to_owned(), line);
        }
        if is_weak {
            let why = "the environment has no say in it: change it here, or in the tasks";
            self.note(line, &format!("{name} {operator} {text}"), why);
        }
        match name {
            ".DEFAULT_GOAL" => {
                let why = "`make` alone makes it; a run of tasks names what it wants";
                self.note(line, text, why);
            }
            ".RECIPEPREFIX" => {
                let prefix = self.expand(text).chars().next();
                self.recipe_prefix = prefix.filter(|&prefix| prefix != '\t');
            }
            "VPATH" | "MAKEFLAGS" => {
                self.note(line, name, "not carried over: it is not followed");
            }
            _ => {}
        }
    }

    /// A line that is neither assignment nor rule: references that stand alone, or nothing known.
    fn other(&mut self, text: &str, line: u32) {
        let left = self.expand(text);
        self.tell_met(line);
        if !left.trim().is_empty() {
            self.note(
                line,
                text,
                "left out: it is neither a rule nor an assignment",
            );
        }
    }

    /// Opens a rule, or assigns for its targets only.
    fn open(&mut self, targets: &str, rest: &str, raw: &str, line: u32) {
        let is_double = rest.starts_with(':');
        let rest = rest.trim_start_matches(':');
        let (targets, is_grouped) = match targets.trim_end().strip_suffix('&') {
            Some(targets) => (targets, true),
            None => (targets, false),
        };
        let targets = self.words(targets, line);
        let (is_exported, own) = modifiers(rest.trim());
        if let Some((name, operator, text)) = assignment(own) {
            if is_exported {
                let why = "the variable is set, and not exported: export it for all";
                self.note(line, name, why);
            }
            for target in targets {
                self.makefile.target_variables.push(TargetVariable {
                    file: self.file.clone(),
                    line,
                    target,
                    name: name.to_owned(),
                    operator: operator.to_owned(),
                    text: text.to_owned(),
                });
            }
            return;
        }
        let (rest, recipe) = match outside(rest, &[';']) {
            Some(at) => (&rest[..at], inline_recipe(raw)),
            None => (rest, None),
        };
        let (pattern, rest) = match outside(rest, &[':']) {
            Some(at) => (
                self.words(&rest[..at], line).into_iter().next(),
                &rest[at + 1..],
            ),
            None => (None, rest),
        };
        self.has_unknown = false;
        let (prerequisites, order_only) = self.prerequisites(rest, line);
        self.rule = Some(Rule {
            file: self.file.clone(),
            line: Some(line),
            targets,
            pattern,
            prerequisites,
            order_only,
            recipe: recipe.into_iter().collect(),
            is_double,
            is_grouped,
            is_unknown: self.has_unknown,
        });
    }

    /// Normal prerequisites, and those that only have to be there; a variable may hold the bar between.
    fn prerequisites(&mut self, text: &str, line: u32) -> (Vec<String>, Vec<String>) {
        let at = outside(text, &['|']).unwrap_or(text.len());
        let (normal, order_only) = text.split_at(at);
        let mut normal = self.words(normal, line);
        let mut order_only = self.words(order_only.trim_start_matches('|'), line);
        if let Some(at) = normal.iter().position(|word| word == "|") {
            order_only.splice(0..0, normal.drain(at..).skip(1));
        }
        for words in [&mut normal, &mut order_only] {
            if words.iter().any(|word| word == WAIT) {
                words.retain(|word| word != WAIT);
                self.note(line, WAIT, "not carried over: say who waits under `after`");
            }
        }
        (normal, order_only)
    }

    /// The words of a list of files, wildcards resolved.
    fn words(&mut self, text: &str, line: u32) -> Vec<String> {
        let expanded = self.expand(text);
        self.tell_met(line);
        if expanded.contains('$') {
            let why = "left out: only running make could tell which files these are";
            self.note(line, text.trim(), why);
            self.has_unknown = true;
            return Vec::new();
        }
        let mut words = Vec::new();
        for word in names(&expanded) {
            let found = match glob::is_pattern(&word) {
                true => matching(&self.makefile.variables, &word),
                false => Vec::new(),
            };
            match found.is_empty() {
                true => words.push(word),
                false => words.extend(found),
            }
        }
        let short = words
            .iter()
            .map(|word| word.trim_start_matches("./").to_owned());
        short.filter(|word| !word.is_empty()).collect()
    }

    fn close(&mut self) {
        let Some(mut rule) = self.rule.take() else {
            return;
        };
        let (special, targets): (Vec<String>, Vec<String>) = std::mem::take(&mut rule.targets)
            .into_iter()
            .partition(|name| is_special(name));
        for name in special {
            self.special(&name, &rule);
        }
        let (patterns, files): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .partition(|target| target.contains('%') && rule.pattern.is_none());
        if !patterns.is_empty() {
            let rule = Rule {
                targets: patterns,
                ..rule.clone()
            };
            self.makefile.patterns.push(rule);
        }
        if !files.is_empty() {
            self.makefile.rules.push(Rule {
                targets: files,
                ..rule
            });
        }
    }

    fn special(&mut self, name: &str, rule: &Rule) {
        let line = rule.line.unwrap_or(1);
        if name == ".PHONY" {
            self.makefile
                .phony
                .extend(rule.prerequisites.iter().cloned());
        } else if name == ".ONESHELL" {
            self.makefile.is_one_shell = true;
        } else if let Some((source, target)) = suffixes(name).filter(|_| !rule.recipe.is_empty()) {
            self.makefile.patterns.push(Rule {
                targets: vec![format!("%{target}")],
                prerequisites: vec![format!("%{source}")],
                ..rule.clone()
            });
        } else {
            let why = match name {
                ".DELETE_ON_ERROR" | ".INTERMEDIATE" | ".PRECIOUS" | ".SECONDARY" => {
                    "not carried over: outputs stay where they are, and a failure is never cached"
                }
                ".SILENT" => "not carried over: commands are not shown anyway",
                ".IGNORE" => "not carried over: a command that fails ends its task",
                ".NOTPARALLEL" => "not carried over: limit it with `concurrency: {jobs: 1}`",
                ".EXPORT_ALL_VARIABLES" => "not carried over: name the variables to export",
                ".SECONDEXPANSION" => "not carried over: prerequisites are expanded once",
                _ => "not carried over: it changes how make itself works",
            };
            self.note(line, name, why);
        }
    }
}
