//! Pulled plugs: two runs and two workspaces on one cache, collected meanwhile, killed at any moment.

use super::Tasks;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

const KILLS: usize = 200;

const TASKS: &str = "\
    a: {shell: 'mkdir -p o; for i in 1 2 3 4 5 6; do cat in in > o/a$i; done; head -c 200000 /dev/zero > o/large; cat in >> o/large', inputs: [in], outputs: ['o/**']}\n  \
    b: {shell: 'cat o/a1 o/large > b; echo said', inputs: [o/a1, o/large], outputs: [b]}\n";

fn start(tasks: &Tasks, folder: &str, args: &[&str]) -> Child {
    let mut command = tasks.place.command(args);
    command.current_dir(tasks.path(folder));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The outputs that follow from the input, all of them, or a panic that says which are wrong.
fn check(tasks: &Tasks, folder: &str, round: usize) {
    let input = tasks.read(&format!("{folder}/in"));
    let twice = format!("{input}{input}");
    for number in 1..=6 {
        let found = tasks.read(&format!("{folder}/o/a{number}"));
        assert_eq!(found, twice, "{folder}/o/a{number} in round {round}");
    }
    let large = fs::read(tasks.path(&format!("{folder}/o/large"))).unwrap();
    assert!(large.len() == 200_000 + input.len() && large.ends_with(input.as_bytes()));
    let whole = fs::read(tasks.path(&format!("{folder}/b"))).unwrap();
    assert_eq!(
        whole,
        [twice.as_bytes(), &large].concat(),
        "{folder}/b in round {round}"
    );
}

#[test]
fn never_a_wrong_byte() {
    let tasks = Tasks::new("  none: {command: ['true']}\n");
    let manifest = format!("version: 1\nname: w\ntasks:\n  {TASKS}");
    for folder in ["one", "two"] {
        tasks.write(&format!("{folder}/mainstay.yaml"), &manifest);
    }
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut below = |most: u32| random.next_u32() % most;
    let run = ["task", "run", "b"];
    let gc = ["cache", "gc", "--max-size", "600KiB"];
    for round in 0..KILLS {
        for folder in ["one", "two"] {
            // Few inputs, so that results are found again as well as made.
            tasks.write(&format!("{folder}/in"), &format!("input {}\n", below(4)));
            if below(3) == 0 {
                let _gone = fs::remove_dir_all(tasks.path(&format!("{folder}/o")));
            }
        }
        let mut under_way = vec![
            start(&tasks, "one", &run),
            start(&tasks, "two", &run),
            start(&tasks, "one", &run),
            start(&tasks, "one", &gc),
        ];
        std::thread::sleep(Duration::from_micros(u64::from(below(60_000))));
        let victim = usize::try_from(below(4)).unwrap();
        under_way[victim].kill().unwrap();
        for mut child in under_way {
            child.wait().unwrap();
        }
        for folder in ["one", "two"] {
            let mut last = start(&tasks, folder, &run);
            assert!(last.wait().unwrap().success(), "{folder} in round {round}");
            check(&tasks, folder, round);
        }
    }
    tasks.place.mainstay(&["cache", "gc"]).ok();
    assert!(
        tasks.cached("tmp").is_empty(),
        "the collection takes what the dead left"
    );
}
