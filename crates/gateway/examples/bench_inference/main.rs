//! Measures the gateway from outside: the program as it is delivered, with keys, limits and budgets on, between
//! callers and a provider that answers at once. `cargo xtask bench inference` runs it with one word for each
//! figure.
//!
//! Callers, gateway and provider share the machine, so what counts is what the gateway adds to the same load
//! without it, and the processor time that it takes itself.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a program that measures prints what it found and may fail loudly"
)]

mod load;
mod money;
mod node;
mod peers;
mod process;
mod relay;
mod upstream;
mod wire;

use load::{Client, Target, alone, closed, closed_count, open, quantile};
use node::{CALLER, Node};
use peers::Peer;
use process::Process;
use std::time::Duration;
use upstream::Upstream;

/// Connections of the closed loop.
const CONNECTIONS: usize = 32;
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(5);
/// Streams in a round of `piece`.
const STREAMS: usize = 4;
const IDLE_STREAMS: usize = 10_000;
/// Requests before memory is read first, and last.
const FIRST: u64 = 100_000;
const LAST: u64 = 1_000_000;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let value = match word.as_str() {
        "latency" => added_by_us().0,
        "latency-p99" => added_by_us().1,
        "latency-relay" => {
            let upstream = Upstream::start();
            added_latency(&direct(&upstream), &relayed(&upstream)).0
        }
        "latency-vllm-router" => added_by(Peer::VllmRouter),
        "rate" => rate(),
        "litellm" => over(Peer::LiteLlm),
        "smg" => over(Peer::Smg),
        "vllm-router" => over(Peer::VllmRouter),
        "piece" => {
            let upstream = Upstream::start();
            let node = Node::start(upstream.address);
            added_to_a_piece(&direct(&upstream), &node.target(CALLER))
        }
        "piece-relay" => {
            let upstream = Upstream::start();
            added_to_a_piece(&direct(&upstream), &relayed(&upstream))
        }
        "memory" => memory().1,
        "memory-growth" => {
            let (first, last) = memory();
            last / first
        }
        "idle-streams" => idle_streams(),
        "overshoot" => money::overshoot(),
        other => panic!("{other}: no such figure"),
    };
    println!("{{\"value\": {value}}}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "counts here are small")]
fn number(count: u64) -> f64 {
    count as f64
}

fn direct(upstream: &Upstream) -> Target {
    Target {
        address: upstream.address,
        key: "none".to_owned(),
    }
}

fn added_by_us() -> (f64, f64) {
    let upstream = Upstream::start();
    let node = Node::start(upstream.address);
    added_latency(&direct(&upstream), &node.target(CALLER))
}

/// The way over a relay, to see what more hops cost before anything is done on them.
fn relayed(upstream: &Upstream) -> Target {
    Target {
        address: relay::start(upstream.address),
        ..direct(upstream)
    }
}

/// What a peer adds, the median in µs; to read our own figure by.
fn added_by(peer: Peer) -> f64 {
    let upstream = Upstream::start();
    let Some(other) = peer.start(upstream.address) else {
        println!("{{\"skipped\": \"{} is not installed\"}}", peer.name());
        std::process::exit(0);
    };
    added_latency(&direct(&upstream), &other.target).0
}

/// What is added at 1,000 requests a second: the median in µs, and the 99th of a hundred in ms.
fn added_latency(direct: &Target, through: &Target) -> (f64, f64) {
    closed(through, CONNECTIONS, WARM_UP);
    let (mut half, mut most) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [without, with] = [direct, through].map(|target| open(target, 1000, ROUND * 2));
        let at = |thousandths| [&without, &with].map(|sorted| quantile(sorted, thousandths));
        let ([p50, with_p50], [p99, with_p99]) = (at(500), at(990));
        println!(
            "direct p50 {p50:.0} µs, p99 {p99:.0} µs; through p50 {with_p50:.0} µs, p99 {with_p99:.0} µs"
        );
        half.push(with_p50 - p50);
        most.push((with_p99 - p99) / 1000.0);
    }
    (median(half), median(most))
}

/// Requests for a second of processor time.
fn per_processor_second(process: &Process, target: &Target) -> f64 {
    closed(target, CONNECTIONS, WARM_UP);
    let once = |_| {
        let before = process.seconds();
        let answered = closed(target, CONNECTIONS, ROUND);
        let used = process.seconds() - before;
        let (rate, per_second) = (
            number(answered) / used,
            number(answered) / ROUND.as_secs_f64(),
        );
        println!("{per_second:.0} requests a second, {rate:.0} for a second of processor time");
        rate
    };
    median((0..ROUNDS).map(once).collect())
}

fn rate() -> f64 {
    let upstream = Upstream::start();
    let node = Node::start(upstream.address);
    per_processor_second(&node.process, &node.target(CALLER))
}

/// Our rate over a peer's.
fn over(peer: Peer) -> f64 {
    let upstream = Upstream::start();
    let Some(other) = peer.start(upstream.address) else {
        println!("{{\"skipped\": \"{} is not installed\"}}", peer.name());
        std::process::exit(0);
    };
    println!("{}:", peer.name());
    let theirs = per_processor_second(&other.process, &other.target);
    drop(other);
    println!("mainstay:");
    let node = Node::start(upstream.address);
    per_processor_second(&node.process, &node.target(CALLER)) / theirs
}

/// How much later a piece of a stream arrives, in µs.
fn added_to_a_piece(direct: &Target, through: &Target) -> f64 {
    let late = |target: &Target| {
        let request = target.request("stamped", r#","stream":true"#);
        let mut late = alone(async {
            let mut client = Client::open(target.address).await.unwrap();
            let mut late = Vec::new();
            for _ in 0..STREAMS {
                late.extend(client.lateness(&request).await);
            }
            late
        });
        assert_eq!(late.len(), STREAMS * upstream::PIECES);
        late.sort_unstable();
        quantile(&late, 500)
    };
    late(through);
    let once = |_| {
        let (without, with) = (late(direct), late(through));
        println!("direct {without:.0} µs, through {with:.0} µs");
        with - without
    };
    median((0..ROUNDS + 2).map(once).collect())
}

/// Resident memory after a hundred thousand requests and after a million, in MB.
fn memory() -> (f64, f64) {
    let upstream = Upstream::start();
    let node = Node::start(upstream.address);
    let target = node.target(CALLER);
    let start = node.process.megabytes();
    closed_count(&target, CONNECTIONS, FIRST);
    let first = node.process.megabytes();
    closed_count(&target, CONNECTIONS, LAST - FIRST);
    let last = node.process.megabytes();
    println!("{start:.1} MB at the start, {first:.1} MB after {FIRST}, {last:.1} MB after {LAST}");
    (first, last)
}

/// Resident memory with ten thousand streams open that say nothing, in MB. A stream takes two files of the node;
/// where the system allows fewer, as many as may be are opened, and counted up.
fn idle_streams() -> f64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: files,
        maximum: files,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let room = files.map_or(IDLE_STREAMS, |files| {
        usize::try_from(files / 2).unwrap() - 256
    });
    let count = room.min(IDLE_STREAMS);
    let upstream = Upstream::start();
    let node = Node::start(upstream.address);
    let target = node.target(CALLER);
    let start = node.process.megabytes();
    let request = target.request("silent", r#","stream":true"#);
    let all = alone(async {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = Client::open(target.address).await.unwrap();
            client.begin(&request).await;
            streams.push(client);
        }
        node.process.megabytes()
    });
    let share = number(IDLE_STREAMS as u64) / number(count as u64);
    println!("{start:.1} MB at the start, {all:.1} MB with {count} streams");
    start + (all - start) * share
}
