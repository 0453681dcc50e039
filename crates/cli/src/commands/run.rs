//! `run`: one turn in the foreground, streamed. The same `--turn` resumes or reports the same turn.

use crate::args::Run;
use crate::client::{Client, Follow, events_path};
use crate::context::{Connection, Context};
use crate::error::CliError;
use crate::output::Output;
use mainstay_contract::{AgentName, Code, Coded, ErrorReport, Event, Seq, SessionId, TurnId};
use mainstay_sessions::OnBusy;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a node that went away may take to come back.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(context: &Context, args: Run) -> Result<ExitCode, CliError> {
    let agent = AgentName::new(&args.agent)?;
    let turn = args
        .turn
        .as_deref()
        .map_or_else(|| Ok(TurnId::generate()), TurnId::new)?;
    let session = args
        .session
        .as_deref()
        .map_or_else(|| Ok(SessionId::generate()), SessionId::new)?;
    let input = if args.input == "-" {
        standard_input()?
    } else {
        args.input
    };
    let mut config = context.node_config()?;
    if let Some(path) = &args.record {
        can_record(path)?;
    }
    let is_recorded = args.record.is_some();
    config.record = args.record;
    let body = json!({
        "agent": agent, "input": input, "turn_id": turn, "on_busy": OnBusy::from(args.on_busy),
    });
    let mut followed = Followed::new(context.output, session, turn, body);
    let mut lost: Option<Instant> = None;
    loop {
        let before = followed.cursor;
        let connection = context.connect_with(config.clone()).await?;
        if is_recorded {
            records(&connection)?;
        }
        let ended = tokio::select! {
            ended = followed.follow(&connection.client) => ended,
            () = interrupted() => followed.cancel(&connection.client).await,
        };
        let is_own = connection.is_own();
        connection.close().await;
        if followed.cursor != before {
            lost = None;
        }
        match ended {
            // The turn is durable: with the next node, or one of our own, it goes on.
            Err(error) if error.code() == Code::NodeUnreachable && !is_own => {
                let since = *lost.get_or_insert_with(Instant::now);
                if followed.cursor.is_none() || since.elapsed() > PATIENCE {
                    return Err(error);
                }
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Refuses a recording that could not be written, before anything runs.
pub(super) fn can_record(path: &Path) -> Result<(), CliError> {
    let mut options = File::options();
    let opened = options.create(true).append(true).open(path);
    opened.map(drop).map_err(|error| CliError::File {
        path: path.to_owned(),
        error,
    })
}

/// Refuses to record what another node does.
pub(super) fn records(connection: &Connection) -> Result<(), CliError> {
    if connection.is_own() {
        return Ok(());
    }
    let message = "another node calls the model, and this command cannot record it";
    let report = ErrorReport::new(Code::InvalidRequest, message);
    Err(report.hint("stop that node, or leave --record out").into())
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A turn that is followed, from node to node if need be.
struct Followed {
    session: SessionId,
    body: Value,
    /// The last event seen, once the turn is accepted.
    cursor: Option<Seq>,
    shown: Shown,
}

impl Followed {
    fn new(output: Output, session: SessionId, turn: TurnId, body: Value) -> Self {
        Self {
            session,
            body,
            cursor: None,
            shown: Shown {
                output,
                turn,
                is_streaming: false,
                stalled: None,
            },
        }
    }

    /// Asks for the turn, which is the same one however often it is asked for, and follows it.
    async fn follow(&mut self, client: &Client) -> Result<ExitCode, CliError> {
        let path = format!("/api/sessions/{}/turns", self.session);
        let accepted: Value = client.json(Method::POST, &path, Some(&self.body)).await?;
        let output = self.shown.output;
        if self.cursor.is_none() {
            let (session, turn) = (&self.session, &self.shown.turn);
            output.styled(&output.paint("2", &format!("session {session} · turn {turn}")));
        }
        let first = Seq(accepted["seq"].as_u64().unwrap_or(1).saturating_sub(1));
        let mut cursor = self.cursor.unwrap_or(first);
        self.cursor = Some(cursor);
        if let Some(into) = accepted["steered_into"].as_str() {
            self.shown.turn = TurnId::new(into)?;
        }
        loop {
            let mut ended = false;
            let path = events_path(self.session.as_str(), cursor);
            let shown = &mut self.shown;
            let read = client
                .events(&path, |event| {
                    cursor = cursor.max(event.seq);
                    ended = shown.show(&event);
                    if ended { Follow::Stop } else { Follow::Next }
                })
                .await;
            self.cursor = Some(cursor);
            read?;
            if let Some(stalled) = self.shown.stalled.take() {
                return Err(stalled.into());
            }
            if !ended {
                continue;
            }
            let turn = &self.shown.turn;
            let result: Value = client.get(&format!("/api/turns/{turn}")).await?;
            // A word may have been given since: then the turn goes on, and so does the tape.
            if !matches!(result["state"].as_str(), Some("accepted" | "running")) {
                return Ok(self.shown.finish(&result));
            }
        }
    }

    async fn cancel(&self, client: &Client) -> Result<ExitCode, CliError> {
        self.shown
            .output
            .note("cancelling; interrupt again to leave at once (the turn then goes on next time)");
        let path = format!("/api/sessions/{}/cancel", self.session);
        let body = json!({ "turn": self.shown.turn });
        let cancelled = async {
            client
                .json::<Value>(Method::POST, &path, Some(&body))
                .await?;
            self.until_over(client).await
        };
        tokio::select! {
            over = cancelled => over?,
            () = interrupted() => {}
        }
        Ok(ExitCode::from(128 + 2))
    }

    /// Waits for the end of the turn; what is under way takes a moment to be stopped.
    async fn until_over(&self, client: &Client) -> Result<(), CliError> {
        let first = self.cursor.unwrap_or(Seq(0));
        let path = events_path(self.session.as_str(), first);
        let turn = &self.shown.turn;
        let is_end = |event: &Event| {
            let is_over = matches!(
                event.kind.as_str(),
                "turn_completed" | "turn_failed" | "turn_cancelled"
            );
            is_over && event.turn.as_ref() == Some(turn)
        };
        let watch = |event: Event| match is_end(&event) {
            true => Follow::Stop,
            false => Follow::Next,
        };
        client.events(&path, watch).await.map(drop)
    }
}

/// Shows a turn as it goes.
struct Shown {
    output: Output,
    /// The turn asked for, or the one that took its input.
    turn: TurnId,
    is_streaming: bool,
    /// Why the turn cannot go on for now: the store does not write.
    stalled: Option<ErrorReport>,
}

impl Shown {
    /// Shows one event; answers whether the turn has ended or waits for an operator.
    fn show(&mut self, event: &Event) -> bool {
        if event.turn.as_ref() != Some(&self.turn) {
            return false;
        }
        if self.output.is_json {
            self.output.json(event);
        } else {
            self.describe(event);
        }
        if event.kind == "turn_stalled" {
            self.stalled = serde_json::from_value(event.data["error"].clone()).ok();
        }
        self.stalled.is_some() || ends_turn(&event.kind)
    }

    fn describe(&mut self, event: &Event) {
        let data = &event.data;
        let text = |key: &str| data[key].as_str().unwrap_or_default();
        if event.kind == "text_delta" {
            if self.output.is_terminal {
                self.is_streaming = true;
                self.output.text(text("text"));
            }
            return;
        }
        let line = match event.kind.as_str() {
            "tool_started" => format!("→ {} {}", text("tool"), shorten(text("arguments"))),
            "tool_in_doubt" => format!("? step {} is in doubt", text("step")),
            "turn_resumed" => "↻ resumed after an interruption".to_owned(),
            "model_call_failed" => {
                format!(
                    "… the model failed, trying again: {}",
                    data["error"]["message"]
                )
            }
            "turn_stalled" => format!(
                "! {}",
                data["error"]["message"].as_str().unwrap_or_default()
            ),
            "workspace_opened" if text("mode") == "copy" => {
                "! this host has no overlay: working on a full copy of the folder".to_owned()
            }
            _ => return,
        };
        self.end_stream();
        self.output.styled(&self.output.paint("2", &line));
    }

    fn end_stream(&mut self) {
        if std::mem::take(&mut self.is_streaming) {
            self.output.line("");
        }
    }

    fn finish(&mut self, result: &Value) -> ExitCode {
        let was_streamed = self.is_streaming;
        self.end_stream();
        let error: Option<ErrorReport> = serde_json::from_value(result["error"].clone()).ok();
        if self.output.is_json {
            self.output
                .json(&json!({ "kind": "result", "data": result }));
        } else if let Some(error) = &error {
            self.output.failure(error);
        } else if !was_streamed {
            let answer = result["text"].as_str().unwrap_or_default();
            self.output.text(&format!("{answer}\n"));
        }
        ExitCode::from(exit_of(result, error.as_ref()))
    }
}

fn exit_of(result: &Value, error: Option<&ErrorReport>) -> u8 {
    match (result["state"].as_str(), error) {
        (Some("completed" | "steered"), _) => 0,
        (_, Some(error)) => error.code.info().exit.max(1),
        _ => 1,
    }
}

fn ends_turn(kind: &str) -> bool {
    matches!(
        kind,
        "turn_completed" | "turn_failed" | "turn_cancelled" | "turn_quarantined" | "tool_in_doubt"
    )
}

pub(super) fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::File {
            path: "standard input".into(),
            error,
        })?;
    Ok(text)
}

fn shorten(text: &str) -> String {
    const WIDTH: usize = 100;
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() <= WIDTH {
        return line;
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}
