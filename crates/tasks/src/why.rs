//! What differs between two sets of ingredients: the answer to why a task ran again.

use crate::{Bytes, Ingredients, Input};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// The ingredients are of another task.
    Task,
    /// Another folder to run in.
    WorkingDirectory,
    /// Another program, argument or script.
    Command,
    /// An input.
    Input {
        /// Its path from the workspace's root.
        path: Bytes,
        /// What became of it.
        change: InputChange,
    },
    /// A pattern of outputs that is new or gone.
    OutputPattern {
        /// The pattern.
        pattern: Bytes,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: Bytes,
        /// What became of it.
        change: VariableChange,
    },
    /// A declared program: another one, none any more, or newly declared.
    Tool {
        /// Its name.
        name: String,
    },
    /// Another system or processor.
    Platform,
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputChange {
    /// It is new, or declared now.
    Added,
    /// It is gone, or no longer declared.
    Removed,
    /// Its content.
    Content,
    /// Whether it may be executed.
    Mode,
    /// Where it points.
    LinkTarget,
    /// A file became a link, and the like.
    Kind,
    /// It was written, and holds what it held before.
    Touched,
}

/// What became of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableChange {
    /// It is allowed now.
    Allowed,
    /// It is no longer allowed.
    Forbidden,
    /// It was not set before.
    Set,
    /// It is not set any more.
    Unset,
    /// Its value.
    Value,
}

impl Ingredients {
    /// What is different from an earlier set, in a fixed order; empty where the keys are equal.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let whole = [
            (self.task != before.task, Change::Task),
            (self.cwd != before.cwd, Change::WorkingDirectory),
            (self.command != before.command, Change::Command),
            (self.platform != before.platform, Change::Platform),
        ];
        changes.extend(
            whole
                .into_iter()
                .filter_map(|(is, change)| is.then_some(change)),
        );
        for (path, old, new) in differences(&before.inputs, &self.inputs) {
            let change = input_change(old, new);
            changes.push(Change::Input { path, change });
        }
        let patterns = before.outputs.symmetric_difference(&self.outputs);
        changes.extend(patterns.map(|pattern| Change::OutputPattern {
            pattern: pattern.clone(),
        }));
        for (name, old, new) in differences(&before.environment, &self.environment) {
            let change = match (old, new) {
                (None, _) => VariableChange::Allowed,
                (_, None) => VariableChange::Forbidden,
                (Some(None), _) => VariableChange::Set,
                (_, Some(None)) => VariableChange::Unset,
                _ => VariableChange::Value,
            };
            changes.push(Change::Variable { name, change });
        }
        let tools = differences(&before.tools, &self.tools);
        changes.extend(tools.into_iter().map(|(name, ..)| Change::Tool { name }));
        changes
    }
}

fn input_change(old: Option<&Input>, new: Option<&Input>) -> InputChange {
    match (old, new) {
        (None, _) => InputChange::Added,
        (_, None) => InputChange::Removed,
        (Some(Input::File { digest: old, .. }), Some(Input::File { digest: new, .. })) => {
            if old == new {
                InputChange::Mode
            } else {
                InputChange::Content
            }
        }
        (Some(Input::Link { target: old, .. }), Some(Input::Link { target: new, .. })) => {
            if old == new {
                InputChange::Content
            } else {
                InputChange::LinkTarget
            }
        }
        _ => InputChange::Kind,
    }
}

type Difference<'a, K, V> = (K, Option<&'a V>, Option<&'a V>);

/// What two maps do not have in common, by key.
fn differences<'a, K: Ord + Clone, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> Vec<Difference<'a, K, V>> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .map(|key| (key.clone(), old.get(key), new.get(key)))
        .filter(|(_, old, new)| old != new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::ingredients;
    use mainstay_contract::Digest;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_is_a_reason_exactly_where_keys_differ(a in ingredients(), b in ingredients()) {
            prop_assert_eq!(a.key() == b.key(), a.changes_since(&b).is_empty());
            prop_assert_eq!(a.changes_since(&a), Vec::new());
        }
    }

    #[test]
    fn each_input_says_what_became_of_it() {
        let file = |byte, is_executable| Input::File {
            digest: Digest([byte; 32]),
            is_executable,
        };
        let link = |target: &str| Input::Link {
            target: Bytes::from(target),
            digest: None,
        };
        for (old, new, change) in [
            (None, Some(file(1, false)), InputChange::Added),
            (
                Some(file(1, false)),
                Some(file(2, true)),
                InputChange::Content,
            ),
            (Some(file(1, false)), Some(file(1, true)), InputChange::Mode),
            (Some(link("a")), Some(link("b")), InputChange::LinkTarget),
            (Some(link("a")), Some(file(1, false)), InputChange::Kind),
            (Some(Input::Folder), None, InputChange::Removed),
        ] {
            assert_eq!(
                input_change(old.as_ref(), new.as_ref()),
                change,
                "{old:?} {new:?}"
            );
        }
    }
}
