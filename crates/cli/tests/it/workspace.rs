//! The workspace against a reference: the same seeded file operations are done by an agent in its view,
//! with kills between and within them, and by a plain shell in a plain folder. After `session apply` the
//! two folders are the same, byte for byte: kinds, modes, links, content, empty folders, odd names.

use crate::harness::Place;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const NAMES: [&str; 10] = [
    "a",
    "b",
    "c",
    "d/e",
    "d/f",
    "d",
    "g/h/i",
    "'odd name'",
    "-dash",
    "$(printf 'nl\\nb\\377yte')",
];
const STEPS: usize = 6;
const OPERATIONS: usize = 5;

fn operation(random: &mut ChaCha8Rng) -> String {
    let mut name = || NAMES[random.next_u64() as usize % NAMES.len()].replace("-dash", "./-dash");
    let (one, other) = (name(), name());
    let (one, other) = (
        format!("\"{}\"", one.trim_matches('\'')),
        format!("\"{}\"", other.trim_matches('\'')),
    );
    let number = random.next_u64() % 1000;
    match random.next_u64() % 13 {
        0 => format!("mkdir -p {one}"),
        1 | 2 => format!("echo {number} > {one}"),
        3 => format!("echo {number} >> {one}"),
        4 => format!("rm -rf {one}"),
        5 => format!("rmdir {one}"),
        // A folder of the real one cannot be renamed in an overlay; mv copies then, by rules of its own.
        6 => format!("[ -d {one} ] || [ -d {other} ] || mv -f {one} {other}"),
        7 => format!("ln -s {number} {one}"),
        8 => format!("ln -f {one} {other}"),
        9 => format!(
            "chmod {} {one}",
            ["700", "755", "750", "711"][number as usize % 4]
        ),
        10 => format!("cp -r {one} {other}"),
        11 => format!("rm -rf {one}; touch {one}"),
        _ => format!(
            "mkdir -p {one}/sub/empty && head -c {} /dev/zero > {one}/sub/big",
            number * 200
        ),
    }
}

fn commands(seed: u64) -> Vec<String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let quiet = |operation: String| format!("{{ {operation}; }} 2>/dev/null");
    (0..STEPS)
        .map(|_| {
            let all: Vec<String> = (0..OPERATIONS)
                .map(|_| quiet(operation(&mut random)))
                .collect();
            format!("umask 022; {}; true", all.join("; "))
        })
        .collect()
}

fn fill(folder: &Path) {
    fs::create_dir_all(folder.join("d/deep")).unwrap();
    fs::create_dir_all(folder.join("g/h")).unwrap();
    for (name, text) in [
        ("a", "a\n"),
        ("d/e", "e\n"),
        ("d/deep/x", "x\n"),
        ("g/h/i", "i\n"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("a", folder.join("c")).unwrap();
}

/// Everything below a folder, by path: kind, mode, content or target, and which names are one file.
fn picture(folder: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut picture = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    add(folder, folder, &mut picture, &mut inodes);
    picture
}

fn add(
    root: &Path,
    folder: &Path,
    picture: &mut BTreeMap<Vec<u8>, String>,
    inodes: &mut BTreeMap<u64, String>,
) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, found) = (entry.path(), entry.metadata().unwrap());
        let name = path
            .strip_prefix(root)
            .unwrap()
            .as_os_str()
            .as_bytes()
            .to_vec();
        let mode = found.mode() & 0o7777;
        let text = if found.is_symlink() {
            format!("link {:?}", fs::read_link(&path).unwrap())
        } else if found.is_dir() {
            add(root, &path, picture, inodes);
            format!("folder {mode:o}")
        } else if found.is_file() {
            let shown = String::from_utf8_lossy(&name).into_owned();
            let first = inodes.entry(found.ino()).or_insert(shown).clone();
            let content = fs::read(&path).unwrap_or_default();
            format!(
                "file {mode:o} {} {first}",
                String::from_utf8_lossy(&content)
            )
        } else {
            format!("special {mode:o}")
        };
        picture.insert(name, text);
    }
}

fn agent(place: &Place, seed: u64, kills: bool) {
    let args = ["--json", "run", "a", "go", "--session", "s", "--turn", "t"];
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..if kills { 3 } else { 0 } {
        let mut child = place.command(&args).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.next_u64() % 200_000));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.mainstay(&args).ok();
    place.mainstay(&["session", "apply", "s"]).ok();
    place.mainstay(&["session", "apply", "s"]).ok();
}

#[test]
fn views_are_exact_through_kills() {
    for seed in 1..=25 {
        let commands = commands(seed);
        let steps: Vec<_> = commands
            .iter()
            .map(|command| {
                let call =
                    serde_json::json!({ "name": "shell", "arguments": { "command": command } });
                serde_json::json!({ "tool_calls": [call] })
            })
            .chain([serde_json::json!({ "text": "done" })])
            .collect();
        let place = Place::scripted(&serde_json::to_string(&steps).unwrap());
        fs::remove_file(place.workspace().join("hello.txt")).unwrap();
        fill(&place.workspace());
        let reference = place.path().join("reference");
        fill(&reference);
        for command in &commands {
            let status = Command::new("/bin/sh")
                .current_dir(&reference)
                .args(["-c", command])
                .status();
            assert!(status.unwrap().success());
        }
        agent(&place, seed, seed % 2 == 0);
        let (found, expected) = (picture(&place.workspace()), picture(&reference));
        let differing: Vec<_> = found
            .iter()
            .chain(&expected)
            .filter(|(name, _)| found.get(*name) != expected.get(*name))
            .map(|(name, text)| (String::from_utf8_lossy(name).into_owned(), text.clone()))
            .collect();
        assert!(
            differing.is_empty(),
            "seed {seed}: {differing:?}\n{}",
            commands.join("\n")
        );
    }
}

#[test]
fn apply_elsewhere_needs_the_same_beginnings() {
    let place = Place::scripted(
        "- tool_calls: [{name: files_write, arguments: {path: hello.txt, content: new}}]\n- text: ok\n",
    );
    place.run(&["--session", "s"]).ok();
    fs::create_dir(place.path().join("same")).unwrap();
    place.write("same/hello.txt", "hello\n");
    place
        .mainstay(&["session", "apply", "s", "--to", "same"])
        .ok();
    assert_eq!(place.read("same/hello.txt"), "new");
    assert_eq!(place.read("work/hello.txt"), "hello\n");
    fs::create_dir(place.path().join("other")).unwrap();
    place.write("other/hello.txt", "different\n");
    let ran = place.mainstay(&["--json", "session", "apply", "s", "--to", "other"]);
    ran.failed_with("runtime.workspace_conflict");
}

#[test]
fn the_nodes_data_inside_the_workspace_is_no_part_of_it() {
    let text = "version: 1\nmodels:\n  m: {provider: script, file: script.yaml}\nagents:\n  \
                a: {model: m, workspace: ., tools: [shell, files]}\n";
    let script = "- tool_calls: [{name: shell, arguments: {command: 'ls data cache; echo x > y'}}]\n\
                  - text: ok\n";
    let place = Place::new(text, script);
    place.run(&["--session", "s"]).ok();
    let diff = place
        .mainstay(&["session", "diff", "s"])
        .ok()
        .stdout
        .clone();
    assert!(diff.contains("added file y"), "{diff}");
    assert!(!diff.contains("data/"), "{diff}");
    let told = place
        .mainstay(&["session", "export", "s"])
        .ok()
        .stdout
        .clone();
    assert!(!told.contains("mainstay.db"), "{told}");
}
