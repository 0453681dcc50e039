//! The guard for NVIDIA devices against a driver's library of our own, which fails as it is told. What is
//! exercised is the real path: loading the library, its calls, and their codes.

use crate::harness::{answer, ask, config, exists, skipped, until, within};
use mainstay_local::{
    DeviceChoice, LocalConfig, LocalError, LocalEvent, LocalModel, Loss, Unready,
};
use std::process::Command;

/// A model on the device of the stub.
fn stub(code: u32, after: u32) -> Option<(LocalConfig, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stub/libcuda.c");
    let library = folder.path().join("libcuda.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    let Ok(compiled) = compiler.arg(library).arg(source).status() else {
        return skipped("there is no C compiler");
    };
    assert!(compiled.success());
    let mut config = config("cuda:0");
    config.worker.env = vec![
        ("LD_LIBRARY_PATH".into(), folder.path().into()),
        ("STUB_CODE".into(), code.to_string().into()),
        ("STUB_AFTER".into(), after.to_string().into()),
    ];
    Some((config, folder))
}

#[tokio::test]
async fn a_device_that_works_is_used() {
    let Some((config, _folder)) = stub(0, 0) else {
        return;
    };
    let model = LocalModel::start(config);
    let card = within(model.ready()).await.unwrap();
    assert_eq!(card.device, "cuda:0 (Stub)");
    let (text, _) = within(answer(&model, ask("count 100"))).await.unwrap();
    assert!(text.ends_with("100 "));
    assert_eq!(model.status().started, 1);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_poisoned_context_costs_the_process() {
    let Some((config, _folder)) = stub(700, 20) else {
        return;
    };
    let model = LocalModel::start(config);
    within(model.ready()).await.unwrap();
    let pid = model.status().pid.unwrap();
    let mut stream = model.generate(ask("count 1000")).unwrap();
    let mut told = 0;
    let error = loop {
        match within(stream.next()).await.unwrap() {
            Ok(LocalEvent::Text(_)) => told += 1,
            Ok(finished) => panic!("{finished:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(told, 20);
    assert_eq!(
        error,
        LocalError::CudaContextPoisoned {
            device: "cuda:0".to_owned(),
            code: 700,
            name: "CUDA_ERROR_ILLEGAL_ADDRESS".to_owned(),
            content_sent: true,
        }
    );
    let is_new = |status: &mainstay_local::Status| {
        status.readiness.is_ok() && status.pid.is_some_and(|new| new != pid)
    };
    until(&model, "ready in a new process", is_new).await;
    assert!(!exists(pid));
    within(answer(&model, ask("it works again"))).await.unwrap();
    within(model.shutdown()).await;
}

#[tokio::test]
async fn running_out_of_memory_costs_one_request() {
    let Some((config, _folder)) = stub(2, 5) else {
        return;
    };
    let model = LocalModel::start(config);
    let error = within(answer(&model, ask("count 50"))).await.unwrap_err();
    assert!(
        matches!(error, LocalError::DeviceFailed { code: 2, .. }),
        "{error:?}"
    );
    within(answer(&model, ask("count 50"))).await.unwrap();
    assert_eq!(model.status().started, 1);
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_device_that_is_poisoned_again_and_again_ends_in_quarantine() {
    let Some((config, _folder)) = stub(719, 0) else {
        return;
    };
    let model = LocalModel::start(config);
    for _ in 0..3 {
        let error = within(answer(&model, ask("anyone"))).await.unwrap_err();
        assert!(
            matches!(
                error,
                LocalError::CudaContextPoisoned {
                    code: 719,
                    content_sent: false,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let _last = within(answer(&model, ask("anyone"))).await.unwrap_err();
    let unready = within(model.ready()).await.unwrap_err();
    assert!(
        matches!(
            &unready,
            Unready::Quarantined {
                loss: Loss::Poisoned { code: 719, .. },
                ..
            }
        ),
        "{unready:?}"
    );
    within(model.shutdown()).await;
}

#[tokio::test]
async fn a_device_that_is_not_there_is_refused_and_not_replaced_by_another() {
    let Some((mut other, _folder)) = stub(0, 0) else {
        return;
    };
    other.device = DeviceChoice::Cuda(7);
    let mut none = config("cuda:0");
    none.worker.env = vec![("LD_LIBRARY_PATH".into(), "/nowhere".into())];
    // Where the host has a driver of its own, the second case cannot be shown.
    let has_driver = std::path::Path::new("/proc/driver/nvidia").exists();
    let cases = [
        (other, "CUDA_ERROR_INVALID_DEVICE"),
        (none, "was not found"),
    ];
    for (mut config, words) in cases.into_iter().take(if has_driver { 1 } else { 2 }) {
        config.limits.restart.restarts_max = 0;
        let model = LocalModel::start(config);
        let unready = within(model.ready()).await.unwrap_err();
        assert!(
            matches!(&unready, Unready::Quarantined { loss: Loss::NotLoaded { message }, .. }
                if message.contains(words)),
            "{unready:?}"
        );
        within(model.shutdown()).await;
    }
}

#[tokio::test]
async fn a_model_that_the_engine_cannot_run_there_is_not_run_elsewhere() {
    let Some((mut config, _folder)) = stub(0, 0) else {
        return;
    };
    config.model = "model.gguf".into();
    config.limits.restart.restarts_max = 0;
    let model = LocalModel::start(config);
    let unready = within(model.ready()).await.unwrap_err();
    assert!(
        matches!(&unready, Unready::Quarantined { loss: Loss::NotLoaded { message }, .. }
            if message.contains("cuda:0 was asked for")),
        "{unready:?}"
    );
    within(model.shutdown()).await;
}
