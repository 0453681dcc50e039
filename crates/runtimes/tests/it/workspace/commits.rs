//! What a commit holds, and what it costs.

use super::child::{Step, as_ordinary_user, inside};
use super::{Bench, is_root, write};
use mainstay_contract::{Code, Coded};
use mainstay_runtimes::workspace::{ChangeKind, View, WorkspaceError, diff};
use mainstay_sessions::{BlobContent, WorkspaceMode};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

const BOTH: [WorkspaceMode; 2] = [WorkspaceMode::Overlay, WorkspaceMode::Copy];

/// Runs a script where the view is mounted over its own folder.
fn run(view: &View, script: &str) {
    let mount = view.mount();
    let root = match &mount {
        mainstay_runtimes::sandbox::WorkspaceMount::Overlay { at, .. } => at.clone(),
        mainstay_runtimes::sandbox::WorkspaceMount::Bind { source, .. } => source.clone(),
    };
    let script = script.to_owned();
    inside(Some(mount), vec![Step::Script { script, root }]);
}

#[test]
fn each_kind_of_change_is_told_apart() {
    for mode in BOTH {
        let bench = Bench::new(mode);
        for name in [
            "kept", "edited", "mode", "gone", "tree/one", "tree/two", "file",
        ] {
            write(bench.folder().join(name), "before\n");
        }
        write(bench.folder().join("anew/old"), "before\n");
        fs::create_dir(bench.folder().join("empty")).unwrap();
        symlink("kept", bench.folder().join("link")).unwrap();
        let mut view = bench.create();
        run(
            &view,
            "echo after > edited; chmod 600 mode; rm gone; rm -r tree; rm file; mkdir file; \
             rm -r anew; mkdir anew; echo after > anew/new; rmdir empty; echo text > empty; \
             ln -sfn edited link; mkdir -p new/deep; mkfifo pipe; printf '\\0' > binary; chmod 711 .",
        );
        bench.commit(&mut view).unwrap();
        if mode == WorkspaceMode::Overlay {
            let kind = |name: &str| fs::symlink_metadata(bench.upper().join(name)).unwrap();
            assert!(
                kind("gone").file_type().is_char_device(),
                "no genuine whiteout"
            );
            let mut value = [0u8; 8];
            let anew = bench.upper().join("anew");
            let length = rustix::fs::lgetxattr(&anew, "user.overlay.opaque", &mut value).unwrap();
            assert_eq!(&value[..length], b"y", "no genuine opaque folder");
        }
        let view = bench.restore(view);
        let found = diff(&bench.params, view.state(), &bench.store).unwrap();
        let told: Vec<String> = found
            .changes
            .iter()
            .map(|change| format!("{} {:?} {}", change.path, change.kind, change.what))
            .collect();
        let expected = [
            ". ModeChanged folder",
            "anew/new Added file",
            "anew/old Deleted file",
            "binary Added file",
            "edited Modified file",
            "empty TypeChanged file",
            "file TypeChanged folder",
            "gone Deleted file",
            "link Modified link",
            "mode ModeChanged file",
            "new Added folder",
            "new/deep Added folder",
            "pipe Added fifo",
            "tree Deleted folder",
            "tree/one Deleted file",
            "tree/two Deleted file",
        ];
        assert_eq!(told, expected, "{mode:?}");
        let edited = found.changes.iter().find(|change| change.path == "edited");
        let text = "--- a/edited\n+++ b/edited\n@@ -1 +1 @@\n-before\n+after\n";
        assert_eq!(edited.unwrap().text.as_deref(), Some(text));
        let moved = found
            .changes
            .iter()
            .find(|change| change.path == "mode")
            .unwrap();
        assert_eq!(moved.kind, ChangeKind::ModeChanged);
        assert_eq!(moved.new_mode.as_deref(), Some("0600"));
        assert!(found.to_string().contains("deleted file gone\n"));
    }
}

#[test]
fn a_commit_holds_only_what_is_new() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let mut view = bench.create();
    assert_eq!(bench.commit(&mut view), None);
    for number in 0..50 {
        write(
            bench.upper().join(format!("d{}/f{number}", number % 5)),
            format!("{number}"),
        );
    }
    // The files, their five folders, the root and the state.
    assert_eq!(bench.commit(&mut view), Some(50 + 5 + 1 + 1));
    assert_eq!(bench.commit(&mut view), None);
    write(bench.upper().join("d0/f0"), "other");
    assert_eq!(bench.commit(&mut view), Some(4));
    let mut view = bench.restore(view);
    assert_eq!(bench.commit(&mut view), None);
    write(bench.upper().join("d1/f1"), "other too");
    assert_eq!(
        bench.commit(&mut view),
        Some(4),
        "a restore forgets nothing"
    );
}

#[test]
fn a_rewrite_that_looks_the_same_is_seen() {
    for mode in BOTH {
        let bench = Bench::new(mode);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let put = |path: &std::path::Path, text: &str| {
            fs::write(path, text).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        put(&bench.folder().join("base"), "0");
        let mut view = bench.create();
        let (base, new) = (bench.upper().join("base"), bench.upper().join("new"));
        for text in ["1", "2", "3", "4", "5"] {
            put(&base, text);
            put(&new, text);
            bench.commit(&mut view).unwrap();
            view.rollback(&bench.store).unwrap();
            assert_eq!(fs::read_to_string(&base).unwrap(), text);
            assert_eq!(fs::read_to_string(&new).unwrap(), text);
            assert_eq!(fs::metadata(&new).unwrap().modified().unwrap(), time);
        }
    }
}

#[test]
fn a_failed_commit_loses_nothing_of_the_next() {
    if !is_root() {
        return;
    }
    let bench = Bench::new(WorkspaceMode::Overlay);
    let mut view = bench.create();
    write(bench.upper().join("a"), "first");
    let device = bench.upper().join("z");
    let made = std::process::Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    let error = view.commit().unwrap_err();
    assert!(
        matches!(error, WorkspaceError::Unsupported { .. }),
        "{error}"
    );
    assert_eq!(error.code(), Code::WorkspaceUnavailable);
    fs::remove_file(&device).unwrap();
    bench.commit(&mut view).unwrap();
    view.rollback(&bench.store).unwrap();
    assert_eq!(
        fs::read_to_string(bench.upper().join("a")).unwrap(),
        "first"
    );
}

#[test]
fn a_failed_rollback_cannot_be_committed() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let mut view = bench.create();
    write(bench.upper().join("a"), "first");
    bench.commit(&mut view).unwrap();
    write(bench.upper().join("b"), "second");
    bench.store.fails_after.set(Some(0));
    view.rollback(&bench.store).unwrap_err();
    bench.store.fails_after.set(None);
    let error = view.commit().unwrap_err();
    assert!(
        matches!(error, WorkspaceError::Incomplete { .. }),
        "{error}"
    );
    view.rollback(&bench.store).unwrap();
    assert_eq!(bench.commit(&mut view), None);
    assert_eq!(
        fs::read_to_string(bench.upper().join("a")).unwrap(),
        "first"
    );
    assert!(!bench.upper().join("b").exists());
}

#[test]
fn marks_of_other_overlays_are_understood_or_refused() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    write(bench.folder().join("a"), "");
    let mut view = bench.create();
    let mark = |path: &std::path::Path, name: &str| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(path, name, b"y", flags).unwrap();
    };
    let file = bench.upper().join("a");
    write(&file, "");
    mark(&file, "user.overlay.whiteout");
    bench.commit(&mut view).unwrap();
    let found = diff(&bench.params, view.state(), &bench.store).unwrap();
    assert_eq!(found.changes[0].kind, ChangeKind::Deleted);
    for (name, mark_name) in [
        ("f", "user.overlay.metacopy"),
        ("d/", "user.overlay.redirect"),
    ] {
        let path = bench.upper().join(name);
        if name.ends_with('/') {
            fs::create_dir(&path).unwrap();
        } else {
            write(&path, "content");
        }
        mark(&path, mark_name);
        let error = view.commit().unwrap_err();
        assert!(
            matches!(error, WorkspaceError::Unsupported { .. }),
            "{error}"
        );
        view.rollback(&bench.store).unwrap();
    }
}

#[test]
fn sockets_count_as_gone_and_can_be_deleted() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    write(bench.folder().join("file"), "was");
    fs::create_dir(bench.folder().join("d")).unwrap();
    let _old = std::os::unix::net::UnixListener::bind(bench.folder().join("d/old")).unwrap();
    let mut view = bench.create();
    run(&view, "rm -r d file");
    let _new = std::os::unix::net::UnixListener::bind(bench.path("s")).unwrap();
    fs::remove_file(bench.upper().join("file")).unwrap();
    fs::rename(bench.path("s"), bench.upper().join("file")).unwrap();
    bench.commit(&mut view).unwrap();
    let found = diff(&bench.params, view.state(), &bench.store).unwrap();
    let told: Vec<&str> = found
        .changes
        .iter()
        .map(|change| change.path.as_str())
        .collect();
    assert_eq!(told, ["d", "d/old", "file"]);
    let done = mainstay_runtimes::workspace::apply(
        &bench.params,
        view.state(),
        bench.folder(),
        &bench.store,
    );
    assert_eq!(done.unwrap().changed.len(), 3);
    assert_eq!(fs::read_dir(bench.folder()).unwrap().count(), 0);
}

#[test]
fn large_files_are_stored_from_where_they_are() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let mut view = bench.create();
    let large = bench.upper().join("large");
    fs::write(&large, vec![7u8; 200_000]).unwrap();
    let commit = view.commit().unwrap().unwrap();
    let is_file = |blob: &&mainstay_sessions::Blob| matches!(&blob.content, BlobContent::File(_));
    assert_eq!(commit.blobs.iter().filter(is_file).count(), 1);
    bench.store.keep(commit.blobs);
    view.rollback(&bench.store).unwrap();
    assert_eq!(fs::read(&large).unwrap(), vec![7u8; 200_000]);
}

/// Everything without permissions, large and small, below folders without permissions.
#[test]
fn what_its_owner_locked_is_kept() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    write(bench.folder().join("d/hidden"), "hidden");
    let mut view = bench.create();
    run(
        &view,
        "rm -r d; mkdir -p d/e; echo small > d/e/small; head -c 100000 /dev/zero > d/e/large; \
         head -c 100001 /dev/zero > large; ln d/e/small d/e/twin; chmod 0 large d/e/* d/e d",
    );
    bench.commit(&mut view).unwrap();
    let view = bench.restore(view);
    let found = |name: &str| fs::symlink_metadata(bench.upper().join(name)).unwrap();
    assert_eq!(found("large").mode() & 0o7777, 0);
    assert_eq!(found("d").mode() & 0o7777, 0);
    run(
        &view,
        "test ! -e d/hidden; test $(stat -c %a%h d/e/small) = 02; test $(cat d/e/twin) = small; \
         test $(stat -c %s d/e/large) = 100000",
    );
    let done = mainstay_runtimes::workspace::apply(
        &bench.params,
        view.state(),
        bench.folder(),
        &bench.store,
    );
    done.unwrap();
    let home = fs::symlink_metadata(bench.folder().join("d")).unwrap();
    assert_eq!(home.mode() & 0o7777, 0);
}

#[test]
fn an_ordinary_user_can_lock_himself_out_too() {
    if is_root() {
        as_ordinary_user("workspace::commits::what_its_owner_locked_is_kept");
        as_ordinary_user("workspace::commits::each_kind_of_change_is_told_apart");
    }
}

#[test]
fn a_tree_too_deep_for_a_path_is_refused_and_can_be_thrown_away() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let mut view = bench.create();
    let mut folder = fs::File::open(bench.upper()).unwrap();
    for _ in 0..40 {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};
        let name = "0".repeat(200);
        mkdirat(&folder, &name, Mode::RWXU).unwrap();
        folder = openat(&folder, &name, OFlags::DIRECTORY, Mode::empty())
            .unwrap()
            .into();
    }
    let error = view.commit().unwrap_err();
    assert!(
        matches!(error, WorkspaceError::Unsupported { .. }),
        "{error}"
    );
    view.rollback(&bench.store).unwrap();
    assert_eq!(bench.commit(&mut view), None);
    assert_eq!(fs::read_dir(bench.upper()).unwrap().count(), 0);
}

#[test]
fn what_the_agent_left_alone_follows_the_folder() {
    let bench = Bench::new(WorkspaceMode::Copy);
    for name in ["kept", "changed", "gone"] {
        write(bench.folder().join(name), "before");
    }
    let mut view = bench.create();
    write(bench.upper().join("changed"), "by the agent");
    bench.commit(&mut view).unwrap();
    write(bench.folder().join("kept"), "by the owner");
    write(bench.folder().join("changed"), "by the owner");
    fs::remove_file(bench.folder().join("gone")).unwrap();
    let mut view = bench.restore(view);
    let read = |name: &str| fs::read_to_string(bench.upper().join(name)).ok();
    assert_eq!(read("kept").as_deref(), Some("by the owner"));
    assert_eq!(read("changed").as_deref(), Some("by the agent"));
    assert_eq!(read("gone"), None);
    assert_eq!(bench.commit(&mut view), None);
}

#[test]
fn what_is_excluded_is_no_part_of_anything() {
    for mode in BOTH {
        let mut bench = Bench::new(mode);
        bench.params.exclude = vec![bench.folder().join("sub/.mainstay")];
        write(bench.folder().join("sub/.mainstay/secret"), "secret");
        let mut view = bench.create();
        write(bench.upper().join("sub/.mainstay/new"), "new");
        write(bench.upper().join("sub/seen"), "seen");
        bench.commit(&mut view).unwrap();
        let found = diff(&bench.params, view.state(), &bench.store).unwrap();
        let told: Vec<&str> = found
            .changes
            .iter()
            .map(|change| change.path.as_str())
            .collect();
        assert_eq!(told, ["sub/seen"], "{mode:?}");
    }
}

#[test]
fn special_permission_bits_are_kept() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let mut view = bench.create();
    let tool = bench.upper().join("tool");
    write(&tool, "x");
    fs::set_permissions(&tool, Permissions::from_mode(0o6755)).unwrap();
    bench.commit(&mut view).unwrap();
    view.rollback(&bench.store).unwrap();
    assert_eq!(fs::metadata(&tool).unwrap().mode() & 0o7777, 0o6755);
}
