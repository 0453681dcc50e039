//! Models for turns: through the gateway, so that limits, budgets and breakers count for agents as for
//! everybody else. The session repeats what failed, because it writes down that it does.

use mainstay_contract::{Coded, ErrorReport, Usd};
use mainstay_gateway::{Flow, FlowError, Gateway, request_id_and_random};
use mainstay_inference::{
    Ask, Assembly, Event, InferenceError, Origin, ProviderCall, ResponseProblem, Spender,
    estimate_tokens,
};
use mainstay_providers::{ModelAnswer, ModelRequest, turn_answer, turn_request};
use mainstay_resilience::Priority;
use std::sync::Arc;

/// A turn's question.
pub(crate) struct Asked<'a> {
    pub(crate) model: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) session: &'a str,
    /// The most that the session may spend.
    pub(crate) session_budget: Option<Usd>,
    pub(crate) request: &'a ModelRequest,
}

/// Asks a model that the gateway serves.
pub(crate) async fn ask_model(
    gateway: &Gateway,
    asked: &Asked<'_>,
    on_text: &mut (dyn FnMut(&str) + Send),
) -> Result<ModelAnswer, Box<ErrorReport>> {
    let (request_id, random) = request_id_and_random();
    let request = Arc::new(turn_request(asked.model, asked.request));
    let ask = Ask {
        model: Arc::from(asked.model),
        spender: Spender {
            key: None,
            agent: Some(Arc::from(asked.agent)),
            sessions: vec![Arc::from(asked.session)],
        },
        session_budget: asked.session_budget,
        input_tokens: estimate_tokens(&request, mainstay_inference::Dialect::OpenAiChat),
        output_tokens_max: None,
        has_audio: false,
        priority: Priority::Normal,
        deadline: None,
        patience: None,
        is_retried: false,
        random,
    };
    let call = ProviderCall {
        request,
        relay: None,
        attempt: asked.request.attempt,
        hops: 0,
    };
    let mut flow = Flow::new(gateway, ask, call);
    flow.named(&request_id, None);
    let origin = Origin {
        model: asked.model.to_owned(),
        ..Origin::default()
    };
    flow.begin().await.map_err(|error| report(&error))?;
    let mut assembly = Assembly::default();
    let bad = |error: mainstay_inference::AssemblyError| {
        let problem = ResponseProblem::Malformed;
        let (origin, message) = (origin.clone(), error.to_string());
        Box::new(
            InferenceError::BadResponse {
                origin,
                problem,
                message,
            }
            .report(),
        )
    };
    while let Some(piece) = flow.next().await.map_err(|error| report(&error))? {
        for event in piece.events {
            if let Event::Delta { text, part } = &event
                && assembly.is_text(*part)
            {
                on_text(text);
            }
            assembly.add(event).map_err(bad)?;
        }
    }
    let answer = assembly.finish().map_err(bad)?;
    let answered = turn_answer(answer, asked.request.answers_before(), &origin);
    answered.map_err(|error| Box::new(error.report()))
}

fn report(error: &FlowError) -> Box<ErrorReport> {
    let report = error.error.report().effect(error.effect());
    let causes = error.earlier.iter().rev();
    Box::new(causes.fold(report, |report, (deployment, earlier)| {
        report.cause(Some(earlier.code()), format!("{deployment}: {earlier}"))
    }))
}
