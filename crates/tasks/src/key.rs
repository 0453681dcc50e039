//! The key of a task: a digest of everything that can change its result. What it was made of is kept,
//! so that a miss can be explained.
//!
//! The encoding is injective: each field begins with its own tag, each text with its length, each list
//! with its count, and what may be absent with a mark. Two sets of ingredients have the same encoding
//! only where they are equal.

use crate::{Bytes, TaskId};
use mainstay_contract::Digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Raised whenever the meaning of any ingredient changes.
const VERSION: &[u8] = b"mainstay-task-key-2";

/// The key of a task's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskKey(pub Digest);

impl std::fmt::Display for TaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A program and its arguments.
    Arguments(Vec<Bytes>),
    /// A script and the shell that reads it.
    Shell {
        /// The shell, as it is called.
        shell: Bytes,
        /// The script.
        script: Bytes,
    },
}

/// Where a result holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The system, such as `linux`.
    pub os: String,
    /// The processor, such as `x86_64`.
    pub architecture: String,
}

/// What stands at an input's path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A file.
    File {
        /// Its content.
        digest: Digest,
        /// Whether it may be executed: the part of a mode that a build can see everywhere.
        is_executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as written.
        target: Bytes,
        /// What is behind it: a file's content, or everything in a folder of the workspace.
        digest: Option<Digest>,
    },
    /// A folder, where it was declared itself.
    Folder,
}

/// Everything that can change the result of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredients {
    /// The task.
    pub task: TaskId,
    /// Where it runs, from the workspace's root.
    pub cwd: Bytes,
    /// What runs.
    pub command: Command,
    /// What its inputs are, by path from the workspace's root.
    pub inputs: BTreeMap<Bytes, Input>,
    /// The patterns of its outputs: other patterns keep other files.
    pub outputs: BTreeSet<Bytes>,
    /// The environment that it is given, by name: a digest of each value, none where a variable is
    /// allowed and not set. Unset and empty differ.
    pub environment: BTreeMap<Bytes, Option<Digest>>,
    /// The programs that it declares, by name: a digest of each, none where one is not found.
    pub tools: BTreeMap<String, Option<Digest>>,
    /// Where the result holds.
    pub platform: Platform,
}

impl Ingredients {
    /// The key that these make.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey(Digest(*blake3::hash(&self.encode()).as_bytes()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Encoding::default();
        to.text(VERSION);
        to.tag(b'p')
            .text(self.task.project())
            .text(self.task.task());
        to.tag(b'd').text(&self.cwd.0);
        match &self.command {
            Command::Arguments(arguments) => {
                to.tag(b'a').count(arguments.len());
                for argument in arguments {
                    to.text(&argument.0);
                }
            }
            Command::Shell { shell, script } => {
                to.tag(b's').text(&shell.0).text(&script.0);
            }
        }
        to.tag(b'i').count(self.inputs.len());
        for (path, input) in &self.inputs {
            to.input(&path.0, input);
        }
        to.tag(b'o').count(self.outputs.len());
        for pattern in &self.outputs {
            to.text(&pattern.0);
        }
        to.tag(b'e').count(self.environment.len());
        for (name, value) in &self.environment {
            to.text(&name.0).digest(value.as_ref());
        }
        to.tag(b't').count(self.tools.len());
        for (name, program) in &self.tools {
            to.text(name).digest(program.as_ref());
        }
        to.tag(b'h')
            .text(&self.platform.os)
            .text(&self.platform.architecture);
        to.0
    }
}

impl Input {
    /// Everything of these inputs, by path, as one digest.
    #[must_use]
    pub fn digest_of_all<'i>(inputs: impl IntoIterator<Item = (&'i [u8], &'i Self)>) -> Digest {
        let mut to = Encoding::default();
        for (path, input) in inputs {
            to.input(path, input);
        }
        Digest(*blake3::hash(&to.0).as_bytes())
    }
}

#[derive(Default)]
struct Encoding(Vec<u8>);

impl Encoding {
    fn input(&mut self, path: &[u8], input: &Input) -> &mut Self {
        self.text(path);
        match input {
            Input::File {
                digest,
                is_executable,
            } => self.tag(b'f').text(digest.0).tag(u8::from(*is_executable)),
            Input::Link { target, digest } => {
                self.tag(b'l').text(&target.0).digest(digest.as_ref())
            }
            Input::Folder => self.tag(b'd'),
        }
    }

    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn count(&mut self, count: usize) -> &mut Self {
        self.0.extend((count as u64).to_le_bytes());
        self
    }

    fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.count(text.as_ref().len());
        self.0.extend(text.as_ref());
        self
    }

    fn digest(&mut self, digest: Option<&Digest>) -> &mut Self {
        match digest {
            Some(digest) => self.tag(1).text(digest.0),
            None => self.tag(0),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(prop_oneof![Just(0), Just(1), Just(b'a'), Just(255)], 0..3).prop_map(Bytes)
    }

    fn digest() -> impl Strategy<Value = Digest> {
        (0..3u8).prop_map(|byte| Digest([byte; 32]))
    }

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            vec(bytes(), 0..3).prop_map(Command::Arguments),
            (bytes(), bytes()).prop_map(|(shell, script)| Command::Shell { shell, script }),
        ]
    }

    fn input() -> impl Strategy<Value = Input> {
        prop_oneof![
            (digest(), any::<bool>()).prop_map(|(digest, is_executable)| Input::File {
                digest,
                is_executable
            }),
            (bytes(), proptest::option::of(digest()))
                .prop_map(|(target, digest)| Input::Link { target, digest }),
            Just(Input::Folder),
        ]
    }

    fn task() -> impl Strategy<Value = TaskId> {
        ("[ab]{1,2}", "[ab]{1,2}").prop_map(|(project, task)| TaskId::new(&project, &task).unwrap())
    }

    pub(crate) fn ingredients() -> impl Strategy<Value = Ingredients> {
        let rest = (
            btree_map(bytes(), proptest::option::of(digest()), 0..3),
            btree_map("[ab]", proptest::option::of(digest()), 0..2),
            "[ab]?",
        );
        let first = (
            task(),
            bytes(),
            command(),
            btree_map(bytes(), input(), 0..3),
            btree_set(bytes(), 0..3),
        );
        (first, rest).prop_map(
            |((task, cwd, command, inputs, outputs), rest)| Ingredients {
                task,
                cwd,
                command,
                inputs,
                outputs,
                environment: rest.0,
                tools: rest.1,
                platform: Platform {
                    os: "linux".to_owned(),
                    architecture: rest.2,
                },
            },
        )
    }

    proptest! {
        #[test]
        fn equal_ingredients_have_equal_keys_and_others_do_not(a in ingredients(), b in ingredients()) {
            prop_assert_eq!(a == b, a.encode() == b.encode());
            prop_assert_eq!(a == b, a.key() == b.key());
        }

        #[test]
        fn ingredients_are_kept_as_they_are(a in ingredients()) {
            let text = serde_json::to_string(&a).unwrap();
            let again: Ingredients = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(again.key(), a.key());
            prop_assert_eq!(again, a);
        }
    }

    #[test]
    fn what_looks_alike_joined_is_not_alike() {
        let of = |arguments: &[&str]| Ingredients {
            task: "a:b".parse().unwrap(),
            cwd: Bytes::default(),
            command: Command::Arguments(arguments.iter().map(Bytes::from).collect()),
            inputs: BTreeMap::new(),
            outputs: BTreeSet::new(),
            environment: BTreeMap::new(),
            tools: BTreeMap::new(),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "x86_64".to_owned(),
            },
        };
        assert_ne!(of(&["ab", "c"]).key(), of(&["a", "bc"]).key());
        assert_ne!(of(&["a", ""]).key(), of(&["a"]).key());
        let mut unset = of(&["a"]);
        unset.environment.insert(Bytes::from("X"), None);
        let mut empty = of(&["a"]);
        let nothing = Digest(*blake3::hash(b"").as_bytes());
        empty.environment.insert(Bytes::from("X"), Some(nothing));
        assert_ne!(unset.key(), empty.key());
        assert_ne!(unset.key(), of(&["a"]).key());
    }
}
