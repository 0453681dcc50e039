//! A recording is a script that answers the same.

use mainstay_contract::{Coded, Message, Role, ToolCall, Usage};
use mainstay_inference::{
    Answer, Answering, BoxFuture, Dialect, EmbeddingRequest, Embeddings, FinishReason, Part, Piece,
    Provider, ProviderCall, Tokens, ToolCall as NeutralCall,
};
use mainstay_providers::{
    Direct, Form, InferenceError, ModelAnswer, ModelProvider, ModelRequest, NetworkPhase, Origin,
    ProviderSettings, Recorder, ResponseProblem, Script, TimeoutPhase, open,
};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Outcome = Result<ModelAnswer, InferenceError>;

/// Gives prepared outcomes in order.
struct Prepared(Mutex<VecDeque<Outcome>>);

impl Prepared {
    fn new(outcomes: impl Into<VecDeque<Outcome>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(outcomes.into())))
    }
}

impl Provider for Prepared {
    fn dialect(&self, _: Option<Dialect>) -> Option<Dialect> {
        None
    }

    fn call(
        self: Arc<Self>,
        _: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        let outcome = self.0.lock().unwrap().pop_front().unwrap();
        let answering = outcome.map(|answer| {
            let events = neutral(answer).events();
            let piece = Piece {
                events,
                ..Piece::default()
            };
            Box::new(Given(Some(piece))) as Box<dyn Answering>
        });
        Box::pin(std::future::ready(answering))
    }

    fn embed(
        self: Arc<Self>,
        _: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        unreachable!("nobody asks for vectors")
    }
}

/// An answer that comes in one piece.
struct Given(Option<Piece>);

impl Answering for Given {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>> {
        Box::pin(std::future::ready(Ok(self.0.take())))
    }
}

fn neutral(answer: ModelAnswer) -> Answer {
    let calls = answer.tool_calls.into_iter().map(|call| {
        Part::ToolCall(NeutralCall {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
            signature: None,
        })
    });
    Answer {
        id: "1".to_owned(),
        model: "prepared".to_owned(),
        parts: std::iter::once(Part::text(answer.text))
            .chain(calls)
            .collect(),
        reason: FinishReason::Stop,
        stop: None,
        tokens: Some(Tokens {
            input: answer.usage.input_tokens,
            output: answer.usage.output_tokens,
            ..Tokens::default()
        }),
    }
}

/// Drives a conversation: an answer is added to it, a failure is tried again.
async fn drive(provider: Arc<dyn Provider>, calls: usize) -> Vec<Outcome> {
    let model = Direct::new(provider, "m");
    let mut request = ModelRequest::default();
    let mut outcomes = Vec::new();
    for _ in 0..calls {
        let outcome = model.call(&request, &mut |_| {}).await;
        match &outcome {
            Ok(answer) => {
                request
                    .messages
                    .push(Message::text(Role::Assistant, answer.text.clone()));
                request.attempt = 0;
            }
            Err(_) => request.attempt += 1,
        }
        outcomes.push(outcome);
    }
    outcomes
}

fn comparable(outcome: &Outcome) -> Result<ModelAnswer, serde_json::Value> {
    outcome.clone().map_err(|error| {
        let mut data = error.report().data;
        for own in ["provider", "model", "answering"] {
            data.as_object_mut().unwrap().remove(own);
        }
        data
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let call = (".{0,8}", "[a-z]{1,8}", "\\PC{0,20}").prop_map(|(id, name, arguments)| ToolCall {
        id,
        name,
        arguments,
    });
    let usage = any::<(u64, u64)>().prop_map(|(input_tokens, output_tokens)| Usage {
        input_tokens,
        output_tokens,
    });
    let answer = (
        any::<String>(),
        proptest::collection::vec(call, 0..3),
        usage,
    )
        .prop_map(|(text, tool_calls, usage)| {
            Ok(ModelAnswer {
                text,
                tool_calls,
                usage,
            })
        });
    let fault = (
        0..14usize,
        any::<String>(),
        proptest::option::of(0..100_000u64),
    )
        .prop_map(|(kind, message, ms)| {
            let (origin, retry_after) = (Origin::default(), ms.map(Duration::from_millis));
            Err(match kind {
                0 => InferenceError::RateLimited {
                    origin,
                    retry_after,
                    message,
                },
                1 => InferenceError::Backpressure {
                    origin,
                    retry_after,
                    message,
                },
                2 => InferenceError::QuotaExhausted { origin, message },
                3 => InferenceError::ContentFiltered {
                    origin,
                    reason: String::new(),
                    message,
                },
                4 => InferenceError::ContextLengthExceeded {
                    origin,
                    tokens: ms,
                    max_tokens: ms.map(|ms| ms / 2),
                    message,
                },
                5 => InferenceError::BadRequest {
                    origin,
                    status: 422,
                    param: ms.map(|ms| format!("messages[{ms}]")),
                    message,
                },
                6 => InferenceError::ModelNotFound { origin, message },
                7 => InferenceError::Unauthorized { origin, message },
                8 => InferenceError::Forbidden { origin, message },
                9 => InferenceError::NetworkError {
                    origin,
                    phase: NetworkPhase::Stream,
                    message,
                },
                10 => InferenceError::ServerError {
                    origin,
                    status: 409,
                    retry_after,
                    message,
                },
                11 => InferenceError::Timeout {
                    origin,
                    phase: TimeoutPhase::Total,
                    after: retry_after.unwrap_or_default(),
                    elapsed: retry_after.unwrap_or_default(),
                },
                12 => InferenceError::Misdirected {
                    origin,
                    status: 302,
                    message,
                },
                _ => InferenceError::BadResponse {
                    origin,
                    problem: ResponseProblem::CutStream,
                    message,
                },
            })
        });
    prop_oneof![3 => answer, 1 => fault]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_recording_replays_equal(outcomes in proptest::collection::vec(outcome(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let calls = outcomes.len();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recorded.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let recorder = Recorder::new(Prepared::new(outcomes), file, Form::JsonLines);
        let live = runtime.block_on(drive(Arc::new(recorder), calls));
        let steps = Script::parse("recorded.jsonl", &std::fs::read(&path).unwrap()).unwrap();
        let script = open(ProviderSettings::Script { steps }).unwrap();
        let played = runtime.block_on(drive(script, calls));
        let compare = |outcomes: &[Outcome]| outcomes.iter().map(comparable).collect::<Vec<_>>();
        prop_assert_eq!(compare(&played), compare(&live));
    }
}

#[tokio::test]
async fn failures_of_our_own_are_no_part_of_a_recording() {
    let origin = Origin::default;
    let ours = [
        InferenceError::KeyUnavailable {
            origin: origin(),
            message: "the file is gone".to_owned(),
        },
        InferenceError::Unsupported {
            origin: origin(),
            param: "n".to_owned(),
            message: String::new(),
        },
    ];
    let answer = ModelAnswer {
        text: "hi".into(),
        ..ModelAnswer::default()
    };
    let outcomes: Vec<Outcome> = ours.map(Err).into_iter().chain([Ok(answer)]).collect();
    let tape = tempfile::NamedTempFile::new().unwrap();
    let file = tape.reopen().unwrap();
    let recorder = Recorder::new(Prepared::new(outcomes), file, Form::JsonLines);
    drive(Arc::new(recorder), 3).await;
    let recorded = std::fs::read(tape.path()).unwrap();
    let script = Script::parse("r.jsonl", &recorded).expect("the recording is a script");
    assert_eq!(script.answers(), 1);
    assert!(!String::from_utf8(recorded).unwrap().contains("fault"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_is_not_given_out() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let answer = Ok(ModelAnswer {
        text: "hi".into(),
        ..ModelAnswer::default()
    });
    let recorder = Recorder::new(Prepared::new([answer]), full, Form::JsonLines);
    let error = drive(Arc::new(recorder), 1).await.remove(0).unwrap_err();
    assert_eq!(error.code().as_str(), "store.disk_full");
    assert_eq!(error.effect(), mainstay_contract::EffectState::Applied);
}
