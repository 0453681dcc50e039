//! The files tool, as the sandboxed process runs it.

use mainstay_runtimes::files::{answer, tools};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The tool makes the workspace the current folder, which a process has only one of.
static TURN: Mutex<()> = Mutex::new(());

struct Workspace {
    top: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Workspace {
    fn new(files: &[(&str, &str)]) -> Self {
        let workspace = Self {
            top: tempfile::tempdir().unwrap(),
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        };
        for (path, content) in files {
            let path = workspace.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn call(&self, tool: &str, arguments: Value) -> Value {
        answer(json!({ "tool": tool, "workspace": self.top.path(), "arguments": arguments }))
    }

    fn text(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments);
        assert_eq!(answer["ok"], true, "{answer}");
        answer["text"].as_str().unwrap().to_owned()
    }

    fn refusal(&self, tool: &str, arguments: Value) -> (String, String) {
        let answer = self.call(tool, arguments);
        assert_eq!(answer["ok"], false, "{answer}");
        let word = |name: &str| answer[name].as_str().unwrap().to_owned();
        (word("code"), word("text"))
    }

    fn failure(&self, tool: &str, arguments: Value) -> String {
        let (code, text) = self.refusal(tool, arguments);
        assert_eq!(code, "tool.failed", "{text}");
        text
    }

    fn fifo(&self, name: &str) {
        let mode = rustix::fs::Mode::RWXU;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, self.path(name), kind, mode, 0).unwrap();
    }
}

#[test]
fn every_tool_has_a_schema_that_refuses_what_it_does_not_know() {
    let names: Vec<&str> = tools().iter().map(|tool| tool.name).collect();
    let expected = [
        "files_read",
        "files_write",
        "files_edit",
        "files_list",
        "files_search",
    ];
    assert_eq!(names, expected);
    let workspace = Workspace::new(&[]);
    for tool in tools() {
        assert_eq!(tool.parameters["additionalProperties"], false);
        let (code, text) = workspace.refusal(tool.name, json!({ "colour": "red" }));
        assert_eq!(code, "tool.invalid_arguments");
        assert!(
            text.contains("colour") || text.contains("missing field"),
            "{text}"
        );
    }
    let (code, _) = workspace.refusal("files_fly", json!({}));
    assert_eq!(code, "tool.invalid_arguments");
    let (code, text) = workspace.refusal("files_read", json!({ "path": 7 }));
    assert_eq!(code, "tool.invalid_arguments");
    assert!(text.contains("string"), "{text}");
    assert_eq!(workspace.text("files_list", Value::Null), "Nothing there.");
}

#[test]
fn some_lines_are_read() {
    let workspace = Workspace::new(&[("f", "one\ntwo\nthree\nfour"), ("empty", "")]);
    let read = |arguments| workspace.text("files_read", arguments);
    assert_eq!(read(json!({ "path": "f" })), "one\ntwo\nthree\nfour");
    let absolute = workspace.path("f");
    assert_eq!(read(json!({ "path": absolute })), "one\ntwo\nthree\nfour");
    let some = read(json!({ "path": "f", "offset": 2, "limit": 2 }));
    assert_eq!(some, "two\nthree\n\n[lines 2 to 3; there are more]");
    let rest = read(json!({ "path": "f", "offset": 4, "limit": usize::MAX }));
    assert_eq!(rest, "four");
    assert_eq!(
        read(json!({ "path": "f", "offset": 9 })),
        "[the file has 4 lines]"
    );
    assert_eq!(read(json!({ "path": "empty" })), "");
}

#[test]
fn what_is_too_long_is_cut_and_said() {
    let workspace = Workspace::new(&[
        ("line", &"x".repeat(1 << 20)),
        ("exact", &"y".repeat(63 << 10)),
    ]);
    let text = workspace.text("files_read", json!({ "path": "line" }));
    assert!(text.len() < 70_000, "{}", text.len());
    assert!(
        text.contains("cut here") && text.contains("lines 1 to 1"),
        "{}",
        &text[64_000..]
    );
    let text = workspace.text("files_read", json!({ "path": "exact" }));
    assert_eq!(text.len(), 63 << 10);
    let lines = "a line\n".repeat(5000);
    fs::write(workspace.path("lines"), &lines).unwrap();
    let text = workspace.text("files_read", json!({ "path": "lines" }));
    assert!(text.ends_with("[lines 1 to 2000; there are more]"));
    // Far more than is ever held.
    let huge = fs::File::create(workspace.path("huge")).unwrap();
    huge.set_len(40 << 30).unwrap();
    let text = workspace.text("files_read", json!({ "path": "huge", "limit": 1 }));
    assert!(text.len() < 70_000);
}

#[test]
fn bytes_that_are_no_text_are_shown_and_said() {
    let workspace = Workspace::new(&[]);
    fs::write(workspace.path("f"), b"caf\xe9\n").unwrap();
    let text = workspace.text("files_read", json!({ "path": "f" }));
    assert!(text.starts_with("caf\u{fffd}\n\n[bytes"), "{text}");
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let workspace = Workspace::new(&[("d/f", "")]);
    workspace.fifo("pipe");
    let path = json!({ "path": "pipe" });
    assert!(
        workspace
            .failure("files_read", path.clone())
            .contains("no regular file")
    );
    let text = workspace.failure("files_write", json!({ "path": "pipe", "content": "x" }));
    assert!(text.contains("no regular file"), "{text}");
    let text = workspace.failure("files_search", json!({ "path": "pipe", "pattern": "x" }));
    assert!(text.contains("no regular file"), "{text}");
    assert_eq!(
        workspace.text("files_search", json!({ "pattern": "x" })),
        "No match."
    );
    assert!(workspace.failure("files_list", path).contains("no folder"));
    assert!(
        workspace
            .failure("files_read", json!({ "path": "d" }))
            .contains("a folder")
    );
    let zero = json!({ "path": "/dev/zero" });
    assert!(
        workspace
            .failure("files_read", zero)
            .contains("no regular file")
    );
    let text = workspace.failure("files_write", json!({ "path": "d", "content": "x" }));
    assert!(text.contains("a folder"), "{text}");
}

#[test]
fn near_names_are_offered() {
    let workspace = Workspace::new(&[("src/main.rs", ""), ("src/other.txt", "")]);
    let text = workspace.failure("files_read", json!({ "path": "src/Main.r" }));
    assert!(text.contains("Near: main.rs."), "{text}");
    let text = workspace.failure(
        "files_edit",
        json!({ "path": "srd", "old": "a", "new": "b" }),
    );
    assert!(text.contains("Near: src."), "{text}");
}

#[test]
fn a_write_keeps_permissions_and_links() {
    let workspace = Workspace::new(&[("tool", "old")]);
    let tool = workspace.path("tool");
    fs::set_permissions(&tool, Permissions::from_mode(0o750)).unwrap();
    symlink("tool", workspace.path("link")).unwrap();
    symlink("deep/new", workspace.path("dangling")).unwrap();
    symlink("loop", workspace.path("loop")).unwrap();
    let write =
        |path: &str| workspace.text("files_write", json!({ "path": path, "content": "new" }));
    write("link");
    assert_eq!(workspace.read("tool"), "new");
    assert_eq!(
        fs::metadata(&tool).unwrap().permissions().mode() & 0o7777,
        0o750
    );
    assert!(
        fs::symlink_metadata(workspace.path("link"))
            .unwrap()
            .is_symlink()
    );
    write("dangling");
    assert_eq!(workspace.read("deep/new"), "new");
    write("a/b/c");
    assert_eq!(workspace.read("a/b/c"), "new");
    let long = "n".repeat(255);
    write(&long);
    assert_eq!(workspace.read(&long), "new");
    workspace.failure("files_write", json!({ "path": "loop", "content": "x" }));
    workspace.failure(
        "files_write",
        json!({ "path": "tool/below", "content": "x" }),
    );
    workspace.failure("files_write", json!({ "path": "", "content": "x" }));
    let is_left = |path: &Path| path.to_string_lossy().contains(".mainstay-");
    let all = fs::read_dir(workspace.top.path()).unwrap();
    assert!(
        !all.map(|entry| entry.unwrap().path())
            .any(|path| is_left(&path))
    );
}

#[test]
fn an_edit_matches_exactly_once() {
    let workspace = Workspace::new(&[
        ("f", "let a = 1;\nlet b = 2;\nlet a = 1;\n"),
        ("crlf", "a\r\nb\r\n"),
    ]);
    let edit = |old: &str, new: &str| json!({ "path": "f", "old": old, "new": new });
    let text = workspace.failure("files_edit", edit("let a = 1;", "x"));
    assert!(
        text.contains("occurs 2 times") && text.contains("at lines 1, 3."),
        "{text}"
    );
    let text = workspace.failure("files_edit", edit("  let b = 2;\nand more", "x"));
    assert!(text.contains("line 2: let b = 2;"), "{text}");
    let text = workspace.failure("files_edit", edit("nowhere", "x"));
    assert!(text.ends_with("does not occur in f."), "{text}");
    assert_eq!(workspace.read("f"), "let a = 1;\nlet b = 2;\nlet a = 1;\n");
    workspace.text("files_edit", edit("b = 2", "b = 3"));
    let mut all = edit("let a", "let c");
    all["replace_all"] = json!(true);
    let text = workspace.text("files_edit", all);
    assert!(text.contains("2 occurrence"), "{text}");
    assert_eq!(workspace.read("f"), "let c = 1;\nlet b = 3;\nlet c = 1;\n");
    for (old, new) in [("", "x"), ("same", "same")] {
        let (code, _) = workspace.refusal("files_edit", edit(old, new));
        assert_eq!(code, "tool.invalid_arguments");
    }
    let crlf = json!({ "path": "crlf", "old": "a\nb", "new": "x" });
    let text = workspace.failure("files_edit", crlf);
    assert!(text.contains("\\r\\n"), "{text}");
    fs::write(workspace.path("binary"), b"\xff").unwrap();
    let binary = json!({ "path": "binary", "old": "a", "new": "b" });
    assert!(
        workspace
            .failure("files_edit", binary)
            .contains("not UTF-8")
    );
}

#[test]
fn folders_are_listed_in_order() {
    let workspace = Workspace::new(&[
        ("b.rs", "12"),
        ("a/x.rs", ""),
        ("a/deep/y.rs", "1"),
        ("a/z.txt", ""),
        (".git/config", ""),
    ]);
    workspace.fifo("pipe");
    symlink("b.rs", workspace.path("link")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\nname");
    fs::write(workspace.top.path().join(odd), "").unwrap();
    let list = |arguments| workspace.text("files_list", arguments);
    let flat = ".git/\na/\nb.rs  2\nlink@\nodd\\nname  0\npipe  (no regular file)";
    assert_eq!(list(json!({})), flat);
    assert_eq!(
        list(json!({ "path": "a" })),
        "a/deep/\na/x.rs  0\na/z.txt  0"
    );
    assert_eq!(
        list(json!({ "glob": "*.rs" })),
        "a/deep/y.rs  1\na/x.rs  0\nb.rs  2"
    );
    assert_eq!(list(json!({ "glob": "a/*.rs" })), "a/x.rs  0");
    assert_eq!(
        list(json!({ "glob": "**/y.rs", "path": "a" })),
        "a/deep/y.rs  1"
    );
    assert_eq!(
        list(json!({ "glob": "deep/*", "path": "a" })),
        "a/deep/y.rs  1"
    );
    assert!(!list(json!({ "recursive": true })).contains("config"));
    assert_eq!(list(json!({ "path": ".git" })), ".git/config  0");
    let one = list(json!({ "limit": 1 }));
    assert_eq!(one, ".git/\n[more than 1; ask for less at once]");
    let (code, _) = workspace.refusal("files_list", json!({ "glob": "[" }));
    assert_eq!(code, "tool.invalid_arguments");
    assert!(
        workspace
            .failure("files_list", json!({ "path": "missing" }))
            .contains("missing")
    );
}

#[test]
fn lines_are_found_with_their_place() {
    let workspace = Workspace::new(&[
        ("src/a.rs", "fn one() {}\nlet é = fn_two;\n"),
        ("b.txt", "fn three\n"),
        ("bin", "fn\0"),
        (".git/x", "fn four"),
    ]);
    let search = |arguments| workspace.text("files_search", arguments);
    let all = "b.txt:1:1: fn three\nsrc/a.rs:1:1: fn one() {}\nsrc/a.rs:2:9: let é = fn_two;";
    assert_eq!(search(json!({ "pattern": "fn" })), all);
    let some = search(json!({ "pattern": "FN .*\\(", "glob": "*.rs", "ignore_case": true }));
    assert_eq!(some, "src/a.rs:1:1: fn one() {}");
    let file = search(json!({ "pattern": "^let", "path": "src/a.rs" }));
    assert_eq!(file, "src/a.rs:2:1: let é = fn_two;");
    let one = search(json!({ "pattern": "fn", "limit": 1 }));
    assert_eq!(
        one,
        "b.txt:1:1: fn three\n[more than 1 matches; narrow the search]"
    );
    let (code, text) = workspace.refusal("files_search", json!({ "pattern": "(" }));
    assert_eq!(code, "tool.invalid_arguments");
    assert!(text.contains("unclosed group"), "{text}");
    let (code, _) = workspace.refusal("files_search", json!({ "pattern": "(a{1000}){1000}" }));
    assert_eq!(code, "tool.invalid_arguments");
    let huge = fs::File::create(workspace.path("huge")).unwrap();
    huge.set_len(1 << 30).unwrap();
    let told = search(json!({ "pattern": "nothing" }));
    assert_eq!(
        told,
        "No match.\n[1 file(s) were too large, or could not be read]"
    );
}
