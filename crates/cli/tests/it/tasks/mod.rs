//! Tasks through the real binary.

mod agents;
mod beside_ninja;
mod cache;
mod errors;
mod hostile;
mod import;
mod jobservers;
mod kills;
mod known_defects;
mod ownership;
mod remote;
mod running;
mod served;
mod services;
mod watched;
mod watching;

use crate::harness::{BINARY, Place, Ran};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A workspace with tasks and a cache of its own.
struct Tasks {
    place: Place,
}

impl Tasks {
    /// `tasks`: what stands under `tasks:`, indented by two.
    fn new(tasks: &str) -> Self {
        Self::of(&format!("version: 1\nname: w\ntasks:\n{tasks}"))
    }

    fn of(manifest: &str) -> Self {
        Self {
            place: Place::new(manifest, "[]"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        self.place.read(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut all = vec!["--json", "task", "run"];
        all.extend(args);
        self.place.command(&all)
    }

    fn run(&self, args: &[&str]) -> TaskRun {
        TaskRun::of(Ran::of(&self.command(args).output().unwrap()))
    }

    /// Runs without JSON: stdout is what the commands said.
    fn plain(&self, args: &[&str]) -> Ran {
        let mut all = vec!["task", "run"];
        all.extend(args);
        self.place.mainstay(&all)
    }

    fn why(&self, target: &str) -> Value {
        let args = ["--json", "task", "why", target];
        self.place.mainstay(&args).ok().json()
    }

    /// The findings of `check`.
    fn findings(&self) -> Vec<Value> {
        let ran = self.place.mainstay(&["--json", "check"]);
        ran.json()["findings"].as_array().unwrap().clone()
    }

    /// Every file of a kind in the cache.
    fn cached(&self, kind: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(&self.path("cache/tasks").join(kind), &mut files);
        files
    }

    /// Runs git in the workspace.
    fn git(&self, args: &[&str]) {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"];
        let mut command = Command::new("git");
        let command = command.args(who).args(args).current_dir(self.place.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Writes a program.
    fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => walk(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

/// What a run said.
#[derive(Debug)]
struct TaskRun {
    ran: Ran,
    events: Vec<Value>,
}

impl TaskRun {
    fn of(ran: Ran) -> Self {
        let events = ran.lines();
        Self { ran, events }
    }

    /// How a task ended.
    #[track_caller]
    fn ended(&self, task: &str) -> &Value {
        let id = format!("w:{task}");
        let mut ended = self.events.iter().filter(|event| event["event"] == "ended");
        let found = ended.find(|event| event["task"] == id.as_str() || event["task"] == task);
        found.unwrap_or_else(|| panic!("{task} has no end: {:?}", self.ran))
    }

    #[track_caller]
    fn outcome(&self, task: &str) -> &str {
        self.ended(task)["outcome"].as_str().unwrap()
    }

    /// The codes of a task's reports.
    #[track_caller]
    fn codes(&self, task: &str) -> Vec<&str> {
        let reports = self.ended(task)["reports"].as_array().unwrap();
        reports
            .iter()
            .map(|report| report["code"].as_str().unwrap())
            .collect()
    }

    /// Asserts that a task failed with this code, that the report is whole, and that the program's exit
    /// code follows from it. Gives the report's data.
    #[track_caller]
    fn failed_with(&self, task: &str, code: &str) -> &Value {
        let reports = self.ended(task)["reports"].as_array().unwrap();
        let report = reports
            .last()
            .unwrap_or_else(|| panic!("no report: {:?}", self.ran));
        assert_eq!(report["code"], code, "{:?}", self.ran);
        crate::harness::assert_complete(report);
        assert_eq!(report["subject"]["id"], format!("w:{task}").as_str());
        let exit = mainstay_contract::Code::parse(code).info().exit;
        assert_eq!(self.ran.exit, i32::from(exit), "{:?}", self.ran);
        &report["data"]
    }

    #[track_caller]
    fn ok(&self) -> &Self {
        self.ran.ok();
        self
    }

    /// What the commands said on stdout.
    fn said(&self) -> String {
        let outputs = self
            .events
            .iter()
            .filter(|event| event["event"] == "output");
        let texts = outputs.filter(|event| event["stream"] == "stdout");
        texts.filter_map(|event| event["text"].as_str()).collect()
    }
}

/// Runs the program where one system call fails, as a test of the machine could only do by chance.
fn with_failing(call: i64, rules: Vec<seccompiler::SeccompRule>, mut command: Command) -> Ran {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let rules = [(call, rules)].into_iter().collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EIO.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    // The filter holds for this thread and what it starts.
    let thread = std::thread::spawn(move || {
        seccompiler::apply_filter(&program).unwrap();
        Ran::of(&command.output().unwrap())
    });
    thread.join().unwrap()
}

/// The program under test, for commands that start it themselves.
fn binary() -> &'static str {
    BINARY
}
