//! `demo`: an agent repairs a real repository in front of you; then the plug is pulled at seeded
//! moments of the same work, and a table says what each pull cost.
//!
//! Everything is the real thing: the runs are processes of this program, killed with SIGKILL, with
//! their own data directories; the tracker is a server on loopback whose posts are counted there.

mod plug;
mod repository;
mod table;
mod tracker;
mod watched;

use crate::args::Demo;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;
use plug::Cost;
use repository::Repository;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tracker::Tracker;
use watched::{Ended, Watched};

/// The most that one run may take before the demo gives up on it.
const RUN_LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn run(context: &Context, args: &Demo) -> Result<ExitCode, CliError> {
    let output = context.output;
    let scratch = Scratch::new(args.dir.as_deref())?;
    let tracker = Tracker::start().await?;
    let first = Repository::unpack(&scratch.path.join("first"), tracker.port())?;
    output.styled(&heading(output, "An agent at work"));
    output.note(&format!(
        "unpacked {}, with a bug and a test-suite",
        first.root.display()
    ));
    tell_tests(output, "before", &first.tests(&first.workspace()).await?);
    let whole = Watched::start(&first, "demo-0")?
        .until_the_end(RUN_LIMIT, Some(output))
        .await?;
    let diff = first.diff("demo-0").await?;
    if !whole.is_completed() {
        return Err(match whole.seen.error {
            Some(error) => error.into(),
            None => CliError::Runtime(format!("the demo's agent did not finish: {whole:?}")),
        });
    }
    output.styled(&heading(output, "What it changed, in its private view"));
    output.styled(diff.trim_end());
    first.apply("demo-0").await?;
    let after = first.tests(&first.workspace()).await?;
    tell_tests(output, "after `session apply`", &after);
    let posts = tracker.take_posts();
    output.note(&format!("posts on the tracker: {posts}"));
    let costs = pull_plugs(output, args, &scratch.path, &tracker, &whole, &diff).await?;
    report(output, args, &after, posts, &costs);
    let is_good = after.is_passing && posts == 1 && costs.iter().all(Cost::is_good);
    Ok(ExitCode::from(u8::from(!is_good)))
}

async fn pull_plugs(
    output: Output,
    args: &Demo,
    scratch: &Path,
    tracker: &Tracker,
    whole: &Ended,
    diff: &str,
) -> Result<Vec<Cost>, CliError> {
    if args.kills == 0 {
        return Ok(Vec::new());
    }
    output.styled(&heading(
        output,
        &format!("The same run, killed with SIGKILL {} times", args.kills),
    ));
    let progress = progress_bar(output, args.kills);
    let mut costs = Vec::new();
    for (number, moment) in plug::moments(args.seed, args.kills, whole.wall).enumerate() {
        let folder = scratch.join(format!("kill-{}", number + 1));
        let repository = Repository::unpack(&folder, tracker.port())?;
        let cost = plug::pull(&repository, tracker, number + 1, moment, diff).await?;
        costs.push(cost);
        progress.inc(1);
        if args.dir.is_none() {
            repository.remove()?;
        }
    }
    progress.finish_and_clear();
    Ok(costs)
}

fn report(output: Output, args: &Demo, tests: &repository::Tests, posts: usize, costs: &[Cost]) {
    if output.is_json {
        output.json(&json!({
            "tests": tests.summary, "passing": tests.is_passing, "posts": posts,
            "seed": args.seed, "kills": costs,
        }));
        return;
    }
    if costs.is_empty() {
        output.line(&format!(
            "tests: {}; posts on the tracker: {posts}",
            tests.summary
        ));
        return;
    }
    output.text(&table::render(costs));
    match &args.dir {
        Some(dir) => output.note(&format!("kept in {}", dir.display())),
        None => output.note("see for yourself with --dir DIR, which keeps everything"),
    }
}

fn tell_tests(output: Output, when: &str, tests: &repository::Tests) {
    let color = if tests.is_passing { "32" } else { "31" };
    output.styled(&format!(
        "tests {when}: {}",
        output.paint(color, &tests.summary)
    ));
}

fn heading(output: Output, text: &str) -> String {
    format!("\n{}", output.paint("1", text))
}

fn progress_bar(output: Output, kills: u32) -> indicatif::ProgressBar {
    if output.is_terminal && !output.is_json {
        indicatif::ProgressBar::new(u64::from(kills))
    } else {
        indicatif::ProgressBar::hidden()
    }
}

/// Where the demo unpacks; a temporary folder goes away with it.
struct Scratch {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Scratch {
    fn new(dir: Option<&Path>) -> Result<Self, CliError> {
        if let Some(dir) = dir {
            let path = std::path::absolute(dir).map_err(|error| CliError::File {
                path: dir.to_owned(),
                error,
            })?;
            let is_taken = std::fs::read_dir(&path).is_ok_and(|mut found| found.next().is_some());
            if is_taken {
                return Err(CliError::Exists { path });
            }
            return Ok(Self {
                path,
                _temporary: None,
            });
        }
        let temporary = tempfile::Builder::new().prefix("mainstay-demo-").tempdir();
        let temporary = temporary.map_err(|error| CliError::File {
            path: std::env::temp_dir(),
            error,
        })?;
        Ok(Self {
            path: temporary.path().to_owned(),
            _temporary: Some(temporary),
        })
    }
}
