//! Money among many callers: what is spent, and who is turned away though there was room.

use crate::load::{Client, Target, alone};
use crate::node::{BUDGET, CROWD, Node, ONE};
use crate::number;
use crate::upstream::Upstream;
use tokio::task::JoinSet;

const CALLERS: usize = 100;
const BOUND: &str = r#","max_tokens":8"#;

/// What a crowd got out of its budget.
#[derive(Debug, Default)]
struct Got {
    answers: u64,
    usd: f64,
}

/// Answers that a hundred callers at once got beyond their budget, and answers that they did not get though one
/// caller alone does: both are none where no reservation is lost and none is refused too early.
pub(crate) fn overshoot() -> f64 {
    let upstream = Upstream::start();
    let node = Node::start(upstream.address);
    let alone = spend(&node.target(ONE), 1);
    let before = upstream.calls();
    let crowd = spend(&node.target(CROWD), CALLERS);
    let calls = upstream.calls() - before;
    println!(
        "one caller: {} answers for {:.3} $; {CALLERS} callers: {} for {:.3} $ of {BUDGET} $, {calls} calls",
        alone.answers, alone.usd, crowd.answers, crowd.usd
    );
    let price = crowd.usd / number(crowd.answers);
    let beyond = ((crowd.usd - BUDGET) / price).ceil().max(0.0);
    let unpaid = number(calls.abs_diff(crowd.answers));
    let refused = number(alone.answers.saturating_sub(crowd.answers));
    beyond + unpaid + refused
}

/// Asks from so many callers until each is told that the money is spent.
fn spend(target: &Target, callers: usize) -> Got {
    let request = target.request("slow", BOUND);
    alone(async {
        let mut crowd = JoinSet::new();
        for _ in 0..callers {
            let mut client = Client::open(target.address).await.unwrap();
            let request = request.clone();
            crowd.spawn(async move {
                let mut got = Got::default();
                loop {
                    let (status, said) = client.ask(&request).await.unwrap();
                    if status == 402 {
                        return got;
                    }
                    assert_eq!(status, 200, "{said}");
                    got.answers += 1;
                    got.usd += cost(&said);
                }
            });
        }
        let all = crowd.join_all().await.into_iter();
        all.fold(Got::default(), |sum, got| Got {
            answers: sum.answers + got.answers,
            usd: sum.usd + got.usd,
        })
    })
}

/// What the head of an answer says that it cost.
fn cost(said: &str) -> f64 {
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("x-mainstay-cost-usd:"));
    line.unwrap().trim().parse().unwrap()
}
