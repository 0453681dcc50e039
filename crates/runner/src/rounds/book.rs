//! What rounds remember of each other: which tasks need not run again, and which changes begin a round.

use mainstay_contract::Digest;
use mainstay_tasks::{BuildKeyError, Bytes, Change, Ingredients, TaskId, TaskKey};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// How many rounds in a row an input may change within its round, before that begins no further one.
const STREAK_MAX: u32 = 2;

/// What a task reads at some moment, or why that cannot be told.
pub(crate) type Sight = Result<Ingredients, BuildKeyError>;

/// What tasks read at some moment.
pub(crate) type Sights = BTreeMap<TaskId, Sight>;

/// What a task came to, so that those behind it see whether it is the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// These outputs.
    Made(Digest),
    /// It makes none: whatever follows from its key.
    Key(TaskKey),
    /// Something that no other time came to.
    Once(u64),
}

/// Why a task ran: its own key, and what those came to that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    key: TaskKey,
    needs: Vec<Option<Came>>,
}

/// A task whose ingredients are others than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The task.
    pub task: TaskId,
    /// In what they differ; empty where they cannot be told now, or could not before.
    pub changes: Vec<Change>,
}

/// What changed while a round was under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookBack {
    /// Why another round has to follow at once.
    pub again: Vec<Difference>,
    /// What changes in every round, so that it begins no other; told once.
    pub restless: Vec<Difference>,
}

/// The memory of rounds.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// What tasks read when their turn came, in this round.
    seen: Sights,
    causes: HashMap<TaskId, Cause>,
    /// Why each task ran that did not fail since.
    done: HashMap<TaskId, Cause>,
    came: HashMap<TaskId, Came>,
    /// Under which key each task was last done.
    keys: HashMap<TaskId, TaskKey>,
    count: u64,
    /// In how many rounds in a row something changed that a task reads.
    streaks: HashMap<(TaskId, Bytes), u32>,
}

impl Book {
    /// A round begins.
    pub(crate) fn begin(&mut self) {
        self.seen.clear();
        self.causes.clear();
    }

    /// The turn of a task has come.
    pub(crate) fn see(&mut self, task: &TaskId, sight: Sight) {
        self.seen.insert(task.clone(), sight);
    }

    /// Whether a task ran for the same reasons before, and succeeded. `needs`: what it waits for, all of which
    /// had its turn in this round.
    pub(crate) fn is_same(&mut self, task: &TaskId, sight: &Sight, needs: &[&TaskId]) -> bool {
        let Ok(ingredients) = sight else {
            return false;
        };
        let cause = Cause {
            key: ingredients.key(),
            needs: needs
                .iter()
                .map(|need| self.came.get(*need).copied())
                .collect(),
        };
        let is_same = self.done.get(task) == Some(&cause);
        self.causes.insert(task.clone(), cause);
        is_same
    }

    /// Whether a task was last done under this key, so that what it said was said before.
    pub(crate) fn was_said(&self, task: &TaskId, key: &TaskKey) -> bool {
        self.keys.get(task) == Some(key)
    }

    /// A task with a key is done.
    pub(crate) fn keyed(&mut self, task: &TaskId, key: TaskKey) {
        self.keys.insert(task.clone(), key);
    }

    /// A task is done; `came`: what it came to, where that can be told from another time.
    pub(crate) fn succeeded(&mut self, task: &TaskId, came: Option<Came>) {
        self.count += 1;
        self.came
            .insert(task.clone(), came.unwrap_or(Came::Once(self.count)));
        if let Some(cause) = self.causes.remove(task) {
            self.done.insert(task.clone(), cause);
        }
    }

    /// A task failed. What it came to before is what those behind it still work with.
    pub(crate) fn failed(&mut self, task: &TaskId) {
        self.done.remove(task);
        self.keys.remove(task);
    }

    /// Judges what changed since the turns of the tasks that had one.
    pub(crate) fn look_back(&mut self, now: &Sights) -> LookBack {
        let mut back = LookBack::default();
        let mut streaks = HashMap::new();
        for difference in differences(&self.seen, now) {
            let mut is_new = false;
            let mut is_told = false;
            for subject in subjects(&difference) {
                let place = (difference.task.clone(), subject);
                let streak = self.streaks.get(&place).copied().unwrap_or(0) + 1;
                is_new |= streak <= STREAK_MAX;
                is_told |= streak == STREAK_MAX + 1;
                streaks.insert(place, streak);
            }
            if is_new {
                back.again.push(difference);
            } else if is_told {
                back.restless.push(difference);
            }
        }
        self.streaks = streaks;
        back
    }
}

/// The tasks that read something else than before.
pub(crate) fn differences(before: &Sights, now: &Sights) -> Vec<Difference> {
    let mut found = Vec::new();
    for (task, new) in now {
        let Some(old) = before.get(task).filter(|old| *old != new) else {
            continue;
        };
        let changes = match (old, new) {
            (Ok(old), Ok(new)) => new.changes_since(old),
            _ => Vec::new(),
        };
        let task = task.clone();
        found.push(Difference { task, changes });
    }
    found
}

/// What a difference is about, whatever became of it.
fn subjects(difference: &Difference) -> Vec<Bytes> {
    let subject = |change: &Change| match change {
        Change::Input { path, .. } => path.clone(),
        Change::Tool { name } => Bytes::from(name),
        _ => Bytes::default(),
    };
    match difference.changes.as_slice() {
        [] => vec![Bytes::default()],
        changes => changes.iter().map(subject).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_tasks::{Command, Input, InputChange, Platform};
    use std::collections::BTreeSet;

    fn id(name: &str) -> TaskId {
        TaskId::new("p", name).unwrap()
    }

    /// A task that reads one file with this content.
    fn reads(name: &str, path: &str, content: u8) -> Sight {
        let file = Input::File {
            digest: Digest([content; 32]),
            is_executable: false,
        };
        Ok(Ingredients {
            task: id(name),
            cwd: Bytes::default(),
            command: Command::Arguments(Vec::new()),
            inputs: BTreeMap::from([(Bytes::from(path), file)]),
            outputs: BTreeSet::new(),
            environment: BTreeMap::new(),
            tools: BTreeMap::new(),
            platform: Platform {
                os: String::new(),
                architecture: String::new(),
            },
        })
    }

    fn made(content: u8) -> Option<Came> {
        Some(Came::Made(Digest([content; 32])))
    }

    /// Whether `server`, which reads `own` and needs `build`, stays as it is.
    fn stays(book: &mut Book, build: Option<Came>, own: u8) -> bool {
        let (server, needed) = (id("server"), id("build"));
        book.begin();
        book.succeeded(&needed, build);
        let is_same = book.is_same(&server, &reads("server", "config", own), &[&needed]);
        if !is_same {
            book.succeeded(&server, None);
        }
        is_same
    }

    #[test]
    fn what_stays_up_is_restarted_for_its_own_inputs_and_for_other_outputs() {
        let mut book = Book::default();
        assert!(!stays(&mut book, made(1), 1), "it never ran");
        assert!(
            stays(&mut book, made(1), 1),
            "what it needs came out the same"
        );
        assert!(!stays(&mut book, made(2), 1));
        assert!(stays(&mut book, made(2), 1));
        assert!(!stays(&mut book, made(2), 2));
        assert!(stays(&mut book, made(2), 2));
        assert!(!stays(&mut book, None, 2), "who makes nothing that is kept");
        assert!(!stays(&mut book, None, 2), "is never the same again");
    }

    #[test]
    fn a_failure_is_no_reason_for_those_behind_but_for_the_task_itself() {
        let mut book = Book::default();
        assert!(!stays(&mut book, made(1), 1));
        book.failed(&id("build"));
        assert!(
            stays(&mut book, made(1), 1),
            "mended, with the same outputs"
        );
        book.failed(&id("server"));
        assert!(!stays(&mut book, made(1), 1), "it died");
        let missing = Err(BuildKeyError::InputMissing {
            path: Bytes::from("config"),
        });
        assert!(!book.is_same(&id("server"), &missing, &[]));
    }

    /// A round in which the file that a task reads goes from one content to another.
    fn round(book: &mut Book, from: u8, to: u8) -> (usize, usize) {
        book.begin();
        book.see(&id("t"), reads("t", "log", from));
        let now = Sights::from([(id("t"), reads("t", "log", to))]);
        let back = book.look_back(&now);
        (back.again.len(), back.restless.len())
    }

    #[test]
    fn what_changes_in_every_round_begins_no_more_and_is_told_once() {
        let mut book = Book::default();
        assert_eq!(round(&mut book, 0, 0), (0, 0));
        assert_eq!(round(&mut book, 0, 1), (1, 0));
        assert_eq!(round(&mut book, 1, 2), (1, 0));
        assert_eq!(round(&mut book, 2, 3), (0, 1));
        assert_eq!(round(&mut book, 3, 4), (0, 0));
        // One round in which nothing of that happens, and it is believed again.
        assert_eq!(round(&mut book, 4, 4), (0, 0));
        assert_eq!(round(&mut book, 4, 5), (1, 0));
    }

    #[test]
    fn something_else_that_changes_beside_it_begins_a_round() {
        let mut book = Book::default();
        for content in 0..3 {
            round(&mut book, content, content + 1);
        }
        book.begin();
        book.see(&id("t"), reads("t", "source", 1));
        let now = Sights::from([(id("t"), reads("t", "source", 2))]);
        let back = book.look_back(&now);
        let change = InputChange::Content;
        let path = Bytes::from("source");
        let changes = vec![Change::Input { path, change }];
        let task = id("t");
        assert_eq!(back.again, [Difference { task, changes }]);
    }

    #[test]
    fn tasks_without_a_turn_and_new_ones_are_no_difference() {
        let before = Sights::from([(id("a"), reads("a", "x", 1))]);
        let now = Sights::from([(id("b"), reads("b", "x", 1))]);
        assert_eq!(differences(&before, &now), []);
    }
}
