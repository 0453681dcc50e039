//! What it costs to be observed: `cat` of 10,000 small files, plain and traced in turn. The value is the
//! time that each file takes longer, in microseconds; beside it how long `true` takes with 10,000 inputs
//! enforced.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark"
)]

use mainstay_runtimes::observe::{Mode, ObserveSpec, observe_main};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: u32 = 10_000;
const ROUNDS: usize = 9;

fn main() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__observe")
    {
        observe_main();
    }
    let folder = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(folder.path()).unwrap();
    let root = top.join("work");
    fs::create_dir(&root).unwrap();
    let names: Vec<String> = (0..FILES).map(|number| format!("file-{number}")).collect();
    for name in &names {
        fs::write(root.join(name), "a line\n").unwrap();
    }
    let mut spec = ObserveSpec {
        mode: Mode::Trace,
        report: top.join("report"),
        stage: Some(top.join("stage")),
        inputs: names.iter().map(|name| root.join(name)).collect(),
        root,
        outputs: Vec::new(),
    };
    let (mut plain, mut traced, mut enforced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        spec.mode = Mode::Trace;
        plain.push(time(Command::new("cat").args(&names), &spec.root));
        traced.push(time(
            wrapper(&spec, &top).arg("cat").args(&names),
            &spec.root,
        ));
        spec.mode = Mode::Enforce;
        fs::create_dir(top.join("stage")).unwrap();
        enforced.push(time(wrapper(&spec, &top).arg("true"), &spec.root));
        fs::remove_dir_all(top.join("stage")).unwrap();
    }
    let (plain, traced) = (median(plain), median(traced));
    eprintln!(
        "plain {plain:?}, traced {traced:?}, enforced {:?}",
        median(enforced)
    );
    let each = traced.saturating_sub(plain) / FILES;
    println!("{{\"value\": {:.1}}}", each.as_secs_f64() * 1e6);
}

fn wrapper(spec: &ObserveSpec, top: &Path) -> Command {
    let file = top.join("spec");
    spec.write(&file).unwrap();
    ObserveSpec::wrap(&std::env::current_exe().unwrap(), &file)
}

fn time(command: &mut Command, folder: &Path) -> Duration {
    let command = command.current_dir(folder).stdin(Stdio::null());
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
