use super::*;
use crate::{Declared, TaskId};
use proptest::collection::vec;
use proptest::prelude::*;

fn id(number: usize) -> TaskId {
    TaskId::new("p", &format!("t{number:03}")).unwrap()
}

#[derive(Debug, Clone)]
struct Plan {
    tasks: Vec<(Vec<usize>, Vec<usize>, Needs)>,
    jobs: u32,
    keeps_going: bool,
    /// Which of the steps under way ends next, and what fails or hits.
    choices: Vec<usize>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let name = || vec("[xy]", 0..2);
    let needs = (1..4u32, name(), name(), name()).prop_map(|(weight, mutex, shared, tags)| {
        let mut mutex = mutex;
        mutex.sort();
        mutex.dedup();
        let mut mutex_shared: Vec<String> = shared
            .into_iter()
            .filter(|name| !mutex.contains(name))
            .collect();
        mutex_shared.dedup();
        let mut tags = tags;
        tags.dedup();
        Needs {
            weight,
            mutex,
            mutex_shared,
            tags,
        }
    });
    let task = (vec(any::<usize>(), 0..3), vec(any::<usize>(), 0..2), needs);
    let tasks = vec(task, 1..12).prop_map(|tasks| {
        let earlier = |own: usize, picks: Vec<usize>| -> Vec<usize> {
            picks
                .into_iter()
                .filter(|_| own > 0)
                .map(|pick| pick % own.max(1))
                .collect()
        };
        let numbered = tasks.into_iter().enumerate();
        numbered
            .map(|(own, (after, follows, needs))| {
                (earlier(own, after), earlier(own, follows), needs)
            })
            .collect::<Vec<_>>()
    });
    (tasks, 1..4u32, any::<bool>(), vec(any::<usize>(), 64)).prop_map(
        |(tasks, jobs, keeps_going, choices)| Plan {
            tasks,
            jobs,
            keeps_going,
            choices,
        },
    )
}

fn graph(plan: &Plan) -> Graph {
    let declared = plan
        .tasks
        .iter()
        .enumerate()
        .map(|(own, (after, follows, _))| Declared {
            id: id(own),
            after: after.iter().map(|&task| id(task)).collect(),
            follows: follows.iter().map(|&task| id(task)).collect(),
        });
    Graph::build(declared.collect()).unwrap()
}

/// Plays a plan and checks every promise on the way.
fn play(plan: &Plan) {
    let graph = graph(plan);
    let needs: Vec<Needs> = plan
        .tasks
        .iter()
        .map(|(_, _, needs)| needs.clone())
        .collect();
    let limits = Limits {
        jobs: plan.jobs,
        tags: BTreeMap::from([("x".to_owned(), 1)]),
        keeps_going: plan.keeps_going,
    };
    let all: Vec<u32> = graph.order().to_vec();
    let mut schedule = Schedule::new(&graph, &all, needs.clone(), limits);
    let mut under_way: Vec<Step> = Vec::new();
    let mut ended: BTreeMap<u32, Option<Ending>> = BTreeMap::new();
    let mut choices = plan.choices.iter().cycle().copied();
    let mut choose = |most: usize| choices.next().unwrap() % most;
    while !schedule.is_over() {
        while let Some(step) = schedule.poll() {
            let (Step::Look(task) | Step::Run(task)) = step;
            for before in graph.before(task) {
                assert!(
                    ended.contains_key(before),
                    "{task} before {before} was over"
                );
            }
            for after in graph.after(task) {
                assert_eq!(ended[after], Some(Ending::Succeeded));
            }
            under_way.push(step);
            check(&under_way, &needs, plan.jobs);
        }
        assert!(
            !under_way.is_empty() || schedule.is_over(),
            "nothing goes on"
        );
        if under_way.is_empty() {
            break;
        }
        let step = under_way.swap_remove(choose(under_way.len()));
        let ending = match choose(5) {
            0 => Ending::Failed,
            _ => Ending::Succeeded,
        };
        let task = match step {
            Step::Look(task) if choose(3) > 0 => {
                if schedule.looked(task) {
                    under_way.push(Step::Run(task));
                    check(&under_way, &needs, plan.jobs);
                }
                continue;
            }
            Step::Look(task) | Step::Run(task) => task,
        };
        let skipped = schedule.ended(task, ending);
        assert!(ended.insert(task, Some(ending)).is_none());
        for task in skipped {
            assert!(ended.insert(task, None).is_none());
        }
    }
    let left = schedule.left().count();
    assert_eq!(
        ended.len() + left,
        plan.tasks.len(),
        "every task has an end"
    );
    let has_failed = ended.values().any(|ending| *ending == Some(Ending::Failed));
    assert!(left == 0 || (has_failed && !plan.keeps_going));
}

fn check(under_way: &[Step], needs: &[Needs], jobs: u32) {
    let running = || {
        under_way.iter().filter_map(|step| match step {
            Step::Run(task) => Some(&needs[*task as usize]),
            Step::Look(_) => None,
        })
    };
    let used: u32 = running().map(|needs| needs.weight.clamp(1, jobs)).sum();
    assert!(used <= jobs, "{used} of {jobs} jobs");
    for name in ["x", "y"] {
        let has = |list: &[String]| list.iter().any(|held| held == name);
        let alone = running().filter(|needs| has(&needs.mutex)).count();
        let shared = running().filter(|needs| has(&needs.mutex_shared)).count();
        assert!(alone == 0 || alone + shared == 1, "{name} is held twice");
    }
    let tagged = running().filter(|needs| needs.tags.contains(&"x".to_owned()));
    assert!(tagged.count() <= 1);
}

proptest! {
    #[test]
    fn every_run_keeps_its_promises(plan in plan()) {
        play(&plan);
    }
}

#[test]
fn the_longest_way_goes_first() {
    let declared = |own: usize, after: &[usize]| Declared {
        id: id(own),
        after: after.iter().map(|&task| id(task)).collect(),
        follows: Vec::new(),
    };
    let tasks = vec![declared(0, &[]), declared(1, &[]), declared(2, &[1])];
    let graph = Graph::build(tasks).unwrap();
    let limits = Limits {
        jobs: 1,
        ..Limits::default()
    };
    let needs = vec![Needs::default(); 3];
    let mut schedule = Schedule::new(&graph, &[0, 1, 2], needs, limits);
    assert_eq!(schedule.poll(), Some(Step::Look(1)));
}

#[test]
fn a_hundred_thousand_behind_one_mutex_take_linear_time() {
    let count = 100_000;
    let declared = (0..count).map(|own| Declared {
        id: TaskId::new("p", &format!("t{own:06}")).unwrap(),
        after: Vec::new(),
        follows: Vec::new(),
    });
    let graph = Graph::build(declared.collect()).unwrap();
    let needs = Needs {
        mutex: vec!["m".to_owned()],
        ..Needs::default()
    };
    let limits = Limits {
        jobs: 4,
        ..Limits::default()
    };
    let mut schedule = Schedule::new(&graph, graph.order(), vec![needs; count], limits);
    let mut ran = 0;
    while !schedule.is_over() {
        let task = match schedule.poll().unwrap() {
            Step::Look(task) if !schedule.looked(task) => continue,
            Step::Look(task) | Step::Run(task) => task,
        };
        schedule.ended(task, Ending::Succeeded);
        ran += 1;
    }
    assert_eq!(ran, count);
}
