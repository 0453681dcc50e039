//! A cache server to try clients on: `cache_server FOLDER [ADDRESS [TOKEN]]`. It prints where it listens
//! and ends when it is interrupted.

use mainstay_remote::{CacheServer, ServerOptions};
use std::error::Error;
use std::io::Write;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("cache_server FOLDER [ADDRESS [TOKEN]]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let mut options = ServerOptions::new(folder.into());
    options.token = arguments.next();
    let server = CacheServer::open(options)?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let interrupted = async {
        // Without the signal there is nothing to wait for, and the server ends.
        let _signal = tokio::signal::ctrl_c().await;
    };
    server.serve(listener, interrupted).await?;
    Ok(())
}
