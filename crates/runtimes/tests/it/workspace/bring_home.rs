//! Bringing the result home, and refusing to.

use super::child::as_ordinary_user;
use super::{Bench, is_root, write};
use mainstay_contract::{Code, Coded};
use mainstay_runtimes::workspace::{WorkspaceError, apply};
use mainstay_sessions::WorkspaceMode;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A folder in which the agent changed all kinds of things.
fn worked() -> (Bench, mainstay_contract::Digest) {
    let bench = Bench::new(WorkspaceMode::Copy);
    for name in [
        "edited", "gone", "d/edited", "e/gone", "kind", "kept", "way/kept",
    ] {
        write(bench.folder().join(name), "before");
    }
    let mut view = bench.create();
    let upper = bench.upper();
    write(upper.join("edited"), "after!");
    write(upper.join("d/edited"), "after!");
    write(upper.join("added"), "after!");
    write(upper.join("way/added"), "after!");
    fs::remove_file(upper.join("gone")).unwrap();
    fs::remove_dir_all(upper.join("e")).unwrap();
    fs::remove_file(upper.join("kind")).unwrap();
    write(upper.join("kind/below"), "after!");
    bench.commit(&mut view).unwrap();
    let state = view.state();
    (bench, state)
}

/// Applies after something happened in the folder; the conflicts, in words.
fn conflicts(happens: impl FnOnce(&Path)) -> Vec<String> {
    let (bench, state) = worked();
    happens(bench.folder());
    let before = listing(bench.folder());
    let error = apply(&bench.params, state, bench.folder(), &bench.store).unwrap_err();
    assert_eq!(listing(bench.folder()), before, "something was written");
    let WorkspaceError::Conflict { conflicts } = &error else {
        panic!("{error}");
    };
    assert_eq!(error.code(), Code::WorkspaceConflict);
    let told = |conflict: &mainstay_runtimes::workspace::Conflict| {
        format!("{}: {}", conflict.path, conflict.reason)
    };
    conflicts.iter().map(told).collect()
}

fn listing(folder: &Path) -> String {
    let script = "find . -printf '%p %y %m %s %l %T@\\n' | sort; cat $(find . -type f | sort)";
    let mut command = std::process::Command::new("sh");
    let done = command
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn what_changed_elsewhere_is_no_matter() {
    let (bench, state) = worked();
    write(bench.folder().join("kept"), "by the owner");
    write(bench.folder().join("new/file"), "by the owner");
    let done = apply(&bench.params, state, bench.folder(), &bench.store).unwrap();
    let expected = [
        "added",
        "d/edited",
        "e",
        "e/gone",
        "edited",
        "gone",
        "kind",
        "kind/below",
        "way/added",
    ];
    assert_eq!(done.changed, expected);
    let read = |name: &str| fs::read_to_string(bench.folder().join(name)).unwrap();
    assert_eq!(read("kept"), "by the owner");
    assert_eq!(read("kind/below"), "after!");
    assert!(!bench.folder().join("e").exists());
}

#[test]
fn every_conflict_is_told_and_nothing_is_written() {
    let told = conflicts(|folder| {
        write(folder.join("edited"), "longer than before");
        write(folder.join("added"), "by the owner");
        fs::remove_file(folder.join("d/edited")).unwrap();
        write(folder.join("e/new"), "by the owner");
        fs::remove_file(folder.join("kind")).unwrap();
        symlink("kept", folder.join("kind")).unwrap();
    });
    let expected = [
        "added: it was added in the folder too",
        "d/edited: it was removed in the folder",
        "e: e/new was added in the folder",
        "edited: it was changed in the folder",
        "kind: something else stands there in the folder",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_change_that_kept_size_and_time_is_a_conflict() {
    let told = conflicts(|folder| {
        let path = folder.join("edited");
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        write(&path, "BEFORE");
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    });
    assert_eq!(told, ["edited: it was touched in the folder"]);
}

#[test]
fn permissions_that_changed_are_a_conflict() {
    let told = conflicts(|folder| {
        fs::set_permissions(folder.join("gone"), Permissions::from_mode(0o600)).unwrap();
    });
    assert_eq!(told, ["gone: its permissions changed in the folder"]);
}

#[test]
fn a_way_that_is_gone_is_a_conflict() {
    let told = conflicts(|folder| fs::remove_dir_all(folder.join("way")).unwrap());
    assert_eq!(told, ["way/added: way was removed in the folder"]);
    let told = conflicts(|folder| {
        fs::remove_dir_all(folder.join("way")).unwrap();
        write(folder.join("way"), "a file now");
    });
    assert_eq!(told, ["way/added: way is no folder any more"]);
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let told = conflicts(|folder| {
        fs::rename(folder.join("way"), outside.path().join("way")).unwrap();
        symlink(outside.path().join("way"), folder.join("way")).unwrap();
    });
    assert_eq!(told, ["way/added: way is no folder any more"]);
    assert!(!outside.path().join("way/added").exists());
}

#[test]
fn what_the_owner_did_likewise_is_no_conflict() {
    let (bench, state) = worked();
    write(bench.folder().join("edited"), "after!");
    write(bench.folder().join("added"), "after!");
    fs::remove_file(bench.folder().join("gone")).unwrap();
    let done = apply(&bench.params, state, bench.folder(), &bench.store).unwrap();
    assert_eq!(
        done.changed,
        ["d/edited", "e", "e/gone", "kind", "kind/below", "way/added"]
    );
}

#[test]
fn the_nodes_own_data_is_never_removed() {
    let mut bench = Bench::new(WorkspaceMode::Copy);
    bench.params.exclude = vec![bench.folder().join("sub/.mainstay")];
    write(bench.folder().join("sub/.mainstay/store"), "store");
    write(bench.folder().join("sub/file"), "file");
    let mut view = bench.create();
    fs::remove_dir_all(bench.upper().join("sub")).unwrap();
    bench.commit(&mut view).unwrap();
    let error = apply(&bench.params, view.state(), bench.folder(), &bench.store).unwrap_err();
    let WorkspaceError::Conflict { conflicts } = error else {
        panic!("{error}");
    };
    assert_eq!(
        conflicts[0].reason,
        "sub/.mainstay is no part of the workspace"
    );
    assert!(bench.folder().join("sub/file").exists());
}

#[test]
fn another_folder_must_hold_what_the_view_began_with() {
    let (bench, state) = worked();
    let clone = |name: &str| {
        let to = bench.path(name);
        // New times, as a fresh checkout has.
        let done = std::process::Command::new("cp")
            .arg("-r")
            .arg(bench.folder())
            .arg(&to)
            .status();
        assert!(done.unwrap().success());
        to
    };
    let (good, bad) = (clone("good"), clone("bad"));
    write(bad.join("edited"), "BEFORE");
    apply(&bench.params, state, &good, &bench.store).unwrap();
    assert_eq!(fs::read_to_string(good.join("edited")).unwrap(), "after!");
    let error = apply(&bench.params, state, &bad, &bench.store).unwrap_err();
    assert!(matches!(error, WorkspaceError::Conflict { .. }), "{error}");
    let missing = bench.path("missing");
    let error = apply(&bench.params, state, &missing, &bench.store).unwrap_err();
    assert!(matches!(error, WorkspaceError::Folder { .. }), "{error}");
}

/// A store that fails after each number of files, as a crash would.
#[test]
fn a_broken_off_apply_can_be_repeated_from_anywhere() {
    for files in 0..5 {
        let (bench, state) = worked();
        bench.store.fails_after.set(Some(files));
        apply(&bench.params, state, bench.folder(), &bench.store).unwrap_err();
        bench.store.fails_after.set(None);
        apply(&bench.params, state, bench.folder(), &bench.store).unwrap();
        let names = listing(bench.folder());
        assert!(!names.contains(".mainstay-"), "{names}");
        for name in ["edited", "d/edited", "added", "way/added", "kind/below"] {
            assert_eq!(
                fs::read_to_string(bench.folder().join(name)).unwrap(),
                "after!"
            );
        }
    }
}

/// The process is killed right after a folder and a file changed places.
#[test]
fn what_a_crash_left_of_an_exchange_is_cleared() {
    let bench = Bench::new(WorkspaceMode::Copy);
    write(bench.folder().join("d/file"), "before");
    let mut view = bench.create();
    fs::remove_dir_all(bench.upper().join("d")).unwrap();
    write(bench.upper().join("d"), "a file now");
    bench.commit(&mut view).unwrap();
    apply(&bench.params, view.state(), bench.folder(), &bench.store).unwrap();
    let hash = blake3::hash(b"d").to_hex();
    let left = bench
        .folder()
        .join(format!(".mainstay-{}", &hash.as_str()[..16]));
    write(left.join("file"), "before");
    apply(&bench.params, view.state(), bench.folder(), &bench.store).unwrap();
    assert!(!left.exists());
    assert_eq!(
        fs::read_to_string(bench.folder().join("d")).unwrap(),
        "a file now"
    );
}

#[test]
fn what_root_brings_home_belongs_to_the_folders_owner() {
    if !is_root() {
        return;
    }
    let (bench, state) = worked();
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
    own(bench.folder());
    apply(&bench.params, state, bench.folder(), &bench.store).unwrap();
    assert_eq!(
        fs::metadata(bench.folder().join("kind")).unwrap().uid(),
        1000
    );
}

#[test]
fn folders_that_cannot_be_written_are_opened_and_closed_again() {
    let bench = Bench::new(WorkspaceMode::Copy);
    write(bench.folder().join("d/e/file"), "before");
    let close = |folder: &Path| {
        fs::set_permissions(folder.join("d/e"), Permissions::from_mode(0o555)).unwrap();
    };
    close(bench.folder());
    let mut view = bench.create();
    fs::set_permissions(bench.upper().join("d/e"), Permissions::from_mode(0o755)).unwrap();
    write(bench.upper().join("d/e/file"), "after!");
    close(&bench.upper());
    bench.commit(&mut view).unwrap();
    apply(&bench.params, view.state(), bench.folder(), &bench.store).unwrap();
    let at = bench.folder().join("d/e");
    assert_eq!(fs::read_to_string(at.join("file")).unwrap(), "after!");
    assert_eq!(fs::metadata(&at).unwrap().mode() & 0o7777, 0o555);
}

#[test]
fn an_ordinary_user_can_bring_it_home() {
    if is_root() {
        let test = |name: &str| as_ordinary_user(&format!("workspace::bring_home::{name}"));
        test("folders_that_cannot_be_written_are_opened_and_closed_again");
        test("a_broken_off_apply_can_be_repeated_from_anywhere");
    }
}
