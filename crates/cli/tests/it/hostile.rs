//! What a hostile model, file or host can try. Each ends as a typed failure or harmlessly, and the node
//! lives on.

use crate::harness::{Place, Ran, manifest, wait_until};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::time::{Duration, Instant};

const SCRIPT: &str = "  m: {provider: script, file: script.yaml}\n";

/// Runs one shell command as the agent; what the model was told.
fn shell(sandbox: &str, command: &str) -> (Place, String) {
    let place = Place::new(&manifest(SCRIPT, sandbox), "");
    let told = shell_in(&place, command);
    (place, told)
}

fn shell_in(place: &Place, command: &str) -> String {
    let call = serde_json::json!({ "command": command });
    let script = serde_json::json!([
        { "tool_calls": [{ "name": "shell", "arguments": call }] }, { "text": "done" },
    ]);
    place.write("script.yaml", &script.to_string());
    place.run(&["--session", "s"]).ok();
    told(place)
}

/// The text of every tool message of session `s`.
fn told(place: &Place) -> String {
    let lines = place.mainstay(&["session", "export", "s"]).ok().lines();
    let texts = lines
        .iter()
        .filter(|line| line["message"]["role"] == "tool");
    texts
        .filter_map(|line| line["message"]["text"].as_str())
        .collect()
}

#[test]
fn manifests_that_want_to_break_the_reader() {
    let place = Place::scripted("[]");
    let huge = "a".repeat(100 << 20);
    let nested = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [huge.as_str(), &nested, "\u{0}", "a: &x [*x]", "- - - -"] {
        place.write("mainstay.yaml", text);
        let started = Instant::now();
        assert_eq!(place.mainstay(&["check"]).exit, 2);
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    std::fs::write(place.path().join("mainstay.yaml"), b"name: \xff\xfe\n").unwrap();
    assert_eq!(place.mainstay(&["check"]).exit, 2);
}

#[test]
fn scripts_that_want_to_break_the_reader() {
    for text in [
        "{",
        "- {txt: hi}",
        "- fault: {kind: nonsense}",
        &"[".repeat(100_000),
    ] {
        place_refuses(text.as_bytes());
    }
    place_refuses(b"- text: \xff\n");
}

fn place_refuses(script: &[u8]) {
    let place = Place::scripted("[]");
    std::fs::write(place.path().join("script.yaml"), script).unwrap();
    let ran: Ran = place.run(&[]);
    ran.failed_with("manifest.invalid");
}

#[test]
fn writes_outside_stay_inside() {
    let place = Place::scripted("[]");
    let outside = place.path().join("outside");
    std::fs::write(&outside, "before").unwrap();
    let path = outside.display();
    shell_in(
        &place,
        &format!("echo x > {path}; echo y > /usr/planted; echo z > /etc/planted; true"),
    );
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "before");
    assert!(!std::path::Path::new("/usr/planted").exists());
    assert!(!std::path::Path::new("/etc/planted").exists());
}

#[test]
fn links_that_lead_out_lead_nowhere() {
    let place = Place::scripted("[]");
    place.write("secret.txt", "the secret words");
    let target = place.path().join("secret.txt");
    std::os::unix::fs::symlink(&target, place.workspace().join("way-out")).unwrap();
    let told = shell_in(&place, "cat way-out; echo changed > way-out; true");
    assert!(!told.contains("the secret words"), "{told}");
    assert_eq!(place.read("secret.txt"), "the secret words");
    let script = "- tool_calls: [{name: files_read, arguments: {path: way-out}}]\n- text: done\n";
    place.write("script.yaml", script);
    place.run(&["--session", "t"]).ok();
    assert!(
        !place
            .mainstay(&["session", "export", "t"])
            .stdout
            .contains("the secret words")
    );
}

#[test]
fn secrets_and_the_nodes_own_data_are_not_there() {
    let place = Place::scripted("[]");
    std::fs::create_dir(place.path().join(".ssh")).unwrap();
    place.write(".ssh/id", "private key words");
    let home = place.path().display();
    let told = shell_in(
        &place,
        &format!(
            "cat {home}/.ssh/id ~/.ssh/id; ls -a ~; cat /etc/shadow; ls {home}/data; env; true"
        ),
    );
    assert!(!told.contains("private key words"), "{told}");
    assert!(
        !told.contains("root:*") && !told.contains("root:$"),
        "{told}"
    );
    assert!(!told.contains("mainstay.db"), "{told}");
    assert!(
        !told.contains("CARGO"),
        "nothing of the node's environment: {told}"
    );
}

#[test]
fn no_network_and_no_loopback_of_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_place, told) = shell(
        "",
        &format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached; \
             bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' && echo reached; ls /sys/class/net; true"
        ),
    );
    assert!(!told.lines().any(|line| line == "reached"), "{told}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody came through");
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    let name = format!("mainstay-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let python = format!(
        "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"\\0{name}\"); print(\"reached\")'; true"
    );
    let (_place, told) = shell("", &python);
    assert!(!told.lines().any(|line| line == "reached"), "{told}");
    drop(listener);
}

#[test]
fn no_privileges_are_left() {
    let (_place, told) = shell(
        "",
        "cat /proc/self/status; unshare -r true; mount -t tmpfs x /tmp; true",
    );
    let field = |name: &str| {
        let line = told.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{told}"))
            .split_whitespace()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert!(
        told.contains("not permitted") || told.contains("denied"),
        "{told}"
    );
}

#[test]
fn a_flood_of_output_is_bounded_and_kept() {
    let (place, told) = shell("", "head -c 300000000 /dev/zero | tr '\\0' x");
    assert!(told.len() < 200_000, "{}", told.len());
    assert!(
        told.contains("bytes …]") && told.contains("stored as"),
        "the cut is said"
    );
    place.mainstay(&["doctor"]).ok();
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    let (_place, told) = shell("", "printf 'a\\377b'");
    assert!(
        told.contains("a\u{fffd}b") && told.contains("not UTF-8"),
        "{told}"
    );
}

#[test]
fn a_daemon_that_holds_stdout_does_not_hold_the_turn() {
    let started = Instant::now();
    let marker = format!("31{:05}", std::process::id() % 100_000);
    let (_place, told) = shell("", &format!("setsid sleep {marker} & echo started"));
    assert!(told.contains("started"), "{told}");
    assert!(started.elapsed() < Duration::from_secs(15));
    wait_until("the daemon is gone", || !is_running(&marker));
}

#[test]
fn a_tool_that_ignores_signals_is_stopped() {
    let started = Instant::now();
    let marker = format!("32{:05}", std::process::id() % 100_000);
    let command = format!("trap '' TERM INT HUP; sleep {marker}; sleep {marker}");
    let (_place, _told) = shell("    sandbox: {timeout: 300ms}\n", &command);
    assert!(started.elapsed() < Duration::from_secs(15));
    wait_until("the tool is gone", || !is_running(&marker));
}

#[test]
fn a_fork_bomb_goes_off_in_its_box() {
    let sandbox = "    sandbox: {pids: 32, timeout: 3s, weaker: true}\n";
    let (place, _told) = shell(sandbox, "b() { b | b & }; b; sleep 1; echo still here");
    place.mainstay(&["doctor"]).ok();
}

fn is_running(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|part| part == marker.as_bytes())
    })
}
