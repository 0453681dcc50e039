//! One step of the whole: a cargo command whose output is shown as it comes, and counted.

use super::tally::Tally;
use crate::place::{Failure, Place};
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where nextest writes, below the target directory; `.config/nextest.toml` names the file.
const JUNIT: &str = "nextest/default/junit.xml";

/// How the tests of a step are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// The step is one check.
    Exit,
    /// By the lines of the test harness.
    Lines,
    /// By the JUnit file.
    Junit,
}

#[derive(Debug)]
pub(crate) struct Step {
    title: String,
    arguments: Vec<String>,
    count: Count,
}

/// How a step went.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) title: String,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

impl Step {
    fn new(title: &str, arguments: &[&[&str]], count: Count) -> Self {
        let arguments = arguments.iter().flat_map(|part| part.iter());
        let arguments = arguments.map(|&word| word.to_owned()).collect();
        Self {
            title: title.to_owned(),
            arguments,
            count,
        }
    }

    /// A command that ends well or not.
    pub(crate) fn check(title: &str, arguments: &[&str]) -> Self {
        Self::new(title, &[arguments], Count::Exit)
    }

    pub(crate) fn nextest(title: &str, which: &[&str]) -> Self {
        let options = ["--no-fail-fast", "--no-tests=pass"];
        Self::new(title, &[&["nextest", "run"], which, &options], Count::Junit)
    }

    pub(crate) fn cargo_test(title: &str, which: &[&str]) -> Self {
        let options = ["--no-fail-fast", "--all-targets", "--", "--show-output"];
        Self::new(title, &[&["test"], which, &options], Count::Lines)
    }

    pub(crate) fn doc_tests() -> Self {
        Self::new(
            "doc tests",
            &[&["test", "--workspace", "--doc", "--no-fail-fast"]],
            Count::Lines,
        )
    }

    /// Runs it, showing its output as it comes.
    pub(crate) fn run(&self, place: &Place) -> Done {
        println!("\n== {}: cargo {}", self.title, self.arguments.join(" "));
        let started = Instant::now();
        let junit = target(place).join(JUNIT);
        if self.count == Count::Junit {
            // An old file must not be counted as this run's.
            let _absent = fs::remove_file(&junit);
        }
        let (is_good, lines) = match self.stream(place) {
            Ok((status, lines)) => (status.success(), lines),
            Err(error) => {
                println!("cargo could not be run: {error}");
                (false, Vec::new())
            }
        };
        let mut tally = match self.count {
            Count::Exit => Tally::of_check(is_good),
            Count::Lines => Tally::of_lines(lines.iter().map(String::as_str)),
            Count::Junit => Tally::of_junit(&fs::read_to_string(&junit).unwrap_or_default()),
        };
        if !is_good && tally.failed == 0 {
            tally.failed = 1;
        }
        Done {
            title: self.title.clone(),
            tally,
            took: started.elapsed(),
        }
    }

    fn stream(&self, place: &Place) -> std::io::Result<(ExitStatus, Vec<String>)> {
        let is_counted = self.count == Count::Lines;
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(&self.arguments)
            .current_dir(place.root())
            .envs(super::tools::environment(&target(place)))
            .stdin(Stdio::null());
        if !is_counted {
            let status = command.status()?;
            return Ok((status, Vec::new()));
        }
        if std::io::stdout().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        // Only stdout is counted; what cargo itself says goes straight to the terminal.
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().map(shown).unwrap_or_default();
        Ok((child.wait()?, lines))
    }
}

/// Prints each line as it comes and keeps what may be counted.
fn shown(stdout: impl Read) -> Vec<String> {
    let mut kept = Vec::new();
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    while reader
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|count| count > 0)
    {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        println!("{line}");
        let line = plain(&line);
        if ["test result: ", "skipped: ", "---- "]
            .iter()
            .any(|start| line.starts_with(start))
        {
            kept.push(line);
        }
        bytes.clear();
    }
    kept
}

/// A line without colours.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text
}

/// The folder that cargo builds in.
pub(crate) fn target(place: &Place) -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| place.join("target"), Into::into)
}

/// Runs a chore of ours as a step.
pub(crate) fn chore(title: &str, run: impl FnOnce() -> Result<(), Failure>) -> Done {
    println!("\n== {title}");
    let started = Instant::now();
    let ended = run();
    if let Err(failure) = &ended {
        println!("{failure}");
    }
    Done {
        title: title.to_owned(),
        tally: Tally::of_check(ended.is_ok()),
        took: started.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_hide_a_result() {
        assert_eq!(
            plain("test result: \u{1b}[32mok\u{1b}[m. 1 passed"),
            "test result: ok. 1 passed"
        );
        let kept = shown(&b"test result: \x1b[1mok\x1b[0m. 2 passed;\nnoise\xff\n---- x"[..]);
        assert_eq!(Tally::of_lines(kept.iter().map(String::as_str)).passed, 2);
    }
}
