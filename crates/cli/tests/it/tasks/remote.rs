//! One cache for several machines, played by several cache folders.

use super::{TaskRun, Tasks};
use crate::harness::{CacheServer, Place, Ran};

fn tasks(remote: &str) -> Tasks {
    let tasks = Tasks::of(&format!(
        "version: 1\nname: w\nsecrets: {{token: {{env: CACHE_TOKEN}}, key: {{env: CACHE_KEY}}}}\n\
         cache: {{remote: {{{remote}}}}}\n\
         tasks:\n  t: {{shell: 'cat in in > out; head -c 3000000 in >> out; echo said', inputs: [in], outputs: [out]}}\n"
    ));
    tasks.write("in", &"content\n".repeat(300_000));
    tasks
}

/// Runs on a machine of its own: another cache folder, no outputs.
fn elsewhere(tasks: &Tasks, name: &str, key: &str) -> TaskRun {
    let _gone = std::fs::remove_file(tasks.path("out"));
    let mut command = tasks.command(&["t"]);
    let cache = tasks.path(name);
    command.arg("--cache-dir").arg(cache);
    command
        .env("CACHE_TOKEN", "secret token")
        .env("CACHE_KEY", key);
    TaskRun::of(Ran::of(&command.output().unwrap()))
}

#[test]
fn what_one_made_the_other_gets() {
    let server = Place::new("version: 1\n", "[]");
    let served = CacheServer::start(&server, &[], Some("secret token"));
    let url = format!(
        "url: \"grpc://{}\", token: {{secret: token}}, sign: {{secret: key}}",
        served.address
    );
    let tasks = tasks(&url);
    let first = elsewhere(&tasks, "one", "signing key");
    assert_eq!(first.ok().outcome("t"), "ran");
    let made = tasks.read("out");
    let second = elsewhere(&tasks, "two", "signing key");
    assert_eq!(
        (second.ok().outcome("t"), second.said()),
        ("restored", "said\n".to_owned())
    );
    assert_eq!(tasks.read("out"), made);
    let other = elsewhere(&tasks, "three", "another key");
    assert_eq!(
        other.ok().outcome("t"),
        "ran",
        "what somebody else signed is not believed"
    );
}

#[test]
fn a_remote_that_is_gone_or_wrong_costs_nothing_but_its_answer() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for address in [silent.local_addr().unwrap(), gone] {
        let tasks = tasks(&format!("url: \"grpc://{address}\", timeout: 500ms"));
        let began = std::time::Instant::now();
        let run = elsewhere(&tasks, "one", "k");
        assert_eq!(run.ok().outcome("t"), "ran");
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
        let summary = run.events.last().unwrap();
        assert!(summary["remote_failure"].is_string(), "{summary}");
    }
    let server = Place::new("version: 1\n", "[]");
    let served = CacheServer::start(&server, &[], None);
    let tasks = tasks(&format!("url: \"grpc://{}\"", served.address));
    elsewhere(&tasks, "one", "k").ok();
    for file in served.files("") {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    let run = elsewhere(&tasks, "two", "k");
    assert_eq!(run.ok().outcome("t"), "ran", "damaged there, so made here");
}

#[test]
fn nobody_serves_a_cache_to_the_world_without_a_token() {
    let server = Place::new("version: 1\n", "[]");
    let ran = server.mainstay(&["--json", "cache", "serve", "--listen", "0.0.0.0:0"]);
    ran.failed_with("runtime.invalid_request");
}
