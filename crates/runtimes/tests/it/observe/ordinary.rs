//! The same for an ordinary user.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

#[test]
fn an_ordinary_user_is_observed_the_same() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: these tests are run by an ordinary user already");
    }
    let top = tempfile::tempdir().unwrap();
    std::fs::set_permissions(top.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = |from: &std::path::Path, name: &str| {
        let to = top.path().join(name);
        std::fs::copy(from, &to).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "tests");
    let helper = copy(&super::place::helper(), "helper");
    let home = top.path().join("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(1000), Some(1000)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=1000", "--regid=1000", "--clear-groups", "--"])
        .arg(tests)
        .args(["observe::traced", "observe::endings", "observe::enforced"])
        .env("MAINSTAY_TEST_HELPER", helper)
        .env("TMPDIR", &home)
        // Folders that only root can search would make programs forbidden that are absent.
        .env("PATH", "/usr/bin:/bin")
        .current_dir(&home)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test result: ok. 2"), "{said}");
}
