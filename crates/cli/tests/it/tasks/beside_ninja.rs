//! Random graphs, random edits: what ninja makes and what runs again is what we make and run again.

use super::Tasks;
use crate::harness::skipped;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

const ROUNDS: usize = 6;

struct Graph {
    /// For each task the sources that it reads, and the tasks whose outputs it reads.
    tasks: Vec<(Vec<usize>, Vec<usize>)>,
    sources: usize,
}

fn below(random: &mut ChaCha8Rng, most: usize) -> usize {
    usize::try_from(random.next_u32()).unwrap() % most.max(1)
}

fn graph(random: &mut ChaCha8Rng) -> Graph {
    let sources = 2 + below(random, 6);
    let count = 2 + below(random, 10);
    let tasks = (0..count).map(|own| {
        let some = |random: &mut ChaCha8Rng, of: usize| -> Vec<usize> {
            let picks = (0..below(random, 3)).map(|_| below(random, of));
            picks.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let mut read = some(random, sources);
        let made = if own == 0 {
            Vec::new()
        } else {
            some(random, own)
        };
        if read.is_empty() && made.is_empty() {
            read.push(own % sources);
        }
        (read, made)
    });
    Graph {
        tasks: tasks.collect(),
        sources,
    }
}

/// What a task runs: it notes that it did, and puts its inputs together.
fn script(own: usize, read: &[usize], made: &[usize], log: &str) -> (String, Vec<String>) {
    let mut inputs: Vec<String> = read.iter().map(|source| format!("s{source}")).collect();
    inputs.extend(made.iter().map(|task| format!("o{task}")));
    let script = format!("echo {own} >> {log} && cat {} > o{own}", inputs.join(" "));
    (script, inputs)
}

fn ran(path: &std::path::Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let _fresh = std::fs::remove_file(path);
    text.lines().map(str::to_owned).collect()
}

/// Waits until a file that is written now is younger than all that were written before: times are all that
/// ninja looks at.
fn next_tick(tasks: &Tasks) {
    let time = || {
        tasks.write("tick", "");
        std::fs::metadata(tasks.path("tick"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = time();
    crate::harness::wait_until("the clock ticks", || time() > before);
}

/// The same graph for both, each in a folder of its own; and the names of our tasks.
fn described(graph: &Graph) -> (Tasks, Vec<String>) {
    let (mut manifest, mut build) = (String::new(), "rule sh\n  command = $cmd\n".to_owned());
    let mut all = Vec::new();
    for (own, (read, made)) in graph.tasks.iter().enumerate() {
        let (ours, inputs) = script(own, read, made, "../log-ours");
        let (theirs, _) = script(own, read, made, "../log-ninja");
        let (listed, spaced) = (inputs.join(", "), inputs.join(" "));
        let task = format!("{{shell: '{ours}', inputs: [{listed}], outputs: [o{own}]}}");
        writeln!(manifest, "  t{own}: {task}").unwrap();
        writeln!(build, "build o{own}: sh {spaced}\n  cmd = {theirs}").unwrap();
        all.push(format!("t{own}"));
    }
    let tasks = Tasks::new("  none: {command: ['true']}\n");
    let manifest = format!("version: 1\nname: w\ntasks:\n{manifest}");
    tasks.write("ours/mainstay.yaml", &manifest);
    tasks.write("ninja/build.ninja", &build);
    (tasks, all)
}

#[test]
fn equal_outputs_and_equal_sets_of_tasks_that_ran() {
    let Ok(version) = Command::new("ninja").arg("--version").output() else {
        return skipped("there is no ninja");
    };
    assert!(version.status.success());
    for seed in 0..8 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let graph = graph(&mut random);
        let (tasks, all) = described(&graph);
        for round in 0..ROUNDS {
            let edits: Vec<usize> = match round {
                0 => (0..graph.sources).collect(),
                _ => (0..below(&mut random, 3))
                    .map(|_| below(&mut random, graph.sources))
                    .collect(),
            };
            next_tick(&tasks);
            for source in &edits {
                for folder in ["ours", "ninja"] {
                    tasks.write(
                        &format!("{folder}/s{source}"),
                        &format!("{seed}/{round}/{source}\n"),
                    );
                }
            }
            let mut args: Vec<&str> = vec!["--json", "task", "run"];
            args.extend(all.iter().map(String::as_str));
            let output = tasks
                .place
                .command(&args)
                .current_dir(tasks.path("ours"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let output = Command::new("ninja")
                .current_dir(tasks.path("ninja"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let (ours, ninja) = (ran(&tasks.path("log-ours")), ran(&tasks.path("log-ninja")));
            assert_eq!(ours, ninja, "seed {seed}, round {round}, edited {edits:?}");
            for own in 0..graph.tasks.len() {
                let read = |folder: &str| tasks.read(&format!("{folder}/o{own}"));
                assert_eq!(
                    read("ours"),
                    read("ninja"),
                    "seed {seed}, round {round}, o{own}"
                );
            }
        }
    }
}
