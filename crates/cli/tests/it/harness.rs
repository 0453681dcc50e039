//! A place for one test: a folder with a manifest, a script, a workspace and data of its own.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that anything in these tests may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mainstay");

pub(crate) struct Place {
    dir: TempDir,
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The last line of stdout as JSON.
    pub(crate) fn json(&self) -> Value {
        let line = self
            .stdout
            .lines()
            .last()
            .unwrap_or_else(|| panic!("no output: {self:?}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Every line of stdout as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The report on the last line: of the command itself, or of the turn that it ran.
    pub(crate) fn report(&self) -> Value {
        let last = self.json();
        if last["kind"] == "result" {
            last["data"]["error"].clone()
        } else {
            last
        }
    }

    /// Asserts that it failed with this code, and with the exit code that belongs to it.
    #[track_caller]
    pub(crate) fn failed_with(&self, code: &str) -> Value {
        let report = self.report();
        assert_eq!(report["code"], code, "{self:?}");
        assert_complete(&report);
        let exit = mainstay_contract::Code::parse(code).info().exit;
        assert_eq!(self.exit, i32::from(exit), "{self:?}");
        report
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }
}

/// Asserts that a report answers everything that the contract asks of it.
#[track_caller]
pub(crate) fn assert_complete(report: &Value) {
    for key in ["code", "message", "layer", "responsible", "docs", "effect"] {
        assert!(
            report[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}: {report}"
        );
    }
    assert!(report["retry"]["advice"].is_string(), "{report}");
    assert!(report["scored"].is_boolean(), "{report}");
    for key in ["input_tokens", "output_tokens", "usd", "ms"] {
        assert!(!report["spent"][key].is_null(), "{key}: {report}");
    }
}

impl Place {
    /// A place whose agent `a` has all local tools and answers from `script`.
    pub(crate) fn scripted(script: &str) -> Self {
        Self::new(
            &manifest("  m: {provider: script, file: script.yaml}\n", ""),
            script,
        )
    }

    pub(crate) fn new(manifest: &str, script: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mainstay-test-")
            .tempdir()
            .unwrap();
        let place = Self { dir };
        place.write("mainstay.yaml", manifest);
        place.write("script.yaml", script);
        fs::create_dir(place.workspace()).unwrap();
        place.write("work/hello.txt", "hello\n");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.path().join("work")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// The program, set on this place, with an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--cache-dir")
            .arg(self.path().join("cache"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn mainstay(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs it with arguments that name a data directory of their own.
    pub(crate) fn mainstay_at(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.path())
            .env("HOME", self.path())
            .args(args)
            .stdin(Stdio::null());
        Ran::of(&command.output().unwrap())
    }

    /// Runs it as an ordinary user, whose place this is then.
    pub(crate) fn as_ordinary_user(&self, args: &[&str]) -> Ran {
        use std::os::unix::fs::{PermissionsExt, chown};
        use std::os::unix::process::CommandExt;
        let binary = self.path().join("mainstay");
        if !binary.exists() {
            chown(self.path(), Some(1000), Some(1000)).unwrap();
            fs::copy(BINARY, &binary).unwrap();
            fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(&binary);
        command
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command.env("HOME", self.path()).env("TMPDIR", self.path());
        Ran::of(&command.uid(1000).gid(1000).output().unwrap())
    }

    /// Runs agent `a` with JSON output.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut all = vec!["--json", "run", "a", "go"];
        all.extend(args);
        self.mainstay(&all)
    }

    /// The durable events of a session.
    pub(crate) fn events(&self, session: &str) -> Vec<Value> {
        self.mainstay(&["--json", "session", "events", session])
            .ok()
            .lines()
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(
            self.command(&["--json", "serve", "--listen", "127.0.0.1:0"]),
            self,
        )
    }
}

/// A manifest with these models, one agent `a` with these extra keys.
pub(crate) fn manifest(models: &str, agent: &str) -> String {
    format!(
        "version: 1\nmodels:\n{models}agents:\n  a:\n    model: m\n    workspace: work\n    \
         tools: [shell, files]\n{agent}"
    )
}

/// A node in a process of its own; killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn start(mut command: Command, place: &Place) -> Self {
        use std::io::{BufRead, BufReader};
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line.is_empty() {
            let output = child.wait_with_output().unwrap();
            panic!(
                "the node did not start: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let said: Value = serde_json::from_str(&line).unwrap();
        let url = said["listening"].as_str().unwrap().to_owned();
        let key = place.read("data/key").trim().to_owned();
        Self { child, url, key }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in good order; its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn client(&self) -> reqwest::Client {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    /// Posts JSON with the node's key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let sent = self
            .client()
            .post(url)
            .bearer_auth(&self.key)
            .json(body)
            .send()
            .await;
        answer(sent.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        answer(
            self.client()
                .get(url)
                .bearer_auth(&self.key)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    /// Waits until a turn has ended or is parked.
    pub(crate) async fn settled(&self, turn: &str) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (_, view) = self.get(&format!("/api/turns/{turn}")).await;
            let state = view["state"].as_str().unwrap_or_default().to_owned();
            if !matches!(state.as_str(), "" | "accepted" | "running") {
                return view;
            }
            assert!(Instant::now() < deadline, "turn {turn} is still {state}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// `mainstay cache serve`, ended when it goes out of scope.
pub(crate) struct CacheServer {
    child: Child,
    pub(crate) address: String,
    folder: PathBuf,
}

impl CacheServer {
    pub(crate) fn start(place: &Place, args: &[&str], token: Option<&str>) -> Self {
        let mut all = vec!["--json", "cache", "serve", "--listen", "127.0.0.1:0"];
        all.extend(args);
        let mut command = place.command(&all);
        token.map(|token| command.env("MAINSTAY_CACHE_TOKEN", token));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        use std::io::BufRead;
        std::io::BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().to_owned();
        let folder = place.path().join("cache/served");
        Self {
            child,
            address,
            folder,
        }
    }

    /// The files below a part of what it keeps that hold anything.
    pub(crate) fn files(&self, part: &str) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.join(part)];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false if entry.metadata().unwrap().len() > 0 => files.push(entry.path()),
                    false => {}
                }
            }
        }
        files
    }
}

impl Drop for CacheServer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// Waits for a condition, up to [`LIMIT`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the tests run as root; some failures of the machine can only be staged then.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test could not run here, and why.
pub(crate) fn skipped(reason: &str) {
    println!("skipped: {reason}");
}
