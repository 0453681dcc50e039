//! The node's side of a worker: started, heard and asked to stop.

use super::run::Run;
use super::worker::{Order, TASK_WORKER};
use bytes::Bytes;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedReceiver;

/// Works on a run from its beginning to its end.
pub(super) async fn work(run: &Run, exe: &Path, order: &Order, asked: &mut UnboundedReceiver<()>) {
    match follow(run, exe, order, asked).await {
        Ok(status) => run.end(&told(status)),
        Err(error) => run.end(&format!("could not be followed ({error})")),
    }
}

async fn follow(
    run: &Run,
    exe: &Path,
    order: &Order,
    asked: &mut UnboundedReceiver<()>,
) -> io::Result<ExitStatus> {
    let mut child = start(exe)?;
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut words = child.stdin.take().ok_or_else(gone)?;
    let mut lines = BufReader::new(child.stdout.take().ok_or_else(gone)?);
    let mut order = serde_json::to_vec(order)?;
    order.push(b'\n');
    // A worker that reads no more is on its way out, and its end is told below.
    let _gone = words.write_all(&order).await;
    let mut line = Vec::new();
    loop {
        tokio::select! {
            read = lines.read_until(b'\n', &mut line) => {
                read?;
                if line.pop() != Some(b'\n') {
                    break;
                }
                run.hear(Bytes::from(std::mem::take(&mut line)));
            }
            Some(()) = asked.recv() => {
                let _gone = words.write_all(b".").await;
            }
        }
    }
    child.wait().await
}

/// Starts this program as a worker. It is not killed with the node: it sees that the node is gone, and ends its
/// commands.
fn start(exe: &Path) -> io::Result<Child> {
    Command::new(exe)
        .arg(TASK_WORKER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // A terminal's interrupt is for the node, which ends its runs in good order.
        .process_group(0)
        .spawn()
}

fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        (Some(code), None) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
