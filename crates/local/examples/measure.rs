//! Measures a model through its worker process: `measure MODEL [THREADS] [TOKENS]`, built with `--release
//! --features cpu` next to the worker. Prints reading and writing speed as JSON.
#![expect(clippy::print_stdout, reason = "a program for people")]

use mainstay_local::{
    DeviceChoice, GenerateRequest, Limits, LocalConfig, LocalEvent, LocalModel, WorkerCommand,
};
use serde_json::json;
use std::error::Error;
use std::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("name a GGUF file")?;
    let threads = arguments.next().map(|text| text.parse()).transpose()?;
    let tokens = arguments.next().map_or(Ok(128), |text| text.parse())?;
    let worker = std::env::current_exe()?;
    let folder = worker.parent().and_then(|folder| folder.parent());
    let model = LocalModel::start(LocalConfig {
        model: model.into(),
        context_length: None,
        threads,
        device: DeviceChoice::Cpu,
        worker: WorkerCommand {
            exe: folder.ok_or("no folder")?.join("mainstay-model-worker"),
            args: Vec::new(),
            env: Vec::new(),
        },
        limits: Limits::default(),
    });
    let begun = Instant::now();
    let card = model
        .ready()
        .await
        .map_err(|unready| format!("{unready:?}"))?;
    println!(
        "{}",
        json!({ "model": card, "load_ms": begun.elapsed().as_millis() })
    );
    let long = "The quick brown fox jumps over the lazy dog. ".repeat(46);
    for round in 0..3 {
        measure(&model, &format!("{round} {long}"), 1).await?;
    }
    for _ in 0..5 {
        let text = measure(
            &model,
            "Write a long story about a village by the sea.",
            tokens,
        )
        .await?;
        if tokens <= 32 {
            println!("{text}");
        }
    }
    model.shutdown().await;
    Ok(())
}

async fn measure(model: &LocalModel, text: &str, tokens: u32) -> Result<String, Box<dyn Error>> {
    let mut request = GenerateRequest::new(json!([{ "role": "user", "content": text }]));
    request.sampling.temperature = 0.0;
    request.max_tokens = Some(tokens);
    let begun = Instant::now();
    let mut first = None;
    let mut stream = model.generate(request)?;
    let mut answer = String::new();
    while let Some(event) = stream.next().await {
        match event? {
            LocalEvent::Text(piece) => {
                first.get_or_insert_with(|| begun.elapsed());
                answer.push_str(&piece);
            }
            LocalEvent::Finished { usage, .. } => {
                let first = first.unwrap_or_else(|| begun.elapsed());
                let read = usage.input - usage.cached_input;
                let written = usage.output.saturating_sub(1);
                let rest = (begun.elapsed() - first).as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let figures = json!({
                    "usage": usage,
                    "first_token_ms": first.as_millis(),
                    "read_per_second": (read as f64 / first.as_secs_f64()).round(),
                    "written_per_second": if written > 0 { (written as f64 / rest * 10.0).round() / 10.0 } else { 0.0 },
                });
                println!("{figures}");
            }
        }
    }
    Ok(answer)
}
