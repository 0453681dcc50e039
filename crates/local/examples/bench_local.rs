//! How fast a local model writes, beside llama.cpp on the same file with the same two threads, in turns. The
//! last line is the ratio of the medians, for `cargo xtask bench inference`.
//!
//! The model and llama.cpp's Python binding are below `target/tools`; without one nothing is measured.
#![expect(clippy::print_stdout, reason = "a program for people")]

use mainstay_local::{
    DeviceChoice, GenerateRequest, Limits, LocalConfig, LocalEvent, LocalModel, MODEL_WORKER,
    WorkerCommand,
};
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const ROUNDS: usize = 5;
const TOKENS: u32 = 128;
const THREADS: u32 = 2;
const QUESTION: &str = "Write a long story about a village by the sea.";

/// Prints how many tokens a second llama.cpp writes; its first answer warms it up.
const PEER: &str = "
import sys, time
from llama_cpp import Llama
llm = Llama(sys.argv[1], n_ctx=2048, n_threads=2, n_threads_batch=2, verbose=False)
ask = [{'role': 'user', 'content': sys.argv[2]}]
for wanted in (16, int(sys.argv[3])):
    llm.reset()
    first, count = None, 0
    for piece in llm.create_chat_completion(ask, temperature=0, max_tokens=wanted, stream=True):
        if piece['choices'][0]['delta'].get('content'):
            first = first or time.perf_counter()
            last, count = time.perf_counter(), count + 1
print((count - 1) / (last - first))
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let exe = std::env::current_exe()?;
    let release = exe.parent().and_then(Path::parent).ok_or("no folder")?;
    let tools = release.parent().ok_or("no folder")?.join("tools");
    let model = tools.join("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    let python = tools.join("llama-cpp/bin/python");
    for needed in [&model, &python] {
        if !needed.is_file() {
            println!(
                "{}",
                json!({ "skipped": format!("{} is not there", needed.display()) })
            );
            return Ok(());
        }
    }
    let ours = start(&model, release.join("mainstay"));
    ours.ready()
        .await
        .map_err(|unready| format!("{unready:?}"))?;
    written(&ours, 16).await?;
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.push(written(&ours, TOKENS).await?);
        theirs.push(peer(&python, &model)?);
    }
    ours.shutdown().await;
    println!("ours {mine:.0?}, llama.cpp {theirs:.0?} tokens a second");
    println!(
        "{}",
        json!({ "value": median(&mut mine) / median(&mut theirs) })
    );
    Ok(())
}

fn start(model: &Path, exe: PathBuf) -> LocalModel {
    LocalModel::start(LocalConfig {
        model: model.to_owned(),
        context_length: Some(2048),
        threads: Some(THREADS),
        device: DeviceChoice::Cpu,
        worker: WorkerCommand {
            exe,
            args: vec![MODEL_WORKER.into()],
            env: Vec::new(),
        },
        limits: Limits::default(),
    })
}

/// Tokens a second after the first.
async fn written(model: &LocalModel, tokens: u32) -> Result<f64, Box<dyn Error>> {
    let mut request = GenerateRequest::new(json!([{ "role": "user", "content": QUESTION }]));
    request.sampling.temperature = 0.0;
    request.max_tokens = Some(tokens);
    let mut stream = model.generate(request)?;
    let mut first = None;
    while let Some(event) = stream.next().await {
        match event? {
            LocalEvent::Text(_) => _ = first.get_or_insert_with(Instant::now),
            LocalEvent::Finished { usage, .. } => {
                let first: Instant = first.ok_or("nothing was written")?;
                let written = f64::from(u32::try_from(usage.output)?) - 1.0;
                return Ok(written / first.elapsed().as_secs_f64());
            }
        }
    }
    Err("the answer has no end".into())
}

fn peer(python: &Path, model: &Path) -> Result<f64, Box<dyn Error>> {
    let tokens = TOKENS.to_string();
    let said = Command::new(python)
        .env_clear()
        .args(["-c", PEER])
        .arg(model)
        .args([QUESTION, &tokens])
        .output()?;
    let said = String::from_utf8(said.stdout)?;
    Ok(said
        .lines()
        .last()
        .ok_or("llama.cpp said nothing")?
        .parse()?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
