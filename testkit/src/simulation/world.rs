//! The world around a session: everything outside the machine, drawn from a seed.

use mainstay_contract::{
    AgentName, Code, Digest, ErrorReport, RetryAdvice, Seq, SessionId, StepId, Timestamp, TurnId,
    Usage,
};
use mainstay_resilience::RetryPolicy;
use mainstay_sessions::{
    CallRef, Effect, EffectClass, Input, Interruption, ModelOutcome, OnBusy, Price, ProbeOutcome,
    Record, RecordKind, Resolution, Session, StartTurn, ToolOutcome, ToolPolicy, ToolStatus,
    TurnConfig, WorkspaceMode, digest,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

/// Nothing that is still going on after so many rounds will ever end.
const ROUNDS_MAX: u32 = 2000;
const TOOLS: [(&str, EffectClass, bool); 4] = [
    ("pure", EffectClass::Pure, false),
    ("idempotent", EffectClass::Idempotent, false),
    ("once", EffectClass::Once, false),
    ("probed", EffectClass::Once, true),
];

/// What a schedule left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Everything that happened, line by line.
    pub text: String,
    /// Points at which a crash could fall.
    pub points: u64,
    /// Crashes that happened.
    pub crashes: u64,
    /// Records that became durable.
    pub records: u64,
    /// Times that an effect outside took place.
    pub effects: u64,
}

/// How often a key was applied outside, and how often somebody allowed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) count: u32,
    pub(super) allowed: u32,
    pub(super) is_once: bool,
}

/// One session and all that surrounds it.
pub struct World {
    seed: u64,
    random: ChaCha8Rng,
    crashes: Vec<u64>,
    point: u64,
    now: Timestamp,
    machine: Session,
    config: TurnConfig,
    config_digest: Digest,
    pub(super) journal: Vec<Record>,
    /// What the outside has seen, by key.
    pub(super) tracker: BTreeMap<String, Applied>,
    /// The step of each key.
    pub(super) keys: BTreeMap<String, StepId>,
    /// Turns that were acknowledged to their callers.
    pub(super) acknowledged: Vec<TurnId>,
    effects: VecDeque<Effect>,
    commands: u32,
    /// A promise that was seen broken on the way.
    violation: Option<String>,
    trace: Trace,
}

/// The process ended; everything that was not durable is gone.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Crashed,
    /// In good order.
    Stopped,
}

impl World {
    /// A world of a seed, which dies at these points.
    #[must_use]
    pub fn new(seed: u64, crashes: &[u64]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let config = config(&mut random);
        let config_digest = digest(&serde_json::to_vec(&config).unwrap_or_default());
        Self {
            seed,
            crashes: crashes.to_vec(),
            point: 0,
            now: Timestamp(1_000),
            machine: Session::new(session()),
            config,
            config_digest,
            journal: Vec::new(),
            tracker: BTreeMap::new(),
            keys: BTreeMap::new(),
            acknowledged: Vec::new(),
            effects: VecDeque::new(),
            commands: 2 + draw(&mut random, 5),
            random,
            violation: None,
            trace: Trace::default(),
        }
    }

    /// What happened.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let mut trace = self.trace.clone();
        trace.points = self.point;
        trace.records = self.journal.len() as u64;
        trace.effects = self
            .tracker
            .values()
            .map(|applied| u64::from(applied.count))
            .sum();
        trace
    }

    /// Runs until nothing happens any more, taking the process up again after every crash.
    ///
    /// # Errors
    /// What went wrong while it ran.
    pub fn run(&mut self) -> Result<(), String> {
        let mut rounds = 0;
        while let Err(ended) = self.live(&mut rounds)? {
            self.trace.crashes += u64::from(ended == Ended::Crashed);
            self.say(&format!("{ended:?}"));
            if draw(&mut self.random, 6) == 0 {
                self.visit()?;
            }
            self.recover()?;
        }
        if let Some(violation) = self.violation.take() {
            return Err(violation);
        }
        let live = self.machine.view();
        let again = self.replayed()?.view();
        if live != again {
            return Err(format!(
                "replay differs from what lived:\n{live:?}\n{again:?}"
            ));
        }
        mainstay_sessions::verify(&session(), &self.journal, &|found| self.config_of(found))
            .map_err(|error| format!("verification: {error}: {error:?}"))
    }

    /// The session as its journal alone makes it.
    pub(super) fn replayed(&self) -> Result<Session, String> {
        let mut machine = Session::new(session());
        for record in &self.journal {
            let replayed = machine.replay(record, &|found| self.config_of(found));
            replayed.map_err(|error| format!("replay: {error}"))?;
        }
        Ok(machine)
    }

    fn config_of(&self, found: &Digest) -> Option<TurnConfig> {
        (*found == self.config_digest).then(|| self.config.clone())
    }

    pub(super) fn attempts_max(&self) -> u32 {
        self.config.attempts_max
    }

    /// A node that does not work on turns takes in a command, which may come to nothing.
    fn visit(&mut self) -> Result<(), String> {
        self.effects.clear();
        self.machine = self.replayed()?;
        self.now = self.now.after(std::time::Duration::from_millis(50));
        self.command();
        let _ended = self.stop();
        Ok(())
    }

    fn recover(&mut self) -> Result<(), String> {
        self.effects.clear();
        self.machine = self.replayed()?;
        self.now = self.now.after(std::time::Duration::from_millis(50));
        self.machine.resume(self.now, Interruption::Crash);
        Ok(())
    }

    /// Lives until the process ends or until nothing is left to do.
    fn live(&mut self, rounds: &mut u32) -> Result<Result<(), Ended>, String> {
        loop {
            *rounds += 1;
            if *rounds > ROUNDS_MAX {
                return Err("it never comes to rest".to_owned());
            }
            if let Err(ended) = self.write() {
                return Ok(Err(ended));
            }
            while let Some(effect) = self.machine.poll_effect() {
                if let Effect::Abort { .. } = effect {
                    self.say("abort");
                    continue;
                }
                self.effects.push_back(effect);
            }
            self.now = self.now.after(std::time::Duration::from_millis(1));
            if self.commands > 0 && draw(&mut self.random, 4) == 0 {
                self.commands -= 1;
                if draw(&mut self.random, 12) == 0 {
                    return Ok(Err(self.stop()));
                }
                self.command();
            } else if let Some(effect) = self.effects.pop_front() {
                match self.perform(effect) {
                    Ok(input) => self.tell(input),
                    Err(ended) => return Ok(Err(ended)),
                }
            } else if let Some(at) = self.machine.poll_timeout() {
                self.now = self.now.max(at);
                self.machine.handle_timeout(self.now);
            } else if self.commands > 0 {
                self.commands -= 1;
                self.command();
            } else if self.machine.is_idle() {
                return Ok(Ok(()));
            }
        }
    }

    /// A point where the process may die.
    fn may_die(&mut self) -> Result<(), Ended> {
        let point = self.point;
        self.point += 1;
        if self.crashes.contains(&point) {
            Err(Ended::Crashed)
        } else {
            Ok(())
        }
    }

    /// Makes what was decided durable: the process may die before or after.
    fn write(&mut self) -> Result<(), Ended> {
        let Some(outbox) = self.machine.poll_outbox() else {
            return Ok(());
        };
        self.may_die()?;
        if let Some(effect) = self.machine.poll_effect() {
            self.violation = Some(format!("an effect left before its record: {effect:?}"));
        }
        for record in outbox.records {
            if let RecordKind::TurnAccepted { .. } = &record.kind {
                self.acknowledged.push(record.turn.clone());
            }
            if let RecordKind::ToolResolved {
                step,
                resolution: Resolution::Retry,
                ..
            } = &record.kind
            {
                self.allow(step);
            }
            let text = format!("{} {:?}", record.seq.0, record.kind);
            self.say(&text);
            self.journal.push(record);
        }
        self.may_die()?;
        self.machine.written(self.machine.last_seq());
        Ok(())
    }

    /// Stops in good order, which may come to nothing on the way.
    fn stop(&mut self) -> Ended {
        self.tell(Input::Suspend);
        self.write().err().unwrap_or(Ended::Stopped)
    }

    fn allow(&mut self, step: &StepId) {
        let keys = self.keys.iter().filter(|(_, of)| *of == step);
        for key in keys.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.tracker.entry(key).or_default().allowed += 1;
        }
    }

    fn tell(&mut self, input: Input) {
        if let Err(rejected) = self.machine.handle(self.now, input) {
            self.say(&format!("refused: {rejected}"));
        }
    }

    fn say(&mut self, text: &str) {
        let _infallible = writeln!(self.trace.text, "{} {text}", self.now.0);
    }

    fn command(&mut self) {
        let turn = turn(draw(&mut self.random, 4));
        let input = match draw(&mut self.random, 10) {
            0 => Input::Cancel {
                turn: (draw(&mut self.random, 2) == 0).then_some(turn),
            },
            1 | 2 => {
                let step = StepId::of(&turn, 1 + draw(&mut self.random, 4));
                Input::Resolve {
                    step: self.doubtful().unwrap_or(step),
                    resolution: self.word(),
                }
            }
            kind => {
                let on_busy = match kind {
                    3 | 4 => OnBusy::Reject,
                    5 | 6 => OnBusy::Queue,
                    7 => OnBusy::Interrupt,
                    _ => OnBusy::Steer,
                };
                Input::StartTurn(Box::new(StartTurn {
                    input: digest(
                        format!("input of {turn}, {}", draw(&mut self.random, 8) / 7).as_bytes(),
                    ),
                    turn,
                    config_digest: self.config_digest,
                    config: self.config.clone(),
                    on_busy,
                }))
            }
        };
        self.say(&format!("command {}", name(&input)));
        self.tell(input);
    }

    fn doubtful(&self) -> Option<StepId> {
        let view = self.machine.view();
        let steps = view.turns.into_iter().flat_map(|turn| turn.steps);
        steps
            .into_iter()
            .find(|step| step.is_in_doubt)
            .map(|step| step.step)
    }

    fn word(&mut self) -> Resolution {
        match draw(&mut self.random, 3) {
            0 => Resolution::Retry,
            1 => Resolution::Result(digest(b"said to have worked")),
            _ => Resolution::Fail(digest(b"said to have failed")),
        }
    }

    /// Performs an effect; the process may die before it, and after it took place outside.
    fn perform(&mut self, effect: Effect) -> Result<Input, Ended> {
        self.may_die()?;
        let input = match effect {
            Effect::OpenWorkspace { turn, at, .. } => {
                if self.hash(&turn.to_string(), "open", 40) == 0 {
                    let error = report(Code::WorkspaceUnavailable, RetryAdvice::AfterFix);
                    Input::WorkspaceFailed { turn, error }
                } else {
                    let state = at.unwrap_or_else(|| digest(b"fresh"));
                    Input::WorkspaceOpened {
                        turn,
                        state,
                        mode: WorkspaceMode::Overlay,
                    }
                }
            }
            Effect::CallModel { step, attempt, .. } => {
                let outcome = self.answer(&step, attempt);
                Input::Model { step, outcome }
            }
            Effect::RunTool {
                step, class, key, ..
            } => {
                let outcome = self.run_tool(&step, class, key);
                Input::Tool { step, outcome }
            }
            Effect::ProbeTool { step, key, .. } => {
                let outcome = self.probe(&step, &key);
                Input::Probe { step, outcome }
            }
            Effect::Abort { turn } => Input::Cancel { turn: Some(turn) },
        };
        self.may_die()?;
        Ok(input)
    }

    /// What the model says: a function of the step alone, so that a repeated call gets the same.
    fn answer(&self, step: &StepId, attempt: u32) -> ModelOutcome {
        let text = step.to_string();
        let failures = self.hash(&text, "failures", 8);
        if failures > 5 && u64::from(attempt) < failures - 5 {
            return ModelOutcome::Failed(match self.hash(&text, "failure", 6) {
                0 => report(Code::BadRequest, RetryAdvice::Never),
                1 | 2 => report(Code::RateLimited, RetryAdvice::After),
                _ => report(Code::ServerError, RetryAdvice::Now),
            });
        }
        let count = self.hash(&text, "calls", 4);
        let calls = (0..count).map(|number| {
            let of = format!("call {number}");
            let name = match self.hash(&text, &of, 9) {
                0 => "unheard_of",
                found => TOOLS[usize::try_from(found).unwrap_or_default() % TOOLS.len()].0,
            };
            let is_twice = number > 0 && self.hash(&text, &of, 11) == 0;
            let id = if is_twice { number - 1 } else { number };
            CallRef {
                id: format!("c{id}"),
                name: name.to_owned(),
            }
        });
        ModelOutcome::Answered {
            message: digest(format!("answer of {text}").as_bytes()),
            calls: calls.collect(),
            usage: Usage {
                input_tokens: 10,
                output_tokens: 2,
            },
        }
    }

    fn run_tool(&mut self, step: &StepId, class: EffectClass, key: String) -> ToolOutcome {
        let text = step.to_string();
        if self.hash(&text, "host", 60) == 0 {
            return ToolOutcome::Failed(report(Code::SandboxFailed, RetryAdvice::AfterFix));
        }
        self.keys.insert(key.clone(), step.clone());
        let applied = self.tracker.entry(key).or_default();
        applied.count += 1;
        applied.is_once = class == EffectClass::Once;
        self.say(&format!("applied {step}"));
        if class != EffectClass::Pure && self.hash(&text, "lost", 6) == 0 {
            return ToolOutcome::Unknown(report(Code::ToolFailed, RetryAdvice::Never));
        }
        let status = match self.hash(&text, "status", 5) {
            0 => ToolStatus::Failed(Code::ToolFailed),
            _ => ToolStatus::Succeeded,
        };
        let result = digest(format!("result of {text}").as_bytes());
        let workspace = (class == EffectClass::Pure)
            .then(|| digest(format!("workspace after {text}").as_bytes()));
        ToolOutcome::Finished {
            status,
            result,
            workspace,
        }
    }

    fn probe(&mut self, step: &StepId, key: &str) -> ProbeOutcome {
        if self.hash(&step.to_string(), "probe", 6) == 0 {
            return ProbeOutcome::Unknown(report(Code::EffectInDoubt, RetryAdvice::AfterFix));
        }
        match self.tracker.get(key) {
            Some(applied) if applied.count > 0 => ProbeOutcome::Applied(digest(b"found outside")),
            _ => ProbeOutcome::Absent,
        }
    }

    /// A number below `most` that depends on the seed and these words alone.
    fn hash(&self, of: &str, what: &str, most: u64) -> u64 {
        let bytes = digest(format!("{}/{of}/{what}", self.seed).as_bytes()).0;
        let [a, b, c, d, ..] = bytes;
        u64::from(u32::from_le_bytes([a, b, c, d])) % most
    }
}

fn session() -> SessionId {
    SessionId::new("sim").unwrap_or_else(|_| SessionId::generate())
}

fn turn(number: u32) -> TurnId {
    TurnId::new(format!("t{number}")).unwrap_or_else(|_| TurnId::generate())
}

fn config(random: &mut ChaCha8Rng) -> TurnConfig {
    let policy = |(name, class, has_probe): (&str, EffectClass, bool)| {
        (name.to_owned(), ToolPolicy { class, has_probe })
    };
    TurnConfig {
        agent: AgentName::new("agent").unwrap_or_else(|error| unreachable!("{error}")),
        steps_max: 3 + draw(random, 4),
        budget: None,
        price: Price::default(),
        retry: RetryPolicy {
            retries_max: 2,
            base_ms: 10,
            cap_ms: 100,
        },
        attempts_max: 1 + draw(random, 4),
        tools: TOOLS.map(policy).into(),
        has_workspace: draw(random, 3) > 0,
        shell: serde_json::Value::Null,
    }
}

fn draw(random: &mut ChaCha8Rng, most: u32) -> u32 {
    random.next_u32() % most
}

fn report(code: Code, advice: RetryAdvice) -> Box<ErrorReport> {
    Box::new(ErrorReport::new(code, "as the seed has it").advise(advice))
}

fn name(input: &Input) -> String {
    match input {
        Input::StartTurn(start) => format!("start {} {:?}", start.turn, start.on_busy),
        Input::Cancel { turn } => format!("cancel {turn:?}"),
        Input::Resolve { step, resolution } => format!("resolve {step} {resolution:?}"),
        _ => "outcome".to_owned(),
    }
}

/// The place of a record, for messages.
pub(super) fn place(seq: Seq) -> String {
    format!("record {}", seq.0)
}
