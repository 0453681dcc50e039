//! Programs that are not ours and that no Debian package holds; tests run against them as they are.
//!
//! They come by name and version from their registries into the target folder. Where that cannot be,
//! their tests are skipped.

use super::machine::{is_here, succeeds};
use std::path::Path;

struct Tool {
    /// Its folder, below `tools` in the target folder.
    folder: &'static str,
    /// The program, below its folder.
    program: &'static str,
    /// What installs it, with `FOLDER` for its folder, and in which order.
    steps: &'static [&'static [&'static str]],
    /// What does not run without it.
    without: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        folder: "turbo",
        program: "node_modules/.bin/turbo",
        steps: &[&[
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            "FOLDER",
            "turbo@2.11.11",
        ]],
        without: "the cache server is not tried with Turborepo",
    },
    Tool {
        folder: "buildgrid",
        program: "bin/bgd",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &["FOLDER/bin/pip", "install", "--quiet", "buildgrid==0.4.4"],
        ],
        without: "the cache client is not tried with BuildGrid",
    },
];

/// Installs what is absent; answers what could not be had, and what that costs.
pub(super) fn set_up(target: &Path) -> Vec<String> {
    let missing = TOOLS.iter().filter(|tool| !tool.install(target));
    missing
        .map(|tool| format!("{}: {}", tool.folder, tool.without))
        .collect()
}

impl Tool {
    fn install(&self, target: &Path) -> bool {
        let folder = target.join("tools").join(self.folder);
        let program = folder.join(self.program);
        if program.is_file() {
            return true;
        }
        let is_possible = self.steps.first().is_some_and(|step| is_here(step[0]));
        if !is_possible || std::fs::create_dir_all(&folder).is_err() {
            return false;
        }
        println!("installing {}", self.folder);
        let folder = folder.to_string_lossy();
        let run = |step: &&[&str]| {
            let words: Vec<String> = step.iter().map(|w| w.replace("FOLDER", &folder)).collect();
            let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            succeeds(&words[0], &arguments)
        };
        self.steps.iter().all(run) && program.is_file()
    }
}
