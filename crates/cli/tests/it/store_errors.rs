//! What goes wrong with the disk. Nothing acknowledged is lost, nothing is repeated.

use crate::harness::{Place, Ran, is_root, skipped};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const SCRIPT: &str = "- tool_calls: [{name: shell, arguments: {command: 'head -c 6000000 /dev/urandom > big'}}]\n\
                      - text: done\n";

#[test]
fn a_store_that_forgets_is_refused() {
    let place = Place::scripted("[]");
    let ran = place.mainstay(&[
        "--json",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        "sqlite::memory:",
    ]);
    ran.failed_with("runtime.durable_store_required:session_store");
}

#[test]
fn two_nodes_and_one_data_directory() {
    let place = Place::scripted("[]");
    let server = place.serve();
    let ran = place.mainstay(&["--json", "serve", "--listen", "127.0.0.1:0"]);
    let report = ran.failed_with("store.locked");
    assert!(
        report["message"]
            .as_str()
            .unwrap()
            .contains(&server.pid().to_string()),
        "{report}"
    );
    server.kill();
    place.mainstay(&["doctor"]).ok();
}

#[test]
fn a_newer_format_is_left_alone() {
    let place = Place::scripted("- text: hi\n");
    place.run(&[]).ok();
    let database = rusqlite::Connection::open(place.data_dir().join("mainstay.db")).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    drop(database);
    place.run(&[]).failed_with("store.newer_version");
}

#[test]
fn damage_is_named() {
    let place = Place::scripted("[]");
    fs::create_dir(place.data_dir()).unwrap();
    fs::write(
        place.data_dir().join("mainstay.db"),
        "not a database, not at all\n".repeat(200),
    )
    .unwrap();
    place.run(&[]).failed_with("store.corrupt");
}

#[test]
fn doctor_finds_a_damaged_blob() {
    let place = Place::scripted("- text: hi\n");
    place.run(&["--session", "s"]).ok();
    let database = rusqlite::Connection::open(place.data_dir().join("mainstay.db")).unwrap();
    database
        .execute("UPDATE blobs SET bytes = x'00'", [])
        .unwrap();
    drop(database);
    let ran = place.mainstay(&["doctor"]);
    assert_eq!(ran.exit, 9, "{ran:?}");
}

#[test]
fn doctor_goes_on_where_no_node_can_be_opened() {
    let place = Place::scripted("- text: hi\n");
    place.run(&["--session", "s"]).ok();
    let ledger = place.data_dir().join("spending.jsonl");
    fs::write(&ledger, "not an entry\nnor this\n").unwrap();
    let report = place.mainstay(&["--json", "doctor"]);
    assert_eq!(report.exit, 9, "{report:?}");
    let report = report.json();
    let status = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        check.map(|check| check["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(status("ledger").as_deref(), Some("damaged"), "{report}");
    assert_eq!(status("store").as_deref(), Some("ok"), "{report}");
    assert!(status("sandbox").is_some(), "{report}");
    fs::write(place.data_dir().join("mainstay.db"), "junk\n".repeat(2000)).unwrap();
    let ran = place.mainstay(&["doctor"]);
    assert_eq!(ran.exit, 9, "{ran:?}");
    for name in ["sandbox", "store", "ledger"] {
        assert!(ran.stdout.contains(name), "{ran:?}");
    }
}

#[test]
fn doctor_finds_what_a_workspace_lacks() {
    let place = Place::scripted(
        "- tool_calls: [{name: shell, arguments: {command: 'echo agent > made'}}]\n- text: done\n",
    );
    place.run(&["--session", "s"]).ok();
    place.mainstay(&["doctor"]).ok();
    let digest = blake3::hash(b"agent\n");
    let database = rusqlite::Connection::open(place.data_dir().join("mainstay.db")).unwrap();
    let removed = database.execute("DELETE FROM blobs WHERE digest = ?1", [digest.as_bytes()]);
    assert_eq!(removed.unwrap(), 1);
    drop(database);
    let ran = place.mainstay(&["doctor"]);
    assert_eq!(ran.exit, 9, "{ran:?}");
    let named = format!("the workspace of session s names blob {digest}");
    assert!(ran.stdout.contains(&named), "{ran:?}");
}

#[test]
fn a_directory_that_cannot_be_written() {
    if is_root() {
        let Some(mount) = Mount::tmpfs("16m") else {
            return skipped("no tmpfs can be mounted here");
        };
        let place = Place::scripted("- text: hi\n");
        let args = ["--data-dir", mount.text(), "--json", "run", "a", "go"];
        mount.run(&["mount", "-o", "remount,ro"]);
        place.mainstay_at(&args).failed_with("store.read_only");
        return;
    }
    let place = Place::scripted("- text: hi\n");
    fs::create_dir(place.data_dir()).unwrap();
    fs::set_permissions(place.data_dir(), fs::Permissions::from_mode(0o500)).unwrap();
    place.run(&[]).failed_with("store.read_only");
    fs::set_permissions(place.data_dir(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_repeats_nothing() {
    if !is_root() {
        return skipped("staging a full disk needs a mount, so root");
    }
    let Some(mount) = Mount::tmpfs("4m") else {
        return skipped("no tmpfs can be mounted here");
    };
    let place = Place::scripted(SCRIPT);
    let args = [
        "--data-dir",
        mount.text(),
        "--json",
        "run",
        "a",
        "go",
        "--session",
        "s",
        "--turn",
        "t",
    ];
    let report = place
        .mainstay_at(&args)
        .failed_with("runtime.store_commit_failed");
    assert_eq!(report["causes"][0]["code"], "store.disk_full", "{report}");
    mount.run(&["mount", "-o", "remount,size=64m"]);
    let ran = place.mainstay_at(&args);
    assert_eq!(ran.ok().json()["data"]["text"], "done");
    let doctor = place.mainstay_at(&["--data-dir", mount.text(), "doctor"]);
    doctor.ok();
}

#[test]
fn a_full_disk_from_the_start() {
    if !is_root() {
        return skipped("staging a full disk needs a mount, so root");
    }
    let Some(mount) = Mount::tmpfs("64k") else {
        return skipped("no tmpfs can be mounted here");
    };
    fs::write(mount.path.join("filler"), vec![0; 40 << 10]).unwrap();
    let place = Place::scripted("- text: hi\n");
    let args = ["--data-dir", mount.text(), "--json", "run", "a", "go"];
    place.mainstay_at(&args).failed_with("store.disk_full");
}

#[test]
fn a_limit_on_file_sizes_is_a_full_disk() {
    let place = Place::scripted("- text: done\n- text: again\n");
    place.run(&["--session", "s"]).ok();
    let binary = crate::harness::BINARY;
    let script = format!("ulimit -f 8; exec {binary} \"$@\"");
    let whole = place.command(&["--json", "run", "a", "go", "--session", "s", "--turn", "t"]);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", &script, "sh"])
        .args(whole.get_args())
        .current_dir(place.path())
        .env("HOME", place.path());
    let ran = Ran::of(&limited.output().unwrap());
    let report = ran.report();
    let told = [&report["code"], &report["causes"][0]["code"]];
    assert!(told.contains(&&Value::from("store.disk_full")), "{ran:?}");
    place.run(&["--session", "s", "--turn", "t"]).ok();
}

#[test]
fn a_disk_that_fails() {
    let place = Place::scripted("- text: hi\n");
    fs::create_dir(place.data_dir()).unwrap();
    fs::create_dir(place.data_dir().join("mainstay.db")).unwrap();
    place.run(&[]).failed_with("store.io_failed");
}

/// A tmpfs of its own; unmounted when it goes out of scope.
struct Mount {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Mount {
    fn tmpfs(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=700"),
                "tmpfs",
            ])
            .arg(&path)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self { path, _dir: dir })
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn run(&self, command: &[&str]) {
        let status = Command::new(command[0])
            .args(&command[1..])
            .arg(&self.path)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
