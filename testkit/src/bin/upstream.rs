//! Runs the upstream of tests on its own: `upstream [--listen ADDRESS]`, until it is ended.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it reports to whoever started it"
)]

use mainstay_testkit::upstream::Upstream;
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(address) = address() else {
        eprintln!("usage: upstream [--listen ADDRESS:PORT]");
        return ExitCode::from(2);
    };
    match Upstream::listen(address) {
        Ok(upstream) => {
            println!("listening on {}", upstream.url());
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            eprintln!("error: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn address() -> Option<SocketAddr> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => "127.0.0.1:0".parse().ok(),
        ["--listen", address] => address.parse().ok(),
        _ => None,
    }
}
