//! What was spent, over every end of the process.

use crate::fake::{Fake, Step, budget, flow, of_model, said, settings, started, text, usd};
use mainstay_contract::{Coded, Timestamp};
use mainstay_gateway::{Gateway, Ledger, LedgerError, Settings};
use mainstay_inference::{BudgetConfig, InferenceError, LedgerEntry, Spender, Tokens};
use mainstay_resilience::BudgetPeriod;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const HOUR_MS: u64 = 3_600_000;

struct Place(TempDir);

impl Place {
    fn new(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path(), text).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("spending.jsonl")
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.path()).unwrap()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }
}

fn reserved(call: u64, at: u64, usd: &str) -> String {
    let spender = json!({ "key": "alice", "sessions": ["s"] });
    json!({ "kind": "reserved", "call": call, "at": at, "spender": spender, "deployment": "m", "usd": usd })
        .to_string()
        + "\n"
}

fn settled(call: u64, at: u64, usd: &str) -> String {
    let spender = json!({ "key": "alice", "sessions": ["s"] });
    let tokens = json!({ "input": 10, "output": 5 });
    json!({ "kind": "settled", "call": call, "at": at, "spender": spender, "deployment": "m", "usd": usd,
        "tokens": tokens, "is_answered": true })
    .to_string()
        + "\n"
}

fn answers(ledger: &Ledger) -> u64 {
    ledger.usage().iter().map(|row| row.used.answers).sum()
}

fn spent(ledger: &Ledger) -> String {
    let usd = ledger
        .usage()
        .iter()
        .fold(usd("0"), |sum, row| sum.plus(row.used.usd));
    usd.to_string()
}

#[test]
fn a_line_that_death_cut_is_dropped_wherever_it_was_cut() {
    let whole = settled(1, 0, "0.1");
    let last = settled(2, 0, "0.2");
    for cut in 0..last.len() {
        let place = Place::new(&format!("{whole}{}", &last[..cut]));
        let ledger = place.open();
        assert_eq!(
            (answers(&ledger), spent(&ledger)),
            (1, "0.1".to_owned()),
            "cut at {cut}"
        );
        assert!(place.text().ends_with('\n'));
        drop(ledger);
        assert_eq!(
            answers(&place.open()),
            1,
            "what is written anew can be read"
        );
    }
    assert_eq!(answers(&Place::new(&format!("{whole}{last}")).open()), 2);
    assert_eq!(answers(&Place::new("").open()), 0);
}

#[test]
fn a_damaged_line_is_told_with_its_number() {
    for damaged in [
        "{broken\n",
        "\n",
        "{\"kind\":\"spent\"}\n",
        "[]\n",
        "\u{0}\u{0}\n",
    ] {
        let text = format!("{}{damaged}{}", settled(1, 0, "0.1"), settled(2, 0, "0.1"));
        let place = Place::new(&text);
        let error = Ledger::open(&place.path()).unwrap_err();
        assert!(
            matches!(error, LedgerError::Damaged { line: 2, .. }),
            "{error:?}"
        );
        assert!(error.to_string().starts_with("line 2 of"), "{error}");
        let report = error.report();
        assert_eq!(report.code.as_str(), "store.corrupt");
        assert!(!report.hints.is_empty());
        assert_eq!(place.text(), text, "nothing is thrown away");
    }
}

#[test]
fn a_reservation_that_nothing_settled_is_spent() {
    let text = [
        reserved(1, 0, "0.5"),
        reserved(2, 0, "0.25"),
        settled(2, 0, "0.1"),
    ]
    .concat();
    let place = Place::new(&text);
    let first = place.open();
    assert_eq!(spent(&first), "0.6");
    let row = &first.usage()[0];
    assert_eq!((row.used.answers, row.used.failures), (1, 1));
    drop(first);
    assert_eq!(spent(&place.open()), "0.6", "and once only");
}

#[test]
fn ten_thousand_calls_fold_into_their_sums() {
    let hour = |call: u64| (call % 72) * HOUR_MS + call;
    let pair = |call: u64| reserved(call, hour(call), "1") + &settled(call, hour(call), "0.001");
    let place = Place::new(&(1..=10_000).map(pair).collect::<String>());
    let ledger = place.open();
    let usage = ledger.usage();
    assert_eq!(usage.len(), 3, "72 hours are three days");
    assert_eq!(
        (answers(&ledger), spent(&ledger)),
        (10_000, "10".to_owned())
    );
    let tokens = usage.iter().map(|row| row.used.tokens.output).sum::<u64>();
    assert_eq!(tokens, 50_000);
    drop(ledger);
    let text = place.text();
    assert_eq!(text.lines().count(), 1);
    assert!(text.len() < 72 * 400, "{} bytes", text.len());
    let again = place.open();
    assert_eq!(again.usage(), usage);
    assert!(!place.path().with_extension("new").exists());
}

#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place(tempfile::tempdir().unwrap());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(place.open());
    assert_eq!(mode(&place.path()), 0o600);
    let in_the_way = Ledger::open(place.0.path()).unwrap_err();
    assert!(
        matches!(in_the_way, LedgerError::Io { .. }),
        "{in_the_way:?}"
    );
}

/// A gateway whose model has a budget, over the ledger of a place.
fn gateway(place: &Place, provider: std::sync::Arc<Fake>, limit: &str) -> Gateway {
    let mut settings = settings(&[("m", provider)]);
    settings.gate.budgets.insert(of_model("m"), budget(limit));
    Gateway::open(settings, place.open())
}

#[tokio::test]
async fn a_restart_makes_no_money_available_again() {
    let place = Place::new("");
    for run in 1..=3 {
        let gateway = gateway(&place, Fake::saying("hi"), "0.005");
        let asked = flow(&gateway, "m").answer().await;
        match run {
            1 | 2 => drop(asked.unwrap()),
            _ => {
                let error = asked.unwrap_err().error;
                let InferenceError::BudgetExceeded { spent, .. } = error else {
                    panic!("{error:?}");
                };
                assert_eq!(spent, usd("0.004"));
            }
        }
    }
    let rows = place.open().usage();
    assert_eq!((rows.len(), rows[0].used.answers), (1, 2));
}

#[tokio::test]
async fn a_call_under_way_when_the_process_dies_is_spent() {
    let place = Place::new("");
    let before = gateway(
        &place,
        Fake::new(|_| vec![started(), text("x"), Step::Hang]),
        "1",
    );
    let mut under_way = flow(&before, "m");
    under_way.begin().await.unwrap();
    // What a process that dies now leaves behind.
    let left = place.text();
    assert!(
        left.contains("\"reserved\"") && !left.contains("\"settled\""),
        "{left}"
    );
    let after = Place::new(&left);
    let gateway = gateway(&after, Fake::saying("hi"), "1");
    assert_eq!(gateway.budgets()[0].spent, usd("0.002"));
    flow(&gateway, "m").answer().await.unwrap();
    assert_eq!(gateway.budgets()[0].spent, usd("0.004"));
}

#[tokio::test]
async fn a_budget_that_comes_later_knows_what_was_spent_before() {
    let place = Place::new("");
    let without = settings(&[("m", Fake::saying("hi"))]);
    let gateway = Gateway::open(without.clone(), place.open());
    flow(&gateway, "m").answer().await.unwrap();
    let mut with = without;
    with.gate.budgets.insert(of_model("m"), budget("0.003"));
    gateway.configure(with);
    assert_eq!(gateway.budgets()[0].spent, usd("0.002"));
    flow(&gateway, "m").answer().await.unwrap_err();
}

#[tokio::test]
async fn a_budget_that_comes_later_stops_those_who_wait_already() {
    let place = Place::new("");
    let provider = Fake::new(|call| match call {
        0 => said("hi"),
        _ => vec![started(), text("x"), Step::Hang],
    });
    let mut narrow = settings(&[("m", Arc::clone(&provider))]);
    let name: Arc<str> = "m".into();
    let limits = |settings: &mut Settings, most| {
        let deployment = settings.gate.deployments.get_mut(&name).unwrap();
        deployment.limits.concurrency = Some(most);
        deployment.limits.queue = 8;
    };
    limits(&mut narrow, 1);
    let gateway = Gateway::open(narrow.clone(), place.open());
    flow(&gateway, "m").answer().await.unwrap();
    let mut first = flow(&gateway, "m");
    first.begin().await.unwrap();
    let mut second = flow(&gateway, "m");
    let waiting = tokio::spawn(async move { second.begin().await.map(drop) });
    while gateway.deployments()[0].queued == 0 {
        tokio::task::yield_now().await;
    }
    let mut wide = narrow;
    limits(&mut wide, 2);
    wide.gate.budgets.insert(of_model("m"), budget("0.003"));
    gateway.configure(wide);
    let error = waiting.await.unwrap().unwrap_err().error;
    assert!(
        matches!(error, InferenceError::BudgetExceeded { .. }),
        "{error:?}"
    );
    assert_eq!(gateway.budgets()[0].spent, usd("0.002"));
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn a_budget_whose_window_grows_knows_what_was_spent_in_it() {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = u64::try_from(since.unwrap().as_millis()).unwrap();
    let earlier = LedgerEntry::Settled {
        call: 1,
        at: Timestamp(now - 25 * HOUR_MS),
        spender: Spender::default(),
        deployment: "m".into(),
        usd: usd("0.5"),
        tokens: Tokens::default(),
        is_answered: true,
    };
    let place = Place::new(&format!("{}\n", serde_json::to_string(&earlier).unwrap()));
    let mut settings = settings(&[("m", Fake::saying("hi"))]);
    let mut set = |period| {
        let budget = BudgetConfig {
            period,
            ..budget("1")
        };
        settings.gate.budgets.insert(of_model("m"), budget);
        settings.clone()
    };
    let gateway = Gateway::open(set(BudgetPeriod::Hour), place.open());
    assert_eq!(gateway.budgets()[0].spent, usd("0"));
    gateway.configure(set(BudgetPeriod::Total));
    assert_eq!(gateway.budgets()[0].spent, usd("0.5"));
}
