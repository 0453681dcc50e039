//! Debian's Bazel.

use super::{on_path, or_skip, output, write_all};
use crate::harness::{CacheServer, Place};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A large file and a folder, so that streams and trees are used.
const PROJECT: &[(&str, &str)] = &[
    ("WORKSPACE", ""),
    ("input.txt", "input\n"),
    (
        "BUILD",
        r#"
load(":folder.bzl", "folder")
genrule(
    name = "file",
    srcs = ["input.txt"],
    outs = ["file.txt"],
    cmd = "cat $(location input.txt) > $@; seq 1 1000000 >> $@",
)
folder(name = "tree")
"#,
    ),
    (
        "folder.bzl",
        r#"
def _folder(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [out],
        command = "mkdir -p $1/below && echo a > $1/a && echo b > $1/below/b",
        arguments = [out.path],
    )
    return DefaultInfo(files = depset([out]))

folder = rule(implementation = _folder)
"#,
    ),
];

fn bazel(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("bazel");
    let root = format!("--output_user_root={}", folder.join("root").display());
    command
        .args(["--batch", "--nohome_rc", &root])
        .args(arguments)
        .current_dir(folder.join("project"));
    output(&mut command)
}

#[test]
fn bazel_takes_from_the_cache_what_it_put_there() {
    if or_skip(on_path("bazel"), "bazel").is_none() {
        return;
    }
    let place = Place::new("version: 1\n", "[]");
    let server = CacheServer::start(&place, &[], None);
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    write_all(&project, PROJECT);
    let cache = format!("--remote_cache=grpc://{}", server.address);
    let build = || bazel(folder.path(), &["build", "//:file", "//:tree", &cache]);
    let made = || {
        let paths = ["file.txt", "tree/a", "tree/below/b"];
        paths.map(|path| fs::read(project.join("bazel-bin").join(path)).unwrap())
    };
    let first = build();
    assert!(!first.contains("remote cache hit"), "{first}");
    let expected = made();
    assert!(expected[0].len() > 6_000_000);
    bazel(folder.path(), &["clean"]);
    let second = build();
    assert!(second.contains("2 remote cache hit"), "{second}");
    assert!(made() == expected);
    // What the cache lost is made again.
    for blob in server.files("cas") {
        fs::remove_file(blob).unwrap();
    }
    bazel(folder.path(), &["clean"]);
    let third = build();
    assert!(!third.contains("remote cache hit"), "{third}");
    assert!(made() == expected);
}
