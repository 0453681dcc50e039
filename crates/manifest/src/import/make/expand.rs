//! Variables and what they expand to.

use super::functions;
use crate::import::name::is_variable;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// More than this is not expanded, whatever a makefile asks for.
pub(super) const BYTES_MAX: usize = 32 << 20;

const DEPTH_MAX: usize = 40;

/// What make knows without being told.
const BUILT_IN: [(&str, &str); 14] = [
    ("AR", "ar"),
    ("ARFLAGS", "rv"),
    ("AS", "as"),
    ("CC", "cc"),
    ("COMPILE.c", "$(CC) $(CFLAGS) $(CPPFLAGS) -c"),
    ("CPP", "$(CC) -E"),
    ("CURDIR", "."),
    ("CXX", "c++"),
    ("LD", "ld"),
    ("MAKE", "make"),
    ("MAKEFILE_LIST", "Makefile"),
    ("MAKEFLAGS", ""),
    ("MAKECMDGOALS", ""),
    ("RM", "rm -f"),
];

/// The value of a variable.
#[derive(Debug, Clone)]
struct Value {
    text: String,
    is_simple: bool,
}

/// What was met while expanding and has to be told.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Variables that only the environment could give.
    pub(super) undefined: BTreeSet<String>,
    /// References that cannot be followed.
    pub(super) unsupported: BTreeSet<String>,
    /// Calls of the function `shell`.
    pub(super) programs: BTreeSet<String>,
}

/// All variables of a makefile.
#[derive(Debug)]
pub(super) struct Variables<'w> {
    values: BTreeMap<String, Value>,
    files: &'w BTreeSet<String>,
    spent: Cell<usize>,
    met: RefCell<Met>,
}

/// Names that mean something in one place only: automatic variables, parameters of a call.
pub(super) type Locals = BTreeMap<String, String>;

/// How to expand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'s> {
    pub(super) locals: &'s Locals,
    /// Whether the shell sees the result: it then looks up what is not defined here.
    pub(super) is_recipe: bool,
    depth: usize,
}

impl<'s> Scope<'s> {
    /// For the text of a recipe.
    pub(super) fn recipe(locals: &'s Locals) -> Self {
        Self {
            locals,
            is_recipe: true,
            depth: 0,
        }
    }

    /// For everything else.
    pub(super) fn text(locals: &'s Locals) -> Self {
        Self {
            locals,
            is_recipe: false,
            depth: 0,
        }
    }

    /// The same with other locals, one level deeper.
    pub(super) fn with<'t>(self, locals: &'t Locals) -> Scope<'t> {
        Scope {
            locals,
            is_recipe: self.is_recipe,
            depth: self.depth + 1,
        }
    }

    fn deeper(self) -> Self {
        self.with(self.locals)
    }
}

impl<'w> Variables<'w> {
    /// Those of make itself.
    pub(super) fn new(files: &'w BTreeSet<String>) -> Self {
        let value = |text: &str| Value {
            text: text.to_owned(),
            is_simple: false,
        };
        let values = BUILT_IN
            .iter()
            .map(|(name, text)| ((*name).to_owned(), value(text)));
        Self {
            values: values.collect(),
            files,
            spent: Cell::new(0),
            met: RefCell::default(),
        }
    }

    /// Whether more was asked for than is expanded.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get() > BYTES_MAX
    }

    /// Takes what was met since the last time.
    pub(super) fn met(&self) -> Met {
        self.met.take()
    }

    /// Every file of the workspace.
    pub(super) fn files(&self) -> &'w BTreeSet<String> {
        self.files
    }

    /// Where a variable comes from, in make's own word.
    pub(super) fn origin(&self, name: &str) -> &'static str {
        match self.values.contains_key(name) {
            true if BUILT_IN.iter().any(|(known, _)| *known == name) => "default",
            true => "file",
            false => "undefined",
        }
    }

    /// Whether the makefile, or make, defines it.
    pub(super) fn is_defined(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Forgets a variable.
    pub(super) fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Assigns as the operator says: `=`, `:=`, `?=`, `+=` or `!=`.
    pub(super) fn assign(&mut self, name: &str, operator: &str, text: &str) {
        let locals = Locals::new();
        let scope = Scope::text(&locals);
        let old = self.values.get(name);
        let value = match operator {
            "?=" if old.is_some() && self.origin(name) != "default" => return,
            "+=" => match old {
                Some(old) if old.is_simple => {
                    let text = format!("{} {}", old.text, self.expand(text, scope));
                    Value {
                        text,
                        is_simple: true,
                    }
                }
                Some(old) if old.text.len() + text.len() < BYTES_MAX => {
                    let text = format!("{} {text}", old.text);
                    Value {
                        text,
                        is_simple: false,
                    }
                }
                _ => Value {
                    text: text.to_owned(),
                    is_simple: false,
                },
            },
            "!=" => Value {
                text: format!("$(shell {text})"),
                is_simple: false,
            },
            _ if operator.starts_with(':') => Value {
                text: self.expand(text, scope),
                is_simple: true,
            },
            _ => Value {
                text: text.to_owned(),
                is_simple: false,
            },
        };
        self.spend(value.text.len());
        self.values.insert(name.to_owned(), value);
    }

    /// The text with its references followed.
    pub(super) fn expand(&self, text: &str, scope: Scope<'_>) -> String {
        let mut result = String::new();
        self.spend(text.len() + 1);
        if scope.depth > DEPTH_MAX {
            self.unsupported(text);
            return result;
        }
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if self.is_spent() {
                return result;
            }
            result.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(character) = rest.chars().next() else {
                break;
            };
            let after = &rest[character.len_utf8()..];
            rest = match character {
                '$' => {
                    result.push('$');
                    after
                }
                '(' | '{' => {
                    let end = closing(after, character).unwrap_or(after.len());
                    result.push_str(&self.reference(&after[..end], scope));
                    after.get(end + 1..).unwrap_or_default()
                }
                name => {
                    result.push_str(&self.value(&name.to_string(), scope));
                    after
                }
            };
        }
        result.push_str(rest);
        self.spend(result.len());
        result
    }

    /// Counts work.
    pub(super) fn spend(&self, bytes: usize) {
        self.spent.set(self.spent.get().saturating_add(bytes));
    }

    /// Remembers a program that the shell will run.
    pub(super) fn program(&self, command: &str) {
        let call = format!("$(shell {command})");
        self.met
            .borrow_mut()
            .programs
            .insert(crate::finding::shorten(&call));
    }

    /// Remembers a reference that cannot be followed.
    pub(super) fn unsupported(&self, reference: &str) {
        self.met
            .borrow_mut()
            .unsupported
            .insert(crate::finding::shorten(reference));
    }

    fn reference(&self, inner: &str, scope: Scope<'_>) -> String {
        if let Some((name, arguments)) = inner.split_once([' ', '\t'])
            && functions::is_function(name)
        {
            return functions::call(self, name, arguments.trim_start(), scope.deeper());
        }
        let colon = super::lines::outside(inner, &[':']);
        if let Some((name, change)) = colon.map(|at| (&inner[..at], &inner[at + 1..]))
            && let Some((from, to)) = change.split_once('=')
        {
            let name = self.expand(name, scope.deeper());
            let [from, to] = [from, to].map(|part| self.expand(part, scope.deeper()));
            let is_pattern = from.contains('%');
            let (from, to) = if is_pattern {
                (from, to)
            } else {
                (format!("%{from}"), format!("%{to}"))
            };
            return functions::patsubst(self, &from, &to, &self.value(&name, scope));
        }
        let name = self.expand(inner, scope.deeper());
        self.value(&name, scope)
    }

    fn value(&self, name: &str, scope: Scope<'_>) -> String {
        if let Some(value) = scope.locals.get(name) {
            self.spend(value.len());
            return value.clone();
        }
        if let Some(value) = part_of_local(name, scope.locals) {
            return value;
        }
        match self.values.get(name) {
            Some(value) if value.is_simple => {
                self.spend(value.text.len());
                value.text.clone()
            }
            Some(value) => self.expand(&value.text, scope.deeper()),
            None => self.undefined(name, scope),
        }
    }

    fn undefined(&self, name: &str, scope: Scope<'_>) -> String {
        if !is_variable(name) {
            return String::new();
        }
        self.met.borrow_mut().undefined.insert(name.to_owned());
        if scope.is_recipe {
            format!("${{{name}}}")
        } else {
            String::new()
        }
    }
}

/// `@D`, `<F` and the like: folders and file names of an automatic variable.
fn part_of_local(name: &str, locals: &Locals) -> Option<String> {
    let mut characters = name.chars();
    let (variable, part) = (characters.next()?, characters.next()?);
    let value = locals
        .get(&variable.to_string())
        .filter(|_| characters.next().is_none())?;
    let folder = |word: &str| match word.rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
        None => ".".to_owned(),
    };
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let words = value.split_whitespace();
    let words: Vec<String> = match part {
        'D' => words.map(folder).collect(),
        'F' => words.map(name).collect(),
        _ => return None,
    };
    Some(words.join(" "))
}

/// Where the bracket closes that was opened before the text.
fn closing(text: &str, open: char) -> Option<usize> {
    let close = if open == '(' { ')' } else { '}' };
    let mut depth = 0;
    for (index, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close && depth == 0 {
            return Some(index);
        } else if character == close {
            depth -= 1;
        }
    }
    None
}
