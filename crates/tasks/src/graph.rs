//! Which task waits for which. Built in linear time, with everything that is wrong told at once.

use crate::TaskId;
use std::collections::{BTreeMap, HashMap};

/// A task as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub id: TaskId,
    /// What has to succeed before it.
    pub after: Vec<TaskId>,
    /// What has to be over before it, well or badly, where it runs at all.
    pub follows: Vec<TaskId>,
}

/// What is wrong with declared tasks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GraphFinding {
    /// Two tasks have one name.
    Duplicate {
        /// The name.
        task: TaskId,
    },
    /// A task waits for one that is not declared.
    Unknown {
        /// The task that waits.
        task: TaskId,
        /// What it waits for.
        wanted: TaskId,
    },
    /// A task waits for itself.
    Itself {
        /// The task.
        task: TaskId,
    },
    /// Tasks wait for each other; each waits for the next, and the last for the first.
    Cycle {
        /// The shortest such round through the first of them by name.
        tasks: Vec<TaskId>,
    },
}

/// Lists of numbers, one for each task, in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Lists {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn of(lists: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut made = Self {
            starts: vec![0],
            items: Vec::new(),
        };
        for list in lists {
            made.items.extend(list);
            made.starts.push(number(made.items.len()));
        }
        made
    }

    fn get(&self, task: u32) -> &[u32] {
        let at = task as usize;
        &self.items[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// Who has whom in its list, the other way around.
    fn reversed(&self, count: usize) -> Self {
        let mut lists = vec![Vec::new(); count];
        for task in 0..number(count) {
            for &item in self.get(task) {
                lists[item as usize].push(task);
            }
        }
        Self::of(lists)
    }
}

/// Tasks by number, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    ids: Vec<TaskId>,
    after: Lists,
    /// `after` and `follows` together.
    before: Lists,
    successors: Lists,
    order: Vec<u32>,
}

impl Graph {
    /// Builds the graph.
    ///
    /// # Errors
    /// Every finding, sorted.
    pub fn build(declared: Vec<Declared>) -> Result<Self, Vec<GraphFinding>> {
        let mut findings = Vec::new();
        let mut tasks = BTreeMap::new();
        for task in declared {
            let id = task.id.clone();
            if tasks.insert(id.clone(), task).is_some() {
                findings.push(GraphFinding::Duplicate { task: id });
            }
        }
        let ids: Vec<TaskId> = tasks.keys().cloned().collect();
        let numbers: HashMap<&TaskId, u32> = ids.iter().zip(0..).collect();
        let mut resolve = |task: &TaskId, wanted: &[TaskId]| {
            let mut list = Vec::new();
            for wanted in wanted {
                let task = task.clone();
                match numbers.get(wanted) {
                    _ if *wanted == task => findings.push(GraphFinding::Itself { task }),
                    Some(&number) => list.push(number),
                    None => findings.push(GraphFinding::Unknown {
                        task,
                        wanted: wanted.clone(),
                    }),
                }
            }
            list.sort_unstable();
            list.dedup();
            list
        };
        let (mut after, mut before) = (Vec::new(), Vec::new());
        for (id, task) in &tasks {
            let hard = resolve(id, &task.after);
            let mut all = resolve(id, &task.follows);
            all.extend(&hard);
            all.sort_unstable();
            all.dedup();
            after.push(hard);
            before.push(all);
        }
        let before = Lists::of(before);
        let successors = before.reversed(ids.len());
        let order = ordered(&before, &successors, ids.len());
        findings.extend(cycles(&ids, &before, &successors, &order));
        if findings.is_empty() {
            let after = Lists::of(after);
            return Ok(Self {
                ids,
                after,
                before,
                successors,
                order,
            });
        }
        findings.sort();
        findings.dedup();
        Err(findings)
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The name of a task.
    #[must_use]
    pub fn id(&self, task: u32) -> &TaskId {
        &self.ids[task as usize]
    }

    /// The number of a name.
    #[must_use]
    pub fn find(&self, id: &TaskId) -> Option<u32> {
        self.ids.binary_search(id).ok().map(number)
    }

    /// What has to succeed before a task.
    #[must_use]
    pub fn after(&self, task: u32) -> &[u32] {
        self.after.get(task)
    }

    /// What has to be over before a task, where it runs at all; `after` included.
    #[must_use]
    pub fn before(&self, task: u32) -> &[u32] {
        self.before.get(task)
    }

    /// Who waits for a task.
    #[must_use]
    pub fn successors(&self, task: u32) -> &[u32] {
        self.successors.get(task)
    }

    /// All tasks, each after those that it waits for.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// These tasks and all that has to succeed before them, in order.
    #[must_use]
    pub fn closure(&self, targets: &[u32]) -> Vec<u32> {
        let mut is_wanted = vec![false; self.len()];
        let mut rest = targets.to_vec();
        while let Some(task) = rest.pop() {
            if !std::mem::replace(&mut is_wanted[task as usize], true) {
                rest.extend(self.after(task));
            }
        }
        let order = self.order.iter().copied();
        order.filter(|&task| is_wanted[task as usize]).collect()
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The tasks that can be put in order (Kahn 1962); those on cycles, and those behind them, are left out.
fn ordered(before: &Lists, successors: &Lists, count: usize) -> Vec<u32> {
    let mut missing: Vec<usize> = (0..number(count))
        .map(|task| before.get(task).len())
        .collect();
    let is_free = |&task: &u32| before.get(task).is_empty();
    let mut order: Vec<u32> = (0..number(count)).filter(is_free).collect();
    let mut at = 0;
    while let Some(&task) = order.get(at) {
        at += 1;
        for &successor in successors.get(task) {
            let missing = &mut missing[successor as usize];
            *missing -= 1;
            if *missing == 0 {
                order.push(successor);
            }
        }
    }
    order
}

/// One round for each group of tasks that wait for each other.
fn cycles(ids: &[TaskId], before: &Lists, successors: &Lists, order: &[u32]) -> Vec<GraphFinding> {
    let groups = groups(before, successors, order, ids.len());
    let mut came_from = vec![u32::MAX; ids.len()];
    let mut found = Vec::new();
    for start in 0..number(ids.len()) {
        // Each group once, from the first of its tasks.
        if groups[start as usize] == start
            && let Some(round) = round(start, before, &groups, &mut came_from)
        {
            let tasks = round.iter().map(|&task| ids[task as usize].clone());
            let tasks = tasks.collect();
            found.push(GraphFinding::Cycle { tasks });
        }
    }
    found
}

/// For each task that has no place in the order, the first task of those that it reaches and that reach
/// it (strongly connected components, after Kosaraju and Sharir).
fn groups(before: &Lists, successors: &Lists, order: &[u32], count: usize) -> Vec<u32> {
    let mut is_seen = vec![false; count];
    for &task in order {
        is_seen[task as usize] = true;
    }
    let left: Vec<u32> = (0..number(count))
        .filter(|&task| !is_seen[task as usize])
        .collect();
    let mut finished = Vec::with_capacity(left.len());
    for &start in &left {
        let mut path = vec![(start, 0)];
        while let Some((task, at)) = path.pop() {
            if at == 0 && std::mem::replace(&mut is_seen[task as usize], true) {
                continue;
            }
            match before.get(task).get(at) {
                Some(&next) => {
                    path.push((task, at + 1));
                    path.push((next, 0));
                }
                None => finished.push(task),
            }
        }
    }
    let mut group = vec![u32::MAX; count];
    let is_left = |task: u32, group: &[u32]| group[task as usize] == u32::MAX;
    let mut members = Vec::new();
    for &task in order {
        group[task as usize] = u32::MAX - 1;
    }
    for &start in finished.iter().rev() {
        if !is_left(start, &group) {
            continue;
        }
        members.clear();
        let mut rest = vec![start];
        while let Some(task) = rest.pop() {
            if is_left(task, &group) {
                group[task as usize] = start;
                members.push(task);
                rest.extend(successors.get(task));
            }
        }
        let first = members.iter().copied().min().unwrap_or(start);
        for &task in &members {
            group[task as usize] = first;
        }
    }
    group
}

/// The shortest way from a task back to itself, by breadth, within its group.
fn round(start: u32, before: &Lists, groups: &[u32], came_from: &mut [u32]) -> Option<Vec<u32>> {
    let mut reached = vec![start];
    let mut at = 0;
    while let Some(&task) = reached.get(at) {
        at += 1;
        for &next in before.get(task) {
            if next == start {
                let mut round = vec![task];
                while let Some(&last) = round.last().filter(|&&last| last != start) {
                    round.push(came_from[last as usize]);
                }
                round.reverse();
                return Some(round);
            }
            if groups[next as usize] == start && came_from[next as usize] == u32::MAX {
                came_from[next as usize] = task;
                reached.push(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: usize) -> TaskId {
        TaskId::new("p", &format!("t{number:05}")).unwrap()
    }

    fn declared(number: usize, after: &[usize], follows: &[usize]) -> Declared {
        let ids = |numbers: &[usize]| numbers.iter().map(|&number| id(number)).collect();
        Declared {
            id: id(number),
            after: ids(after),
            follows: ids(follows),
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let findings = Graph::build(vec![
            declared(1, &[2], &[]),
            declared(2, &[], &[3]),
            declared(3, &[1, 9], &[]),
            declared(4, &[4], &[]),
            declared(5, &[1], &[]),
            declared(6, &[], &[]),
            declared(6, &[], &[]),
            declared(7, &[8], &[]),
            declared(8, &[7], &[]),
        ]);
        assert_eq!(
            findings.unwrap_err(),
            [
                GraphFinding::Duplicate { task: id(6) },
                GraphFinding::Unknown {
                    task: id(3),
                    wanted: id(9)
                },
                GraphFinding::Itself { task: id(4) },
                GraphFinding::Cycle {
                    tasks: vec![id(1), id(2), id(3)]
                },
                GraphFinding::Cycle {
                    tasks: vec![id(7), id(8)]
                },
            ]
        );
    }

    #[test]
    fn a_closure_holds_what_has_to_succeed_and_no_more() {
        let graph = Graph::build(vec![
            declared(1, &[], &[]),
            declared(2, &[1], &[]),
            declared(3, &[2], &[4]),
            declared(4, &[], &[]),
            declared(5, &[3], &[]),
        ]);
        let graph = graph.unwrap();
        let three = graph.find(&id(3)).unwrap();
        let closure = graph.closure(&[three]);
        let names: Vec<&TaskId> = closure.iter().map(|&task| graph.id(task)).collect();
        assert_eq!(names, [&id(1), &id(2), &id(3)]);
        assert_eq!(graph.before(three).len(), 2);
        assert_eq!(graph.successors(three), [graph.find(&id(5)).unwrap()]);
    }

    #[test]
    fn a_hundred_thousand_tasks_are_put_in_order() {
        const COUNT: usize = 100_000;
        let chain = |number: usize| {
            let after: Vec<usize> = (number.saturating_sub(3)..number).collect();
            declared(number, &after, &[])
        };
        let graph = Graph::build((0..COUNT).rev().map(chain).collect()).unwrap();
        assert_eq!(graph.order().len(), COUNT);
        assert_eq!(graph.closure(&[number(COUNT - 1)]).len(), COUNT);
    }

    #[test]
    fn many_tasks_behind_a_cycle_are_one_finding() {
        let mut tasks = vec![declared(0, &[1], &[]), declared(1, &[0], &[])];
        tasks.extend((2..50_000).map(|number| declared(number, &[number - 1], &[])));
        let findings = Graph::build(tasks).unwrap_err();
        let tasks = vec![id(0), id(1)];
        assert_eq!(findings, [GraphFinding::Cycle { tasks }]);
    }

    proptest! {
        /// Edges to smaller numbers cannot form a cycle; one more edge may, and then it is told.
        #[test]
        fn order_follows_edges_and_cycles_are_real(
            edges in proptest::collection::vec((0..20usize, 0..20usize, any::<bool>()), 0..60),
        ) {
            let mut tasks: Vec<Declared> = (0..20).map(|number| declared(number, &[], &[])).collect();
            for &(from, to, is_hard) in edges.iter().filter(|(from, to, _)| from != to) {
                let task = &mut tasks[from];
                let list = if is_hard { &mut task.after } else { &mut task.follows };
                list.push(id(to));
            }
            match Graph::build(tasks.clone()) {
                Ok(graph) => {
                    let mut place = [0; 20];
                    for (at, &task) in graph.order().iter().enumerate() {
                        place[task as usize] = at;
                    }
                    for task in 0..20 {
                        for &other in graph.before(task) {
                            prop_assert!(place[other as usize] < place[task as usize]);
                        }
                    }
                }
                Err(findings) => {
                    prop_assert!(!findings.is_empty());
                    for finding in findings {
                        let GraphFinding::Cycle { tasks: round } = finding else {
                            panic!("{finding:?}");
                        };
                        let nexts = round.iter().cycle().skip(1);
                        for (task, next) in round.iter().zip(nexts) {
                            let task = tasks.iter().find(|known| known.id == *task).unwrap();
                            prop_assert!(task.after.contains(next) || task.follows.contains(next));
                        }
                    }
                }
            }
        }
    }
}
