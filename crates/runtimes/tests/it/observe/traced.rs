//! What a report says of a command that runs as it is.

use super::place::{Place, has};
use mainstay_runtimes::observe::{Mode, ObserveSupport};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn this_host_can_do_both() {
    let scratch = tempfile::tempdir().unwrap();
    let support = ObserveSupport::probe(&super::place::helper(), scratch.path());
    support.trace.unwrap();
    support.enforce.unwrap();
}

#[test]
fn a_script_is_seen_whole() {
    let place = Place::new(Mode::Trace).declare(&[], &["out"]);
    let (_, observed) = place.script(
        "cat src/one; test -e none || true; cp src/two copy; mv docs/three moved; \
         mkdir -p out/deep; echo x > out/deep/made; rm copy; : >> src/one; ln -s src/one way",
    );
    // Where these programs look before they act is theirs to choose.
    let acts = place.accesses(&observed);
    let acts = acts.iter().map(|access| access.replace(['f', 'l'], ""));
    let acts: Vec<String> = acts.filter(|act| !act.starts_with(' ')).collect();
    let expected = [
        "copy w-",
        "docs/three rw",
        "moved w-",
        "none -",
        "out w-",
        "out/deep w-",
        "out/deep/made w-",
        "src/one rw",
        "src/two r",
        "way w-",
    ];
    assert_eq!(acts, expected);
    let undeclared = place.names(&observed.undeclared_writes);
    let expected = ["copy", "docs/three", "moved", "src/one", "way"];
    assert_eq!(undeclared, expected);
    assert!(observed.outside.iter().any(|path| path.ends_with("cat")));
    assert!(observed.hidden.is_empty() && !observed.truncated);
    assert_eq!(observed.unseen, 0);
}

#[test]
fn folders_that_are_searched_are_listed() {
    let place = Place::new(Mode::Trace);
    let (said, observed) = place.script("find . -name 'o*'");
    assert_eq!(said, "./src/one\n");
    let accesses = place.accesses(&observed);
    for folder in ["docs", "src"] {
        let found = accesses.iter().find(|access| access.starts_with(folder));
        assert!(found.unwrap().contains('l'), "{accesses:?}");
    }
}

#[test]
fn links_are_recorded_with_what_they_lead_to() {
    let place = Place::new(Mode::Trace);
    symlink("src", place.path("near")).unwrap();
    symlink("near/one", place.path("far")).unwrap();
    symlink(place.path("new"), place.path("dangling")).unwrap();
    let (_, observed) = place.script("cat far; cat near/../docs/three; echo x > dangling");
    let accesses = place.accesses(&observed);
    for expected in [
        "far r",
        "near r",
        "src/one r",
        "docs/three r",
        "dangling rw",
        "new w-",
    ] {
        assert!(accesses.contains(&expected.to_owned()), "{accesses:?}");
    }
    let outer = place.spec.report.with_file_name("outer");
    symlink(&place.spec.root, &outer).unwrap();
    let (_, observed) = place.script(&format!("cat {}/src/two", outer.display()));
    assert!(place.accesses(&observed).contains(&"src/two r".to_owned()));
    assert!(observed.outside.contains(&outer.join("src/two")));
}

#[test]
fn paths_may_begin_anywhere() {
    let place = Place::new(Mode::Trace);
    let script = "cd docs; cat ../src/one; exec 4< ../src; cat /proc/self/fd/4/two; \
                  cat /proc/self/cwd/three; cat < ../src/two /dev/stdin";
    let (_, observed) = place.script(script);
    let accesses = place.accesses(&observed);
    for expected in ["docs/three r", "src l", "src/one r", "src/two r"] {
        assert!(accesses.contains(&expected.to_owned()), "{accesses:?}");
    }
}

#[test]
fn names_are_bytes() {
    let place = Place::new(Mode::Trace);
    let odd = place.spec.root.join(OsStr::from_bytes(b"\xff%41\n"));
    fs::write(&odd, "").unwrap();
    let (_, observed) = place.script("cat ./*41*");
    assert!(observed.accesses.iter().any(|access| access.path == odd));
}

#[test]
fn threads_folders_and_new_sessions_are_seen() {
    if !has("python3") {
        return println!("skipped: there is no python3");
    }
    let place = Place::new(Mode::Trace);
    let program = "
import os, threading, subprocess, sys
folder = os.open('src', os.O_RDONLY)
def read():
    os.close(os.open('one', os.O_RDONLY, dir_fd=folder))
threads = [threading.Thread(target=read) for _ in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
os.stat('absent', dir_fd=folder) if os.path.exists('src/none') else None
os.rename('two', 'second', src_dir_fd=folder, dst_dir_fd=folder)
subprocess.run(['cat', 'docs/three'], start_new_session=True, check=True)
";
    let (output, observed) = place.run(&["python3", "-c", program]);
    assert!(output.status.success(), "{output:?}");
    let accesses = place.accesses(&observed);
    for expected in [
        "docs/three r",
        "src l",
        "src/none f-",
        "src/one r",
        "src/second w-",
        "src/two rw",
    ] {
        assert!(accesses.contains(&expected.to_owned()), "{accesses:?}");
    }
}

#[test]
fn rings_are_not_there() {
    if !has("python3") {
        return println!("skipped: there is no python3");
    }
    let place = Place::new(Mode::Trace);
    let program = "
import ctypes, errno
answer = ctypes.CDLL(None, use_errno=True).syscall(425, 1, 0)
print(answer, errno.errorcode[ctypes.get_errno()])
";
    let (output, _) = place.run(&["python3", "-c", program]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "-1 ENOSYS\n");
}

#[test]
fn scripts_name_their_interpreters() {
    let place = Place::new(Mode::Trace);
    place.plain("cp /bin/sh shell; echo \"#!$PWD/shell -e\nexit 3\" > script; chmod 755 script");
    let (output, observed) = place.run(&["./script"]);
    assert_eq!(output.status.code(), Some(3));
    let accesses = place.accesses(&observed);
    assert!(accesses.contains(&"shell e".to_owned()), "{accesses:?}");
    assert!(
        accesses
            .iter()
            .any(|access| access.starts_with("script ") && access.contains('e')),
        "{accesses:?}"
    );
}

#[test]
fn static_programs_are_seen() {
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        return println!("skipped: there is no busybox");
    }
    let place = Place::new(Mode::Trace);
    let (output, observed) = place.run(&["/bin/busybox", "cat", "src/one"]);
    assert!(output.status.success());
    assert_eq!(place.accesses(&observed), ["src/one r"]);
}
