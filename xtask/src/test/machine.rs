//! Sets up what the tests need: installs it as root on Debian, else says exactly what is missing.

use super::tools;
use crate::place::Failure;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program the tests use.
struct Need {
    program: &'static str,
    /// The Debian package that holds it.
    package: &'static str,
    /// What does not run without it; `None` where nothing would run.
    without: Option<&'static str>,
}

const NEEDS: &[Need] = &[
    Need {
        program: "cc",
        package: "build-essential",
        without: None,
    },
    Need {
        program: "sh",
        package: "dash",
        without: None,
    },
    Need {
        program: "unshare",
        package: "util-linux",
        without: Some("tests that stage a machine of another kind are skipped"),
    },
    Need {
        program: "mount",
        package: "mount",
        without: Some("tests that stage a full or failing disk are skipped"),
    },
    Need {
        program: "bwrap",
        package: "bubblewrap",
        without: Some("the sandbox is not compared with bubblewrap"),
    },
    Need {
        program: "busybox",
        package: "busybox",
        without: Some("a program that is linked statically is not watched"),
    },
    Need {
        program: "git",
        package: "git",
        without: Some("what a change affects is not tried"),
    },
    Need {
        program: "make",
        package: "make",
        without: Some("a jobserver is not tried with make"),
    },
    Need {
        program: "ninja",
        package: "ninja-build",
        without: Some("the task runner is not compared with ninja"),
    },
    Need {
        program: "bazel",
        package: "bazel-bootstrap",
        without: Some("the cache server is not tried with Bazel"),
    },
    Need {
        program: "npm",
        package: "npm",
        without: Some("Turborepo cannot be installed"),
    },
    Need {
        program: "python3",
        package: "python3-venv",
        without: Some("BuildGrid and genai-prices cannot be installed"),
    },
];

/// Parts of the Rust toolchain: the component, and the program that shows it is there.
const COMPONENTS: &[(&str, &str)] = &[("rustfmt", "fmt"), ("clippy", "clippy")];

#[derive(Debug)]
pub(crate) struct Machine {
    /// Whether `cargo nextest` can be used; `cargo test` is as good, only slower.
    pub(crate) has_nextest: bool,
    /// What is not here, and what it costs.
    pub(crate) missing: Vec<String>,
}

impl Machine {
    /// Brings the machine into order as far as this user may.
    pub(crate) fn set_up(target: &Path) -> Result<Self, Failure> {
        println!("== set-up");
        install(&absent());
        components()?;
        let mut missing = Vec::new();
        let mut fatal = Vec::new();
        for need in absent() {
            let wish = format!("{} (apt-get install {})", need.program, need.package);
            match need.without {
                Some(cost) => missing.push(format!("{wish}: {cost}")),
                None => fatal.push(wish),
            }
        }
        if !fatal.is_empty() {
            let list = fatal.join(", ");
            return Err(Failure::Found(format!(
                "nothing can be built without {list}"
            )));
        }
        missing.extend(tools::set_up(target, tools::TESTS));
        missing.iter().for_each(|line| println!("not here: {line}"));
        let has_nextest = succeeds("cargo", &["nextest", "--version"]);
        println!(
            "tests run with {}",
            if has_nextest {
                "cargo nextest"
            } else {
                "cargo test"
            }
        );
        Ok(Self {
            has_nextest,
            missing,
        })
    }
}

fn absent() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !is_here(need.program)).collect()
}

pub(super) fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(system)
        .any(|folder| folder.join(program).is_file())
}

/// Installs packages where we are root and there is apt.
fn install(absent: &[&Need]) {
    if absent.is_empty() || !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return;
    }
    let packages: Vec<&str> = absent.iter().map(|need| need.package).collect();
    println!("installing {}", packages.join(" "));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    if !apt(&arguments) {
        // The package lists of a fresh container are empty.
        let _refreshed = apt(&["update"]) && apt(&arguments);
    }
}

fn apt(arguments: &[&str]) -> bool {
    Command::new("apt-get")
        .args(["--quiet", "--quiet"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn components() -> Result<(), Failure> {
    for (component, program) in COMPONENTS {
        if succeeds("cargo", &[program, "--version"]) {
            continue;
        }
        println!("installing the component {component}");
        if !succeeds("rustup", &["component", "add", component]) {
            return Err(Failure::Found(format!(
                "`cargo {program}` is missing: run `rustup component add {component}`"
            )));
        }
    }
    Ok(())
}

pub(super) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Asks the kernel through `/proc`: the effective user is the second number of `Uid:`.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default();
    ids.split_whitespace().nth(1) == Some("0")
}
