//! Flows: one request, one answer, whatever becomes of the calls.

use crate::fake::{
    Fake, Step, budget, cut, end, flow, gateway, of_model, piece, said, settings, started, text,
    usd,
};
use mainstay_gateway::{Gateway, Ledger};
use mainstay_inference::{Event, FinishReason, InferenceError, Part, Tokens};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits for a condition.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_that_fails_before_its_first_content_is_never_seen() {
    let counted = Event::Counted(Tokens::default());
    let first = Fake::new(move |_| vec![started(), piece(vec![counted.clone()]), cut()]);
    let second = Fake::saying("from the other");
    let gateway = gateway(&[("m", Arc::clone(&first)), ("n", Arc::clone(&second))]);
    let mut flow = flow(&gateway, "m");
    let start = flow.begin().await.unwrap();
    assert_eq!((&*start.deployment, start.attempts), ("n", 2));
    let mut events = Vec::new();
    while let Some(piece) = flow.next().await.unwrap() {
        events.extend(piece.events);
    }
    let starts = events
        .iter()
        .filter(|event| matches!(event, Event::Started { .. }));
    assert_eq!(starts.count(), 1, "{events:?}");
    assert_eq!((first.calls(), second.calls()), (1, 1));
    let success = flow.success().unwrap();
    // The question that the first may have billed is paid for too.
    assert_eq!((&*success.deployment, success.usd), ("n", usd("0.003")));
}

#[tokio::test]
async fn after_the_first_content_nobody_else_speaks() {
    let first = Fake::new(|_| vec![started(), text("half"), cut()]);
    let second = Fake::saying("from the other");
    let gateway = gateway(&[("m", Arc::clone(&first)), ("n", Arc::clone(&second))]);
    let mut flow = flow(&gateway, "m");
    flow.begin().await.unwrap();
    flow.next().await.unwrap().unwrap();
    flow.next().await.unwrap().unwrap();
    let error = flow.next().await.unwrap_err();
    assert!(
        matches!(error.error, InferenceError::NetworkError { .. }),
        "{error:?}"
    );
    assert_eq!(error.tokens.input, 1000, "what came is paid for: {error:?}");
    assert_eq!((first.calls(), second.calls()), (1, 0));
    assert!(flow.next().await.unwrap().is_none(), "it has ended once");
    let rows = gateway.usage();
    let [row] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!((row.used.answers, row.used.failures), (0, 1));
    assert_eq!(row.used.tokens.output, 1, "four bytes are a token");
}

#[tokio::test]
async fn who_leaves_takes_the_call_along_and_pays_for_what_came() {
    let provider = Fake::new(|_| vec![started(), text("eight by"), Step::Hang]);
    let mut settings = settings(&[("m", Arc::clone(&provider))]);
    settings.gate.budgets.insert(of_model("m"), budget("1"));
    let gateway = Gateway::open(settings, Ledger::in_memory());
    let mut left = flow(&gateway, "m");
    left.begin().await.unwrap();
    assert_eq!(gateway.budgets()[0].reserved, usd("0.002"));
    drop(left);
    assert_eq!(provider.dropped(), 1);
    let budget = &gateway.budgets()[0];
    assert_eq!((budget.spent, budget.reserved), (usd("0.001004"), usd("0")));
    assert_eq!(gateway.deployments()[0].active, 0);
    let row = &gateway.usage()[0];
    assert_eq!((row.used.tokens.input, row.used.tokens.output), (1000, 2));
}

#[tokio::test]
async fn who_leaves_before_any_content_cancels_the_call_too() {
    let provider = Fake::new(|_| vec![started(), Step::Hang]);
    let gateway = gateway(&[("m", Arc::clone(&provider))]);
    let mut left = Box::pin(async {
        let mut flow = flow(&gateway, "m");
        flow.begin().await.map(drop)
    });
    let waiting = tokio::time::timeout(Duration::from_millis(20), &mut left);
    assert!(waiting.await.is_err(), "nothing came");
    drop(left);
    until("the call is dropped", || provider.dropped() == 1).await;
    assert_eq!(gateway.deployments()[0].active, 0);
}

#[tokio::test]
async fn a_provider_that_panics_has_failed_and_nothing_else_has() {
    let first = Fake::new(|number| match number {
        0 => vec![Step::Panic],
        1 => vec![started(), text("half"), Step::Panic],
        _ => said("well"),
    });
    let gateway = gateway(&[("m", Arc::clone(&first))]);
    let error = flow(&gateway, "m").begin().await.unwrap_err();
    assert!(
        matches!(error.error, InferenceError::Internal { .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("as it was told"), "{error}");
    let error = flow(&gateway, "m").answer().await.unwrap_err();
    assert!(
        matches!(error.error, InferenceError::Internal { .. }),
        "{error:?}"
    );
    let (answer, _) = flow(&gateway, "m").answer().await.unwrap();
    assert_eq!(answer.parts, [Part::text("well")]);
    assert_eq!(gateway.deployments()[0].active, 0);
}

#[tokio::test]
async fn an_answer_without_any_content_is_an_answer() {
    let provider = Fake::new(|_| vec![started(), end(FinishReason::Stop)]);
    let gateway = gateway(&[("m", provider)]);
    let mut flow = flow(&gateway, "m");
    let (answer, success) = flow.answer().await.unwrap();
    assert_eq!(answer.parts, [Part::text("")]);
    assert_eq!((success.usd, success.attempts), (usd("0.002"), 1));
}

#[tokio::test]
async fn many_at_once_never_overrun_a_budget() {
    let provider = Fake::saying("hi");
    let mut settings = settings(&[("m", Arc::clone(&provider))]);
    settings.gate.budgets.insert(of_model("m"), budget("0.02"));
    let gateway = Gateway::open(settings, Ledger::in_memory());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let gateway = gateway.clone();
        asking.spawn(async move { flow(&gateway, "m").answer().await.map(drop) });
    }
    let ended = asking.join_all().await;
    let well = ended.iter().filter(|ended| ended.is_ok()).count();
    assert_eq!((well, provider.calls()), (10, 10));
    assert_eq!(gateway.budgets()[0].spent, usd("0.02"));
    for error in ended.into_iter().filter_map(Result::err) {
        assert!(
            matches!(error.error, InferenceError::BudgetExceeded { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_only_filtered_fails_where_another_model_is_to_answer_then() {
    let news = |answered: &'static str| {
        let silent = Fake::new(|_| vec![started(), end(FinishReason::ContentFilter)]);
        let second = Fake::saying(answered);
        settings(&[("m", silent), ("n", second)])
    };
    // Without such a fallback it is what the caller is told.
    let gateway = Gateway::open(news("never said"), Ledger::in_memory());
    let (answer, _) = flow(&gateway, "m").answer().await.unwrap();
    assert_eq!(answer.reason, FinishReason::ContentFilter);
    let mut settings = news("said instead");
    for model in settings.gate.models.values_mut() {
        for fallback in &mut model.fallback {
            fallback
                .on
                .push(mainstay_inference::FailureClass::ContentFiltered);
        }
    }
    let gateway = Gateway::open(settings, Ledger::in_memory());
    let (answer, success) = flow(&gateway, "m").answer().await.unwrap();
    assert_eq!(answer.parts, [Part::text("said instead")]);
    assert_eq!(&*success.deployment, "n");
}

#[test]
fn while_somebody_waits_the_timer_lets_others_run() {
    let (told, heard) = std::sync::mpsc::channel();
    // One thread for all: whoever never rests would hold up everybody.
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let provider = Fake::new(|_| vec![started(), text("one"), Step::Hang]);
            let mut settings = settings(&[("m", Arc::clone(&provider))]);
            let deployment = settings.gate.deployments.get_mut("m").unwrap();
            (deployment.limits.concurrency, deployment.limits.queue) = (Some(1), 1);
            let gateway = Gateway::open(settings, Ledger::in_memory());
            let mut first = flow(&gateway, "m");
            first.begin().await.unwrap();
            let mut second = flow(&gateway, "m");
            let waiting = tokio::spawn(async move { second.begin().await.map(drop) });
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(gateway.deployments()[0].queued, 1);
            drop(first);
            waiting.await.unwrap().unwrap();
        });
        told.send(()).unwrap();
    });
    let over = heard.recv_timeout(Duration::from_secs(20));
    over.expect("the others run too");
}
