//! What is inside cannot see, reach or change what is outside.

use super::place::{Place, is_root, text, write};
use mainstay_runtimes::sandbox::{ExitKind, Network, WorkspaceMount};
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

#[tokio::test]
async fn the_host_is_read_only_and_mostly_absent() {
    let place = Place::new().await;
    place
        .prints("test -x /usr/bin/env && cat /etc/passwd")
        .await;
    for folder in ["/usr", "/etc", "/usr/bin", "/opt"] {
        place.fails(&format!("touch {folder}/made-inside")).await;
    }
    for path in [
        "/root",
        "/home/agent/..",
        "/srv",
        "/mnt",
        "/sys",
        "/var/lib",
    ] {
        let found = place
            .prints(&format!("ls -A {path} 2>/dev/null; true"))
            .await;
        assert!(found.is_empty() || found == "agent\n", "{path}: {found}");
    }
    let outside = place.path("outside");
    place.fails(&format!("cat {}", outside.display())).await;
    let around = place.path("");
    let seen = place.prints(&format!("ls -A {}", around.display())).await;
    assert_eq!(seen, "work\n");
}

#[tokio::test]
async fn what_is_listed_is_there_and_no_more() {
    let place = Place::new().await;
    fs::create_dir(place.path("shown")).unwrap();
    fs::create_dir(place.path("given")).unwrap();
    write(&place.path("shown/file"), "to read\n");
    let script = format!(
        "set -e; cat {0}/shown/file; echo in > {0}/given/made; ! echo in > {0}/shown/made",
        place.folder.path().display()
    );
    let mut spec = place.script(&script);
    spec.read.push(place.path("shown"));
    spec.write.push(place.path("given"));
    let exit = place.run(&spec).await;
    assert_eq!(exit.status, ExitKind::Code(0), "{}", text(&exit.stderr));
    assert_eq!(text(&exit.stdout), "to read\n");
    assert_eq!(
        fs::read_to_string(place.path("given/made")).unwrap(),
        "in\n"
    );
    assert!(!place.path("shown/made").exists());

    spec.hide.push(place.path("shown"));
    let exit = place.run(&spec).await;
    assert_ne!(exit.status, ExitKind::Code(0));

    spec.read.push(place.path("nowhere"));
    let refused = place.refused(&spec).await.to_string();
    assert!(refused.contains("nowhere"), "{refused}");
}

#[tokio::test]
async fn changes_stay_in_the_view() {
    let place = Place::new().await;
    place
        .prints("echo changed > kept; echo new > made; mkdir -p a/b; rm -f a/none")
        .await;
    assert_eq!(place.prints("cat kept made").await, "changed\nnew\n");
    let kept = fs::read_to_string(place.path("work/kept")).unwrap();
    assert_eq!(kept, "as it was\n");
    assert!(!place.path("work/made").exists());
    assert!(place.path("view/upper/made").exists());
}

#[tokio::test]
async fn links_lead_nowhere_outside() {
    let place = Place::new().await;
    let link = place.path("work/link");
    std::os::unix::fs::symlink(place.path("outside"), &link).unwrap();
    place.fails("cat link").await;
    place.fails("echo x > link && cat /proc/1/root/link").await;
    let outside = fs::read_to_string(place.path("outside")).unwrap();
    assert_eq!(outside, "a secret of the host\n");
    place.fails("ln -s / up && cat up/etc/shadow").await;
    for way in ["/proc/1/root", "/proc/1/cwd", "/proc/self/root/.."] {
        let script = format!("cat {way}{}", place.path("outside").display());
        place.fails(&script).await;
    }
}

#[tokio::test]
async fn there_is_no_network() {
    let place = Place::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    place.fails(&format!("bash -c '{connect}'")).await;
    listener.accept().unwrap_err();
    let links = place
        .prints("cat /proc/net/dev | tail -n +3 | cut -d: -f1")
        .await;
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["lo"]);

    let mut spec = place.script(&format!("bash -c '{connect}'"));
    spec.network = Network::Host;
    assert_eq!(place.run(&spec).await.status, ExitKind::Code(0));
}

#[tokio::test]
async fn sockets_of_the_host_cannot_be_reached() {
    let place = Place::new().await;
    let name = format!("mainstay-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let python =
        format!("import socket; s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + \"{name}\")");
    place.fails(&format!("python3 -c '{python}'")).await;
}

#[tokio::test]
async fn nothing_gives_more_rights() {
    let place = Place::new().await;
    let status = place.prints("cat /proc/self/status").await;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}"))
            .trim()
            .to_owned()
    };
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    for script in [
        "unshare --user true",
        "unshare --mount true",
        "mount -t tmpfs none /tmp",
        "umount /proc",
        "chroot / true",
        "mknod /tmp/disk b 8 0",
        "nsenter --target 1 --mount true",
        "echo x > /proc/sys/kernel/hostname",
        "echo 1 > /proc/sysrq-trigger",
        "head -c 1 /proc/1/mem",
        "readlink /proc/1/fd/0",
        "cat /proc/1/environ",
    ] {
        place.fails(script).await;
    }
}

#[tokio::test]
async fn only_its_own_processes_are_there() {
    let place = Place::new().await;
    let seen = place.prints("ls -d /proc/[0-9]* | wc -l").await;
    let seen: usize = seen.trim().parse().unwrap();
    assert!((2..=6).contains(&seen), "{seen}");
    assert_eq!(place.prints("uname -n").await, "sandbox\n");
    assert_eq!(
        place
            .prints("env | sort | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL=")
            .await,
        "PATH=/usr/bin:/bin:/usr/sbin\n"
    );
}

#[tokio::test]
async fn devices_are_the_harmless_ones() {
    let place = Place::new().await;
    let devices = place
        .prints("find /dev -type b -o -type c | sort | xargs -n1 basename")
        .await;
    let allowed = ["full", "null", "ptmx", "random", "tty", "urandom", "zero"];
    for device in devices.lines() {
        assert!(allowed.contains(&device), "{device}");
    }
    place
        .prints("echo gone > /dev/null; head -c 8 /dev/urandom | wc -c")
        .await;
}

#[tokio::test]
async fn what_only_root_reads_stays_unread() {
    if !is_root() {
        return println!("skipped: only root's tools could read such files at all");
    }
    let place = Place::new().await;
    place.fails("cat /etc/shadow").await;
    // A folder of an ordinary user: its tools run as that user.
    let owner = Some(1000);
    for name in ["work", "work/kept", "view", "view/upper", "view/work"] {
        std::os::unix::fs::chown(place.path(name), owner, owner).unwrap();
    }
    let folder = place.folder.path();
    rustix::fs::chmod(folder, rustix::fs::Mode::from_raw_mode(0o711)).unwrap();
    assert_eq!(place.prints("id -u").await, "1000\n");
    place.prints("echo mine > kept && echo mine > made").await;
    place.fails("cat /etc/shadow").await;
}

#[tokio::test]
async fn a_folder_can_be_bound_as_it_is() {
    let place = Place::new().await;
    let mut spec = place.script("echo straight > made");
    spec.workspace = Some(WorkspaceMount::Bind {
        source: place.path("work"),
        at: place.path("work"),
    });
    assert_eq!(place.run(&spec).await.status, ExitKind::Code(0));
    let made = fs::read_to_string(place.path("work/made")).unwrap();
    assert_eq!(made, "straight\n");
}
