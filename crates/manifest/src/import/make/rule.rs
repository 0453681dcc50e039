//! What a makefile says, with its variables expanded.

use super::expand::Variables;
use std::collections::{BTreeMap, BTreeSet};

/// A rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    pub(super) file: String,
    /// None for a rule of make itself.
    pub(super) line: Option<u32>,
    pub(super) targets: Vec<String>,
    /// The pattern of the targets, in a rule such as `$(objects): %.o: %.c`.
    pub(super) pattern: Option<String>,
    pub(super) prerequisites: Vec<String>,
    pub(super) order_only: Vec<String>,
    /// As written.
    pub(super) recipe: Vec<String>,
    /// `a:: b`: one of several rules of the target that each run by themselves.
    pub(super) is_double: bool,
    /// `a b &: c`: one run makes all targets.
    pub(super) is_grouped: bool,
    /// Some prerequisites are not known.
    pub(super) is_unknown: bool,
}

/// A variable that has another value for some targets.
#[derive(Debug, Clone)]
pub(super) struct TargetVariable {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) target: String,
    pub(super) name: String,
    pub(super) operator: String,
    pub(super) text: String,
}

/// A makefile with everything that it includes.
#[derive(Debug)]
pub(super) struct Makefile<'w> {
    pub(super) file: String,
    pub(super) variables: Variables<'w>,
    /// Those that name their targets.
    pub(super) rules: Vec<Rule>,
    /// Those whose targets hold `%`.
    pub(super) patterns: Vec<Rule>,
    pub(super) phony: BTreeSet<String>,
    pub(super) target_variables: Vec<TargetVariable>,
    /// Exported variables; whether the makefile gives them a value shows in `variables`.
    pub(super) exported: BTreeMap<String, u32>,
    /// One shell runs all lines of a recipe.
    pub(super) is_one_shell: bool,
    /// Where the file includes dependencies that the compiler finds.
    pub(super) found_dependencies: Option<u32>,
}

impl<'w> Makefile<'w> {
    /// An empty one.
    pub(super) fn new(file: &str, variables: Variables<'w>) -> Self {
        Self {
            file: file.to_owned(),
            variables,
            rules: Vec::new(),
            patterns: Vec::new(),
            phony: BTreeSet::new(),
            target_variables: Vec::new(),
            exported: BTreeMap::new(),
            is_one_shell: false,
            found_dependencies: None,
        }
    }
}

/// The rules that make has for objects.
pub(super) fn built_in() -> Vec<Rule> {
    let rule = |source: &str, recipe: &str| Rule {
        targets: vec!["%.o".to_owned()],
        prerequisites: vec![format!("%{source}")],
        recipe: vec![recipe.to_owned()],
        ..Rule::default()
    };
    const CXX: &str = "$(CXX) $(CXXFLAGS) $(CPPFLAGS) -c -o $@ $<";
    vec![
        rule(".c", "$(CC) $(CFLAGS) $(CPPFLAGS) -c -o $@ $<"),
        rule(".cc", CXX),
        rule(".cpp", CXX),
    ]
}
