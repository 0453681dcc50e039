//! What no sane workspace has, and some have all the same.

use super::Tasks;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// Everything below a folder, from it, in order.
fn listed(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    super::walk(folder, &mut files);
    let mut names: Vec<PathBuf> = files
        .iter()
        .map(|file| file.strip_prefix(folder).unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn any_name_that_is_legal_is_an_input_and_an_output() {
    let tasks =
        Tasks::new("  t: {shell: 'cp -r -- src o', inputs: ['src/**'], outputs: ['o/**']}\n");
    let long = "n".repeat(255);
    let deep = ["d"; 400].join("/");
    let names: [&[u8]; 14] = [
        b"-rf",
        b"--",
        b"new\nline",
        b"tab\tand space ",
        b"'quote\"s`$(echo no)",
        b"*",
        b"[a]{b,c}",
        b"\\",
        b"!not",
        b"%25",
        b"\xff\xfe not text",
        "e\u{301} is not \u{e9}".as_bytes(),
        long.as_bytes(),
        deep.as_bytes(),
    ];
    for name in names {
        let path = tasks.path("src").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    tasks.run(&["t"]).ok();
    assert_eq!(listed(&tasks.path("o")).len(), names.len());
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "up_to_date");
    fs::remove_dir_all(tasks.path("o")).unwrap();
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "restored");
    assert_eq!(listed(&tasks.path("o")), listed(&tasks.path("src")));
    for name in names {
        let path = tasks.path("o").join(OsStr::from_bytes(name));
        assert_eq!(fs::read(path).unwrap(), name);
    }
}

#[test]
fn what_lies_too_deep_is_told() {
    let tasks = Tasks::new("  t: {shell: 'ls src > out', inputs: ['src/**'], outputs: [out]}\n");
    fs::create_dir_all(tasks.path("src").join(["d"; 900].join("/"))).unwrap();
    tasks.run(&["t"]).failed_with("t", "task.build_key_failed");
    assert_eq!(tasks.why("t")["verdict"], "unbuildable");
}

#[test]
fn links_in_circles_lead_nowhere() {
    let tasks = Tasks::new(
        "  some: {shell: 'ls src > out', inputs: ['src/**'], outputs: [out]}\n  all: {shell: 'ls > list', outputs: [list]}\n",
    );
    tasks
        .write(".gitignore", "/cache\n/data\n")
        .write("src/a", "");
    for (target, link) in [
        ("one", "src/other"),
        ("other", "src/one"),
        ("self", "src/self"),
        (".", "src/here"),
        ("../..", "src/up"),
        ("/", "src/root"),
        ("/nowhere", "src/gone"),
        ("a/b", "src/below_a_file"),
        ("../lib", "src/lib"),
        ("../src", "lib/src"),
    ] {
        fs::create_dir_all(tasks.path(link).parent().unwrap()).unwrap();
        symlink(target, tasks.path(link)).unwrap();
    }
    let both = ["some", "all"];
    tasks.run(&both).ok();
    let again = tasks.run(&both);
    assert_eq!(
        (again.outcome("some"), again.outcome("all")),
        ("up_to_date", "up_to_date")
    );
    tasks.write("lib/x", "new");
    let run = tasks.run(&both);
    assert_eq!((run.outcome("some"), run.outcome("all")), ("ran", "ran"));
}

#[test]
fn an_edit_that_hides_is_seen() {
    let tasks = Tasks::new("  t: {shell: 'cat in > out', inputs: [in], outputs: [out]}\n");
    tasks.write("in", "one").write("stamp", "");
    tasks.run(&["t"]).ok();
    // The same size, the same time, the same name.
    let edit = "touch -r in stamp; printf two > in; touch -r stamp in";
    let shell = |script: &str| {
        let mut command = std::process::Command::new("sh");
        assert!(
            command
                .arg("-c")
                .arg(script)
                .current_dir(tasks.place.path())
                .status()
                .unwrap()
                .success()
        );
    };
    shell(edit);
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
    assert_eq!(tasks.read("out"), "two");
    shell("touch -r out stamp; printf six > out; touch -r stamp out");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "restored");
    assert_eq!(tasks.read("out"), "two");
    // Times before the beginning and far ahead.
    for time in ["1960-01-01", "2400-01-01"] {
        shell(&format!(
            "printf {} > in; touch -d {time} in out",
            &time[..4]
        ));
        assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran", "{time}");
        assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "up_to_date", "{time}");
    }
}

#[test]
fn a_command_that_removes_what_it_stands_on() {
    let tasks = Tasks::new(
        "  cache: {shell: 'rm -rf cache; cat in > a', inputs: [in], outputs: [a]}\n  \
           own: {shell: 'rm -rf .mainstay; cat in > b', inputs: [in], outputs: [b]}\n  \
           manifest: {shell: 'mv mainstay.yaml saved; cat in > c', inputs: [in], outputs: [c]}\n",
    );
    tasks.write("in", "x");
    let run = tasks.run(&["cache"]);
    assert_eq!(run.ok().outcome("cache"), "ran");
    assert_eq!(tasks.read("a"), "x");
    for task in ["cache", "own", "manifest"] {
        tasks.write("in", task);
        let run = tasks.run(&[task]);
        assert_eq!(run.ok().outcome(task), "ran", "{:?}", run.ran);
    }
    fs::rename(tasks.path("saved"), tasks.path("mainstay.yaml")).unwrap();
    assert_eq!(tasks.run(&["own"]).ok().outcome("own"), "ran");
}

#[test]
fn a_place_that_changes_its_kind() {
    let tasks = Tasks::new(
        "  t: {shell: 'sh make', inputs: [make, 'in/**', '{in}'], outputs: ['o/**', '{o}']}\n",
    );
    let file = "rm -rf o; echo file > o";
    let folder = "rm -rf o; mkdir o; echo inner > o/x";
    let link = "rm -rf o; ln -s elsewhere o";
    for (script, expected) in [
        (file, "ran"),
        (folder, "ran"),
        (link, "ran"),
        (file, "restored"),
        (link, "restored"),
        (folder, "restored"),
    ] {
        tasks.write("make", script);
        let run = tasks.run(&["t"]);
        assert_eq!(run.ok().outcome("t"), expected, "{script}: {:?}", run.ran);
        assert_eq!(
            tasks.run(&["t"]).ok().outcome("t"),
            "up_to_date",
            "{script}"
        );
    }
    assert_eq!(tasks.read("o/x"), "inner\n");
    tasks.write("in", "file");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
    fs::remove_file(tasks.path("in")).unwrap();
    tasks.write("in/file", "");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
}
