//! The kill sweep: the same work, killed with SIGKILL at seeded moments, again and again, as real
//! processes over real data; the outcome must be the one of the undisturbed run.

use crate::harness::{Place, is_root, wait_until};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const KILLS: usize = 200;
const KILLS_PER_RUN: usize = 4;

/// Stores posts by their key, slowly, and finds them again.
struct Tracker {
    port: u16,
    posts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Tracker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let posts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let shared = Arc::clone(&posts);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let posts = Arc::clone(&shared);
                thread::spawn(move || answer(connection.unwrap(), &posts));
            }
        });
        Self { port, posts }
    }
}

fn answer(mut connection: std::net::TcpStream, posts: &Mutex<BTreeMap<String, usize>>) {
    let mut buffer = [0; 8192];
    let count = connection.read(&mut buffer).unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..count]).to_lowercase();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("idempotency-key: "));
    let status = if line.starts_with("post") {
        *posts
            .lock()
            .unwrap()
            .entry(key.unwrap_or_default().to_owned())
            .or_default() += 1;
        thread::sleep(Duration::from_millis(30));
        "201 Created"
    } else {
        let wanted = line
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap();
        if posts.lock().unwrap().contains_key(wanted) {
            "200 OK"
        } else {
            "404 Not Found"
        }
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
    let _gone = connection.write_all(answer.as_bytes());
}

fn place(port: u16) -> Place {
    let manifest = format!(
        "version: 1\nmodels:\n  m: {{provider: script, file: script.yaml}}\nagents:\n  a:\n    model: m\n    \
         workspace: work\n    max_attempts: 100\n    tools:\n      - shell\n      - files\n      - http:\n          \
         allow: [\"POST http://127.0.0.1:{port}/posts\"]\n          private: [\"127.0.0.1\"]\n          \
         probe: {{url: \"http://127.0.0.1:{port}/posts/{{key}}\"}}\n"
    );
    let post = format!(
        "{{name: http, arguments: {{method: POST, url: 'http://127.0.0.1:{port}/posts', body: x}}}}"
    );
    let script = format!(
        "- delay: 5ms\n  tool_calls: [{{name: shell, arguments: {{command: 'echo 1 >> log; mkdir -p d; sleep 0.02; echo 2 >> log'}}}}]\n\
         - delay: 5ms\n  tool_calls: [{post}, {{name: files_write, arguments: {{path: d/made, content: made}}}}]\n\
         - delay: 5ms\n  tool_calls: [{{name: shell, arguments: {{command: 'rm hello.txt; ln -s log link; sleep 0.02; echo 3 >> log'}}}}]\n\
         - delay: 5ms\n  tool_calls: [{post}]\n\
         - text: done\n"
    );
    Place::new(&manifest, &script)
}

const RUN: [&str; 8] = ["--json", "run", "a", "go", "--session", "s", "--turn", "t"];

#[test]
fn two_hundred_kills_lose_nothing_and_repeat_nothing() {
    let tracker = Tracker::start();
    let whole = place(tracker.port);
    let started = Instant::now();
    whole.mainstay(&RUN).ok();
    let length = started.elapsed();
    let expected = whole
        .mainstay(&["session", "diff", "s"])
        .ok()
        .stdout
        .clone();
    tracker.posts.lock().unwrap().clear();
    let mut kills = 0;
    let mut seed = 0;
    while kills < KILLS {
        seed += 1;
        kills += sweep(&tracker, seed, length, &expected);
    }
    println!("{kills} kills over {seed} runs, each run to the identical result");
}

/// One run, killed several times; how many kills met a living process.
fn sweep(tracker: &Tracker, seed: u64, length: Duration, expected: &str) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let place = place(tracker.port);
    let mut kills = 0;
    for _ in 0..KILLS_PER_RUN {
        let mut child = place.command(&RUN).spawn().unwrap();
        let moment = random.next_u64() % u64::try_from(length.as_micros()).unwrap();
        thread::sleep(Duration::from_micros(moment));
        let is_over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += usize::from(!is_over);
    }
    let ran = place.mainstay(&RUN);
    assert_eq!(
        ran.ok().json()["data"]["text"],
        "done",
        "seed {seed}: {ran:?}"
    );
    let diff = place
        .mainstay(&["session", "diff", "s"])
        .ok()
        .stdout
        .clone();
    assert_eq!(diff, expected, "seed {seed}");
    let posts = std::mem::take(&mut *tracker.posts.lock().unwrap());
    assert_eq!(posts.len(), 2, "seed {seed}: {posts:?}");
    assert!(
        posts.values().all(|count| *count == 1),
        "seed {seed}: {posts:?}"
    );
    check_tape(seed, &place.events("s"));
    place.mainstay(&["session", "replay", "t"]).ok();
    place.mainstay(&["doctor"]).ok();
    check_nothing_left(&place);
    kills
}

/// No gap on the tape, and exactly one result for every call.
fn check_tape(seed: u64, events: &[Value]) {
    let mut calls = BTreeSet::new();
    for (event, expected) in events.iter().zip(1..) {
        assert_eq!(event["seq"], expected, "seed {seed}");
        if event["kind"] == "tool_completed" {
            let step = event["data"]["step"].as_str().unwrap().to_owned();
            assert!(calls.insert(step), "seed {seed}: {event}");
        }
    }
    assert_eq!(calls.len(), 5, "seed {seed}");
}

fn check_nothing_left(place: &Place) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(place.path().to_str().unwrap()), "{mounts}");
    let views = place.path().join("cache/views");
    let left: usize = std::fs::read_dir(views)
        .into_iter()
        .flatten()
        .map(|node| std::fs::read_dir(node.unwrap().path()).unwrap().count())
        .sum();
    assert_eq!(left, 0, "views are left behind");
    if is_root() {
        wait_until("helper processes are gone", || !has_helpers(place));
    }
}

fn has_helpers(place: &Place) -> bool {
    let marker = place.path().to_str().unwrap();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        line.contains("__sandbox") && cwd.starts_with(marker)
    })
}
