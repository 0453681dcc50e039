//! `task run --url`: the run is on a node; here it is shown, and here it can be interrupted.

use super::console::{Console, report};
use super::run::{Signals, exit, options};
use crate::args::TaskRun;
use crate::client::{Client, Follow};
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, Coded};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a node that does not answer may take to be there again.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
const RUNS: &str = "/api/tasks/runs";

pub(super) async fn run(
    context: &Context,
    url: &str,
    args: &TaskRun,
    mut signals: Signals,
) -> Result<ExitCode, CliError> {
    let client = Client::tcp(url)?;
    let options = options(args, !context.output.is_json);
    let body = json!({ "tasks": args.targets, "options": options });
    let begun = client.json(Method::POST, RUNS, Some(&body));
    let (begun, mut ended_by) = until_begun(begun, &mut signals).await;
    let Some(begun) = begun else {
        return Ok(exit(ended_by, None));
    };
    let begun: Value = begun?;
    let path = format!("{RUNS}/{}", begun["id"].as_str().unwrap_or_default());
    let stop = async || {
        let path = format!("{path}/cancel");
        client.json::<Value>(Method::POST, &path, None).await
    };
    if ended_by.is_some() {
        stop().await?;
    }
    let mut shown = Shown {
        console: Console::new(context.output),
        cursor: 0,
        ended: args.profile.is_some().then(Vec::new),
        last: None,
    };
    let last = {
        let mut followed = std::pin::pin!(shown.follow(&client, &path));
        loop {
            tokio::select! {
                over = &mut followed => break over?,
                Some(signal) = signals.recv() => {
                    ended_by.get_or_insert(signal);
                    stop().await?;
                }
            }
        }
    };
    conclude(&last, &shown, args, ended_by)
}

/// Waits until a run has begun. Whoever interrupts meanwhile wants it to be stopped, once it is known which it
/// is; whoever interrupts twice does not wait for that.
async fn until_begun<T>(
    begun: impl Future<Output = T>,
    signals: &mut Signals,
) -> (Option<T>, Option<u8>) {
    let mut begun = std::pin::pin!(begun);
    let mut first = None;
    loop {
        tokio::select! {
            begun = &mut begun => return (Some(begun), first),
            Some(signal) = signals.recv() => {
                if first.is_some() {
                    return (None, first);
                }
                first = Some(signal);
            }
        }
    }
}

/// What the last event of a run means for the exit code.
fn conclude(
    last: &Value,
    shown: &Shown,
    args: &TaskRun,
    ended_by: Option<u8>,
) -> Result<ExitCode, CliError> {
    if let Some(failure) = report(&last["report"]) {
        return Err(failure.into());
    }
    if let (Some(path), Some(ended)) = (&args.profile, &shown.ended) {
        super::profile::write(path, ended, last)?;
    }
    let failure = report(&last["failure"]).map(|report| report.code.info().exit);
    // What stays up and is ended in good order has not failed.
    let stopped = (last["stopped"] == true).then(|| Code::TaskCancelled.info().exit);
    let ended_by = ended_by.filter(|_| stopped.is_some());
    Ok(exit(ended_by, failure.or(stopped)))
}

/// A run that is shown as it goes.
struct Shown {
    console: Console,
    /// The last event that was shown.
    cursor: u64,
    /// The ends of tasks, where they are wanted.
    ended: Option<Vec<Value>>,
    /// What the run came to, once it is over.
    last: Option<Value>,
}

impl Shown {
    /// Shows a run to its end, and gives its last event. Where the connection breaks, it goes on after the last
    /// event that came.
    async fn follow(&mut self, client: &Client, run: &str) -> Result<Value, CliError> {
        let mut lost: Option<Instant> = None;
        loop {
            let before = self.cursor;
            let path = format!("{run}/events?after={before}");
            let read = client.frames(&path, |seq, data| {
                self.show(serde_json::from_slice(data)?);
                self.cursor = seq.unwrap_or(self.cursor);
                Ok(match self.last {
                    Some(_) => Follow::Stop,
                    None => Follow::Next,
                })
            });
            let read = read.await;
            if let Some(last) = self.last.take() {
                return Ok(last);
            }
            if self.cursor != before {
                lost = None;
            }
            let since = *lost.get_or_insert_with(Instant::now);
            match read {
                Err(error)
                    if error.code() != Code::NodeUnreachable || since.elapsed() > PATIENCE =>
                {
                    return Err(error);
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn show(&mut self, event: Value) {
        let kind = event["event"].as_str().unwrap_or_default();
        // Its report is the end of this command, and shown as such.
        if kind != "broken" {
            self.console.show(&event);
        }
        match (kind, &mut self.ended) {
            ("summary" | "broken", _) => self.last = Some(event),
            ("ended", Some(ended)) => ended.push(event),
            _ => {}
        }
    }
}
