//! What becomes of requests and processes when things go wrong.

use crate::harness::{PATIENCE, answer, ask, config, exists, signal, until, within};
use mainstay_local::{FinishReason, LocalError, LocalEvent, LocalModel, Loss, Unready};
use rustix::process::Signal;

/// Asks for a long answer and waits for its first piece.
async fn begin(model: &LocalModel) -> mainstay_local::Generation {
    let mut stream = model.generate(ask("count 1000000")).unwrap();
    let first = within(stream.next()).await.unwrap().unwrap();
    assert_eq!(first, LocalEvent::Text("1 ".to_owned()));
    stream
}

async fn failure(mut stream: mainstay_local::Generation) -> LocalError {
    let mut ends = Vec::new();
    while let Some(event) = within(stream.next()).await {
        if !matches!(event, Ok(LocalEvent::Text(_))) {
            ends.push(event);
        }
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends.remove(0).unwrap_err()
}

#[tokio::test]
async fn a_request_is_answered_and_a_shutdown_leaves_nothing() {
    let model = LocalModel::start(config("fake:"));
    let (text, end) = within(answer(&model, ask("say it again"))).await.unwrap();
    assert_eq!(text, "say it again ");
    let LocalEvent::Finished { reason, usage } = end else {
        panic!("{end:?}");
    };
    assert_eq!(
        (reason, usage.input, usage.output),
        (FinishReason::Stop, 3, 3)
    );
    let embedded = within(model.embed(vec!["a".to_owned(), "b".to_owned()])).await;
    assert_eq!(embedded.unwrap().vectors.len(), 2);
    let card = within(model.ready()).await.unwrap();
    assert_eq!(
        (card.model.as_str(), card.device.as_str()),
        ("echo", "fake")
    );
    let pid = model.status().pid.unwrap();
    assert!(exists(pid));
    within(model.shutdown()).await;
    assert!(!exists(pid));
    let error = within(answer(&model, ask("too late"))).await.unwrap_err();
    assert_eq!(error, LocalError::ShuttingDown);
}

#[tokio::test]
async fn a_poisoned_context_costs_the_process_and_what_ran_in_it() {
    let model = LocalModel::start(config("fake:700@20"));
    within(model.ready()).await.unwrap();
    let pid = model.status().pid.unwrap();
    let error = failure(begin(&model).await).await;
    let LocalError::CudaContextPoisoned {
        device,
        code,
        name,
        content_sent,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (device.as_str(), code, content_sent),
        ("fake:700@20", 700, true)
    );
    assert_eq!(name, "CUDA_ERROR_ILLEGAL_ADDRESS");
    let status = until(&model, "ready again", |s| {
        s.readiness.is_ok() && s.pid != Some(pid)
    })
    .await;
    assert_eq!(status.started, 2);
    assert!(!exists(pid));
    let (text, _) = within(answer(&model, ask("still there"))).await.unwrap();
    assert_eq!(text, "still there ");
    within(model.shutdown()).await;
}

#[tokio::test]
async fn readiness_goes_and_comes_back() {
    let model = LocalModel::start(config("fake:716@5"));
    let mut watch = model.watch();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let ready = watch.borrow_and_update().readiness.is_ok();
            if seen.last() != Some(&ready) {
                seen.push(ready);
            }
            if seen == [false, true, false, true] {
                return seen;
            }
            watch.changed().await.unwrap();
        }
    });
    failure(begin(&model).await).await;
    within(seen).await.unwrap();
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_fault_that_does_not_stick_costs_one_request() {
    let model = LocalModel::start(config("fake:2@10"));
    within(model.ready()).await.unwrap();
    let pid = model.status().pid;
    let error = failure(begin(&model).await).await;
    assert!(
        matches!(error, LocalError::DeviceFailed { code: 2, .. }),
        "{error}"
    );
    let (text, _) = within(answer(&model, ask("count 50"))).await.unwrap();
    assert!(text.ends_with("50 "));
    assert_eq!((model.status().pid, model.status().started), (pid, 1));
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_worker_that_cannot_end_a_request_is_replaced_and_only_that_is_refused() {
    let mut config = config("fake:");
    config.limits.heartbeat.deadline = 10 * PATIENCE;
    config.limits.restart.restarts_max = 0;
    let model = LocalModel::start(config);
    for round in 1..=3 {
        let hanging = model.generate(ask("hang")).unwrap();
        let waiting = model.generate(ask("count 3")).unwrap();
        let error = failure(hanging).await;
        assert!(matches!(error, LocalError::BadRequest { .. }), "{error}");
        let mut waiting = Box::pin(waiting);
        let first = within(waiting.next()).await.unwrap().unwrap();
        assert_eq!(first, LocalEvent::Text("1 ".to_owned()));
        assert_eq!(model.status().started, round + 1);
    }
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_what_waited_is_answered() {
    let model = LocalModel::start(config("fake:slow=1"));
    let running = begin(&model).await;
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let model = model.clone();
            tokio::spawn(async move { answer(&model, ask(&format!("number {n}"))).await })
        })
        .collect();
    until(&model, "full", |status| status.in_flight == 5).await;
    let pid = model.status().pid.unwrap();
    signal(pid, Signal::KILL);
    let error = failure(running).await;
    let signal = Some(9);
    assert!(
        matches!(&error, LocalError::WorkerLost { loss, content_sent: true, .. }
            if *loss == Loss::Exited { code: None, signal }),
        "{error:?}"
    );
    for (n, waiting) in waiting.into_iter().enumerate() {
        let (text, _) = within(waiting).await.unwrap().unwrap();
        assert_eq!(text, format!("number {n} "));
    }
    assert_ne!(model.status().pid, Some(pid));
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_stopped_worker_is_silent_and_replaced() {
    let model = LocalModel::start(config("fake:slow=1"));
    let running = begin(&model).await;
    let pid = model.status().pid.unwrap();
    signal(pid, Signal::STOP);
    let error = failure(running).await;
    assert!(
        matches!(
            &error,
            LocalError::WorkerLost {
                loss: Loss::Silent { .. },
                ..
            }
        ),
        "{error:?}"
    );
    until(&model, "ready again", |s| {
        s.readiness.is_ok() && s.pid != Some(pid)
    })
    .await;
    assert!(!exists(pid));
    within(answer(&model, ask("again"))).await.unwrap();
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_hanging_device_is_silent_too() {
    let model = LocalModel::start(config("fake:hang@5"));
    let error = failure(begin(&model).await).await;
    assert!(
        matches!(
            &error,
            LocalError::WorkerLost {
                loss: Loss::Silent { .. },
                ..
            }
        ),
        "{error:?}"
    );
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_worker_that_dies_by_itself_is_replaced() {
    for (faults, code, number) in [
        ("fake:kill@5", None, Some(9)),
        ("fake:exit@5", Some(3), None),
    ] {
        let model = LocalModel::start(config(faults));
        let error = failure(begin(&model).await).await;
        let expected = Loss::Exited {
            code,
            signal: number,
        };
        assert!(
            matches!(&error, LocalError::WorkerLost { loss, .. } if *loss == expected),
            "{error:?}"
        );
        within(answer(&model, ask("again"))).await.unwrap();
        within(model.shutdown()).await;
    }
}

#[tokio::test]
async fn a_crash_loop_ends_in_quarantine_and_a_reset_tries_again() {
    let model = LocalModel::start(config("fake:exit@0"));
    let waiting = model.generate(ask("anyone")).unwrap();
    let error = failure(waiting).await;
    assert!(matches!(error, LocalError::Quarantined { .. }), "{error:?}");
    let unready = within(model.ready()).await.unwrap_err();
    assert!(
        matches!(unready, Unready::Quarantined { .. }),
        "{unready:?}"
    );
    assert_eq!(model.status().started, 4);
    let error = within(answer(&model, ask("still"))).await.unwrap_err();
    assert!(matches!(error, LocalError::Quarantined { .. }), "{error:?}");
    model.reset();
    until(&model, "tried again", |status| status.started > 4).await;
    within(model.shutdown()).await;
}

#[tokio::test]
async fn what_cannot_run_here_says_why() {
    let mut missing = config("cpu");
    missing.model = "/nowhere/model.gguf".into();
    let mut program = config("fake:");
    program.worker.exe = "/nowhere/program".into();
    for config in [missing, program] {
        let model = LocalModel::start(config);
        let unready = within(model.ready()).await.unwrap_err();
        let Unready::Quarantined { loss, .. } = unready else {
            panic!("{unready:?}");
        };
        assert!(
            matches!(loss, Loss::NotLoaded { .. } | Loss::NotStarted { .. }),
            "{loss:?}"
        );
        within(model.shutdown()).await;
    }
}

#[tokio::test]
async fn who_leaves_stops_the_work() {
    let model = LocalModel::start(config("fake:slow=1"));
    let running = begin(&model).await;
    let waiting = model.generate(ask("count 1000000")).unwrap();
    until(&model, "busy", |status| status.in_flight == 2).await;
    drop(running);
    drop(waiting);
    until(&model, "idle", |status| status.in_flight == 0).await;
    within(answer(&model, ask("next"))).await.unwrap();
    assert_eq!(model.status().started, 1);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn the_last_handle_takes_the_worker_along() {
    let model = LocalModel::start(config("fake:"));
    within(model.ready()).await.unwrap();
    let mut watch = model.watch();
    let pid = model.status().pid.unwrap();
    drop(model);
    let stopped = |status: &mainstay_local::Status| status.readiness == Err(Unready::Stopped);
    within(watch.wait_for(stopped)).await.unwrap();
    assert!(!exists(pid));
}

#[tokio::test]
async fn too_long_a_conversation_is_refused_with_both_numbers() {
    let mut config = config("fake:");
    config.context_length = Some(3);
    let model = LocalModel::start(config);
    let error = within(answer(&model, ask("one two three four")))
        .await
        .unwrap_err();
    let (tokens, limit) = (4, 3);
    assert_eq!(error, LocalError::ContextLengthExceeded { tokens, limit });
    within(model.shutdown()).await;
}

#[test]
fn a_worker_ends_with_the_node() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_mainstay-model-worker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let load =
        r#"{"load":{"model":"echo:","device":"fake:","context_length":null,"threads":null}}"#;
    writeln!(input, "{load}").unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn even_a_stopped_worker_ends_with_the_node() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Command, Stdio};
    // A shell stands for the node: it starts the worker, tells its number, and waits.
    let script = r#"exec 3<&0; "$0" <&3 & echo "$!"; wait"#;
    let mut node = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_mainstay-model-worker")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = node.stdin.take().unwrap();
    let load =
        r#"{"load":{"model":"echo:","device":"fake:","context_length":null,"threads":null}}"#;
    writeln!(input, "{load}").unwrap();
    let mut output = BufReader::new(node.stdout.take().unwrap());
    let (mut pid, mut ready) = (String::new(), String::new());
    output.read_line(&mut pid).unwrap();
    output.read_line(&mut ready).unwrap();
    assert!(ready.contains("ready"), "{ready}");
    signal(pid.trim().parse().unwrap(), Signal::STOP);
    node.kill().unwrap();
    node.wait().unwrap();
    // Its input is still open and it cannot run; only the system can end it, which ends its output.
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(output.read_to_end(&mut Vec::new()).is_ok()));
    assert!(ended.recv_timeout(PATIENCE).unwrap());
    drop(input);
}
