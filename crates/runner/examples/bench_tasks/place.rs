//! The workspace that is measured.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const TASKS: usize = 10;
const FILES: usize = 10;

/// Two copies of one workspace, `ours` and `ninja`, and a cache.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    projects: usize,
    targets: Vec<String>,
}

impl Place {
    /// So many tasks in projects of ten.
    pub(crate) fn new(tasks: usize) -> Self {
        Self::tree(tasks, &beside_target())
    }

    /// The same, in a file system that lies in memory.
    pub(crate) fn in_memory(tasks: usize) -> Self {
        Self::tree(tasks, Path::new("/dev/shm"))
    }

    fn tree(tasks: usize, folder: &Path) -> Self {
        let projects = tasks / TASKS;
        let targets = (0..TASKS).map(|task| format!(":t{task}")).collect();
        let place = Self::empty(projects, targets, folder);
        for tool in ["ours", "ninja"] {
            for project in 0..projects {
                place.inputs(tool, project);
            }
        }
        let names: Vec<String> = (0..projects).map(|project| format!("p{project}")).collect();
        let root = format!("version: 1\nname: root\nprojects: [{}]\n", names.join(", "));
        fs::write(place.path("ours/mainstay.yaml"), root).unwrap();
        let mut build = "rule sh\n  command = cd $dir && $cmd\n".to_owned();
        for project in 0..projects {
            let mut manifest = format!("version: 1\nname: p{project}\ntasks:\n");
            for task in 0..TASKS {
                let before = before(project, task);
                let script = script(task, before);
                let (mut input, mut made) = (String::new(), String::new());
                if let Some((p, t)) = before {
                    write!(input, ", /p{p}/out/t{t}.txt").unwrap();
                    write!(made, " p{p}/out/t{t}.txt").unwrap();
                }
                writeln!(
                    manifest,
                    "  t{task}:\n    shell: '{script}'\n    inputs: [\"src/t{task}/*.txt\"{input}]\n    outputs: [out/t{task}.txt]"
                )
                .unwrap();
                let files = (0..FILES).map(|file| format!("p{project}/src/t{task}/f{file}.txt"));
                let files = files.collect::<Vec<_>>().join(" ");
                writeln!(
                    build,
                    "build p{project}/out/t{task}.txt: sh {files}{made}\n  dir = p{project}\n  cmd = {script}"
                )
                .unwrap();
            }
            fs::write(
                place.path(&format!("ours/p{project}/mainstay.yaml")),
                manifest,
            )
            .unwrap();
        }
        fs::write(place.path("ninja/build.ninja"), build).unwrap();
        place
    }

    /// One task with so many incompressible outputs of 1 MiB.
    pub(crate) fn large(files: usize) -> Self {
        let script = format!(
            "mkdir -p out; i=0; while [ $i -lt {files} ]; do head -c 1048576 /dev/urandom > out/b$i; i=$((i+1)); done"
        );
        Self::single(&script, "['out/**']")
    }

    /// One task that says so many bytes, and writes as many to a file.
    pub(crate) fn flood(bytes: u64) -> Self {
        let script = format!("head -c {bytes} /dev/zero; head -c {bytes} /dev/zero > large");
        Self::single(&script, "[large]")
    }

    fn single(script: &str, outputs: &str) -> Self {
        let place = Self::empty(0, vec!["t".to_owned()], &beside_target());
        let manifest = format!(
            "version: 1\nname: w\ntasks:\n  t: {{shell: '{script}', inputs: [], outputs: {outputs}}}\n"
        );
        fs::write(place.path("ours/mainstay.yaml"), manifest).unwrap();
        place
    }

    fn empty(projects: usize, targets: Vec<String>, folder: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("bench-tasks-")
            .tempdir_in(folder)
            .unwrap();
        fs::create_dir(folder.path().join("ours")).unwrap();
        fs::create_dir(folder.path().join("ninja")).unwrap();
        Self {
            folder,
            projects,
            targets,
        }
    }

    fn inputs(&self, tool: &str, project: usize) {
        let root = self.path(&format!("{tool}/p{project}"));
        fs::create_dir_all(root.join("out")).unwrap();
        for task in 0..TASKS {
            fs::create_dir_all(root.join(format!("src/t{task}"))).unwrap();
            for file in 0..FILES {
                let path = root.join(format!("src/t{task}/f{file}.txt"));
                let line = format!("{project}/{task}/{file} ");
                fs::write(path, line.repeat(1024 / line.len())).unwrap();
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn mainstay(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(self.path("ours"))
            .arg("--cache-dir")
            .arg(self.path("cache"));
        command.args(["-q", "task", "run"]).args(&self.targets);
        command
    }

    pub(crate) fn ninja(&self) -> Command {
        let mut command = Command::new("ninja");
        command.current_dir(self.path("ninja"));
        command
    }

    /// Adds the same graph for Turborepo, in `turbo`, and a package manager that only starts a shell.
    pub(crate) fn add_turbo(&self) {
        let folders: Vec<String> = (0..self.projects)
            .map(|project| format!("\"p{project}\""))
            .collect();
        let root = format!(
            r#"{{"name":"ws","private":true,"packageManager":"npm@10.8.2","workspaces":[{}]}}"#,
            folders.join(",")
        );
        let mut lock = format!(r#""":{{"name":"ws","workspaces":[{}]}}"#, folders.join(","));
        let mut tasks = Vec::new();
        for project in 0..self.projects {
            self.inputs("turbo", project);
            let mut scripts = Vec::new();
            for task in 0..TASKS {
                let before = before(project, task);
                let script = script(task, before);
                let file = self.path(&format!("turbo/p{project}/.scripts/t{task}.sh"));
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, &script).unwrap();
                scripts.push(format!(r#""t{task}":"{script}""#));
                let after = before
                    .map(|(p, t)| format!(r#""p{p}#t{t}""#))
                    .unwrap_or_default();
                tasks.push(format!(
                    r#""p{project}#t{task}":{{"inputs":["src/t{task}/*.txt"],"outputs":["out/t{task}.txt"],"dependsOn":[{after}]}}"#
                ));
            }
            let package = format!(
                r#"{{"name":"p{project}","version":"1.0.0","scripts":{{{}}}}}"#,
                scripts.join(",")
            );
            fs::write(
                self.path(&format!("turbo/p{project}/package.json")),
                package,
            )
            .unwrap();
            write!(
                lock,
                r#","p{project}":{{"name":"p{project}","version":"1.0.0"}},"node_modules/p{project}":{{"resolved":"p{project}","link":true}}"#
            )
            .unwrap();
        }
        let lock =
            format!(r#"{{"name":"ws","lockfileVersion":3,"requires":true,"packages":{{{lock}}}}}"#);
        fs::write(self.path("turbo/package.json"), root).unwrap();
        fs::write(self.path("turbo/package-lock.json"), lock).unwrap();
        let tasks = format!(r#"{{"tasks":{{{}}},"envMode":"strict"}}"#, tasks.join(","));
        fs::write(self.path("turbo/turbo.json"), tasks).unwrap();
        let stub = self.path("stub/npm");
        fs::create_dir_all(stub.parent().unwrap()).unwrap();
        fs::write(&stub, "#!/bin/sh\nexec sh .scripts/\"$2\".sh\n").unwrap();
        fs::set_permissions(stub, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn turbo(&self) -> Command {
        let program = beside_target().join("tools/turbo/node_modules/.bin/turbo");
        assert!(program.is_file(), "`cargo xtask test` installs turbo");
        let mut command = Command::new(program);
        command.current_dir(self.path("turbo")).arg("run");
        command.args((0..TASKS).map(|task| format!("t{task}")));
        command.args([
            "--no-daemon",
            "--output-logs=none",
            "--ui=stream",
            "--concurrency=2",
        ]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.path("stub")]
            .into_iter()
            .chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap());
        command
            .env("HOME", self.folder.path())
            .env("TURBO_TELEMETRY_DISABLED", "1");
        command
    }

    pub(crate) fn remove_outputs(&self) {
        for project in 0..self.projects {
            for task in 0..TASKS {
                fs::remove_file(self.output("ours", project, task)).unwrap();
            }
        }
    }

    pub(crate) fn touch_leaf(&self, round: usize) {
        for tool in ["ours", "ninja"] {
            let last = self.projects - 1;
            let path = self.path(&format!("{tool}/p{last}/src/t{}/f0.txt", TASKS - 1));
            fs::write(path, format!("round {round}")).unwrap();
        }
    }

    /// Waits until what was removed before no longer slows the making of files.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(7);
        // Written data is on its way to the disk meanwhile, and not in the way of what is measured.
        let _synced = Command::new("sync").status();
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    /// Compares every output with what it has to be.
    pub(crate) fn check(&self) {
        self.check_of("ours");
    }

    pub(crate) fn check_turbo(&self) {
        self.check_of("turbo");
    }

    fn check_of(&self, tool: &str) {
        let mut made = std::collections::HashMap::new();
        for project in 0..self.projects {
            for task in 0..TASKS {
                let mut wanted = Vec::new();
                if let Some(before) = before(project, task) {
                    let start: &Vec<u8> = &made[&before];
                    wanted.extend(&start[..64.min(start.len())]);
                }
                for file in 0..FILES {
                    let path = format!("{tool}/p{project}/src/t{task}/f{file}.txt");
                    wanted.extend(fs::read(self.path(&path)).unwrap());
                }
                let found = fs::read(self.output(tool, project, task)).unwrap();
                assert!(found == wanted, "p{project}/out/t{task}.txt is wrong");
                made.insert((project, task), wanted);
            }
        }
    }

    fn output(&self, tool: &str, project: usize, task: usize) -> PathBuf {
        self.path(&format!("{tool}/p{project}/out/t{task}.txt"))
    }
}

/// The task whose output a task reads.
fn before(project: usize, task: usize) -> Option<(usize, usize)> {
    match (project, task) {
        (0, 0) => None,
        (_, 0) => Some(((project - 1) / 2, TASKS - 1)),
        _ => Some((project, task - 1)),
    }
}

fn script(task: usize, before: Option<(usize, usize)>) -> String {
    let head = before.map(|(p, t)| format!("head -c 64 ../p{p}/out/t{t}.txt; "));
    let head = head.unwrap_or_default();
    format!("{{ {head}cat src/t{task}/*.txt; }} > out/t{task}.txt")
}

/// A folder on the disk that the build is on.
pub(crate) fn beside_target() -> PathBuf {
    own().parent().unwrap().parent().unwrap().to_owned()
}

/// The program that is measured.
pub(crate) fn binary() -> PathBuf {
    own().parent().unwrap().join("mainstay")
}

fn own() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    Path::new(&exe).parent().unwrap().to_owned()
}
